package node

import (
	"fmt"
	"math/bits"
	"runtime/debug"
	"time"
)

// Limits of what is swept by who pushed it: a client's reader or that of a link, which
// reads nothing meanwhile. Each delivery may cost the write to a socket, some 3 to 5 us, and
// to wake the goroutines of two shards a thread each, which sleeps again after it: as much as
// a dozen deliveries, and more where processors are idle. Half a millisecond at most is what
// who waits for the reader then waits for. What comes faster than that finds
// the goroutine awake, which delivers together what has come meanwhile.
const (
	quickWork   = 128      // deliveries in a sweep, and of a shard in a quickWindow
	quickBytes  = 16 << 10 // of the messages in it
	quickSweeps = 4        // of a shard in a quickWindow, and of who pushed at once
	quickWindow = time.Millisecond
)

// maxTurns limits the shards that one who pushes can have the turn of; the others wake.
const maxTurns = 64

// turns are the shards whose turn somebody has who pushes, by their numbers: to wake
// their goroutines costs several switches of threads, more than a few deliveries do.
// Whoever has some calls Node.sweep, behind the last push and with no lock held: until
// then nobody else looks at the inbox.
type turns uint64

// push is shard.push for who calls Node.sweep afterwards. What is too much for that
// wakes the goroutine now.
func (t *turns) push(s *shard, it item) {
	if s.add(it, s.number < maxTurns && it.members <= quickWork) {
		*t |= 1 << s.number
	}
}

// work is the deliveries that an item may cost. A session that opens, or goes, brings
// along what waits for it and leaves all its rooms: too much for who pushed.
func (it *item) work() int {
	switch it.op {
	case opOpen, opDrop, opClose, opCut:
		return quickWork + 1
	case opScan:
		return 1
	}
	return max(1, int(it.members))
}

// sweep gives the turns up. It delivers a little before, and calls Sinks: no lock of
// anybody who may be called by one is held.
func (n *Node) sweep(t turns) {
	for ; t != 0; t &= t - 1 {
		n.shards[bits.TrailingZeros64(uint64(t))].sweepQuick()
	}
}

// sweepQuick delivers what waits while that is little, and leaves the rest to the
// goroutine. A panic is the goroutine's too: it ends the process, where that of a
// handler, which may have called us, does not.
func (s *shard) sweepQuick() {
	defer func() {
		if r := recover(); r != nil {
			s.breakOff(fmt.Sprintf("%v\n%s", r, debug.Stack()))
			panic(r)
		}
	}()
	for sweeps := 0; ; sweeps++ {
		batch := s.takeQuick(sweeps < quickSweeps)
		if len(batch) == 0 {
			return
		}
		s.sweepAll(batch)
	}
}

// breakOff hands the turn to the goroutine, or to close, to panic with why.
func (s *shard) breakOff(why any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = why
	s.wake <- struct{}{}
	s.space.Broadcast()
}

// takeQuick is take for a small batch. With a larger one the turn goes to the goroutine,
// and with one more than may be: slow sweeps never use up the budget of a window, and
// each may find what came during the last.
func (s *shard) takeQuick(may bool) []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) > 0 && (!may || s.work > quickWork || s.bytes > quickBytes || !s.quick.spend(time.Now(), s.work)) {
		s.wake <- struct{}{} // has room: the turn is here
		return nil
	}
	return s.takeLocked()
}

// budget is of sweeps, and of deliveries in them.
type budget struct {
	since       time.Time
	spent, work int
}

// spend says that one more, of so many deliveries, is allowed.
func (b *budget) spend(now time.Time, work int) bool {
	if now.Sub(b.since) >= quickWindow {
		*b = budget{since: now}
	}
	b.spent++
	b.work += work
	return b.spent <= quickSweeps && b.work <= quickWork
}
