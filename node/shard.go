package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Limits of a shard's inbox. Beyond them publishers wait: those of this node
// in Publish, other nodes by their link, which is read no further.
const (
	inboxItems = 64 << 10
	inboxBytes = 64 << 20
	// maxQuiet is how many items wait before the shard is woken for those that nobody
	// waits for, too.
	maxQuiet = 64
)

// item is one entry of an inbox: a message for members, or a change of them.
type item struct {
	op      op
	flag    bool  // close: the connection too; hold: messages to its id are not for it yet
	members int32 // message: of its rooms, in all shards; watchers: how many they are; scan: its number
	session *Session
	topic   wire.Topic // join, leave
	d       *Delivery  // message, tell
}

type op uint8

const (
	opMessage  op = iota // d.Message to the members it names
	opTell               // d to session
	opHold               // session is there; what comes for it waits
	opOpen               // d to session, then what waited
	opJoin               // session is a member of topic
	opLeave              // ... no more
	opDrop               // session is gone
	opClose              // tell session's Sink to close
	opCut                // ... so that the client comes back
	opGate               // session is about to move away
	opUngate             // ... and does not
	opWatchers           // d to the members of topic, whatever its rooms
	opQuiet              // quiet asks what came last
	opScan               // found is to have the members of topic; members is its number
)

// shard delivers to a part of the sessions: one inbox in which messages and changes
// of membership keep their order. Publishing costs a reference per shard, not per
// member, and what waits is delivered in one sweep, by who has the turn: the shard's
// goroutine, or for a few deliveries who pushed them (see turns).
type shard struct {
	number int // in Node.shards
	stats  *counters
	full   atomic.Bool // the inbox is over its limits

	mu     sync.Mutex
	space  sync.Cond // the inbox was emptied, or the shard closed
	inbox  []item
	bytes  int
	work   int // deliveries in the inbox, at most
	closed bool
	taken  bool          // somebody has the turn, and looks at the inbox before giving it up
	wake   chan struct{} // the turn, on its way to the goroutine in run
	quick  budget        // of those who push
	pace   pace          // of the goroutine
	quiet  *quiet        // who asks; set before there are sessions
	found  func(found)   // the same

	// What follows belongs to who has the turn.
	spare   []item // an inbox that was swept
	broken  any    // what a sweep of who pushed has panicked with
	members map[wire.Topic]*group
	byID    map[wire.SessionID]*Session
	gated   map[*Session]*gates // those that move
	sweep   uint64              // number of the message under way, for members of several rooms
	except  []wire.Topic        // the rooms that the message under way leaves out
	touched []*Session          // to be flushed at the end of the sweep
	alone   bool                // what is delivered is all of this sweep: each client is flushed at once

	delivered atomic.Uint64 // for Stats
}

// group is the members of a topic in a shard. A slice: walking it is what a
// broadcast does, and a map costs four times as much (STYLE §9.9).
type group struct{ list []*Session }

func newShard(number int, stats *counters) *shard {
	s := &shard{number: number, stats: stats, wake: make(chan struct{}, 1), pace: newPace(), members: map[wire.Topic]*group{}, byID: map[wire.SessionID]*Session{}, gated: map[*Session]*gates{}}
	s.space.L = &s.mu
	s.taken = true
	s.wake <- struct{}{} // nothing is delivered before run
	return s
}

// push never blocks. What is pushed to a closed shard is nobody's any more.
func (s *shard) push(it item) { s.add(it, false) }

// add is push that gives the caller the turn, if it is nobody's and the caller is
// quick. It sweeps then, soon. Without, the goroutine gets the turn, before the lock is
// free: close must find it with one of them.
func (s *shard) add(it item, quick bool) (turn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.inbox = append(s.inbox, it)
	s.work += it.work()
	if it.d != nil {
		s.bytes += it.d.size()
	}
	if len(s.inbox) > inboxItems || s.bytes > inboxBytes {
		s.full.Store(true)
	}
	if it.isMany() {
		s.pace.many++
	}
	if it.op == opScan { // somebody waits for a list
		s.pace.asked = true
	}
	s.hurryLocked()
	// Nobody hears of a new member before something is for it, which comes behind: a
	// client that connects or joins wakes us once, for the answer.
	if s.taken || (it.op == opHold || it.op == opJoin) && len(s.inbox) < maxQuiet {
		return false
	}
	s.taken = true
	if !quick {
		s.wake <- struct{}{} // has room: the turn is here
	}
	return quick
}

// waitSpace blocks while the inbox is over its limits.
func (s *shard) waitSpace() {
	if !s.full.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.full.Load() {
		s.space.Wait()
	}
}

func (s *shard) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.inbox)
}

func (s *shard) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.close()
			return
		}
		if s.broken != nil {
			panic(s.broken)
		}
		for batch := s.takePaced(ctx); len(batch) > 0; batch = s.takePaced(ctx) {
			began := time.Now()
			s.sweepAll(batch)
			s.pace.swept(began)
		}
	}
}

// sweepAll delivers a batch, and lets go of it.
func (s *shard) sweepAll(batch []item) {
	// A client that is met twice, with a thousand others between, is not in the cache any more.
	s.alone = len(batch) == 1 && (batch[0].op == opMessage || batch[0].op == opTell)
	for i := range batch {
		s.apply(&batch[i])
	}
	s.flush()
	clear(batch)
	if s.spare = batch[:0]; cap(batch) > inboxItems {
		s.spare = nil
	}
}

// take swaps the inbox for an empty one. When nothing is there the turn is given up.
func (s *shard) take() []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked()
}

func (s *shard) takeLocked() []item {
	batch := s.inbox
	if len(batch) == 0 {
		s.taken = false
		if s.closed {
			s.space.Broadcast()
		}
		return nil
	}
	s.inbox, s.spare = s.spare, nil
	s.bytes, s.work = 0, 0
	s.pace.taken()
	if s.full.Swap(false) {
		s.space.Broadcast()
	}
	return batch
}

// close returns when nobody has the turn, nor will.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.inbox = true, nil
	s.full.Store(false)
	s.space.Broadcast()
	for s.taken {
		select {
		case <-s.wake:
			s.taken = false
		default:
			s.space.Wait()
		}
	}
	if s.broken != nil {
		panic(s.broken)
	}
}

func (s *shard) apply(it *item) {
	switch it.op {
	case opMessage:
		s.deliver(it.d)
	case opTell:
		s.tell(it.session, it.d)
	case opWatchers:
		s.deliverTo(it.topic, it.d)
	case opHold:
		if !it.flag {
			s.byID[it.session.id] = it.session
		}
		it.session.held = true
		if g := it.session.gates; g != nil {
			s.gated[it.session] = g
		}
	case opGate:
		if !it.session.dropped {
			s.gated[it.session] = it.session.gates
		}
	case opUngate:
		delete(s.gated, it.session)
	case opOpen:
		s.release(it.session, it.d)
	case opJoin:
		s.join(it.session, it.topic)
	case opLeave:
		s.leave(it.session, it.topic)
	case opDrop:
		s.drop(it.session)
	case opClose:
		s.end(it.session, it.flag)
	case opCut:
		s.cut(it.session)
	case opQuiet:
		s.quieten(s.quiet)
	case opScan:
		s.scan(it.members, it.topic)
	}
}

func (s *shard) join(x *Session, t wire.Topic) {
	if x.dropped {
		return
	}
	g := s.members[t]
	if g == nil {
		g = &group{}
		s.members[t] = g
	}
	x.spots.set(t, len(g.list))
	g.list = append(g.list, x)
}

// leave fills the gap with the last member.
func (s *shard) leave(x *Session, t wire.Topic) {
	i, ok := x.spots.get(t)
	if !ok {
		return
	}
	x.spots.remove(t)
	g := s.members[t]
	last := len(g.list) - 1
	if moved := g.list[last]; moved != x {
		g.list[i] = moved
		moved.spots.set(t, i)
	}
	g.list[last] = nil
	if g.list = g.list[:last]; last == 0 {
		delete(s.members, t)
	}
}

func (s *shard) drop(x *Session) {
	for t := range x.spots.topics() {
		s.leave(x, t)
	}
	if s.byID[x.id] == x { // not a later one of the same id
		delete(s.byID, x.id)
	}
	x.dropped, x.pending = true, nil
	if g := s.gated[x]; g != nil {
		delete(s.gated, x)
		close(g.gone)
	}
}

// deliver gives a message to each member of its rooms once.
func (s *shard) deliver(d *Delivery) {
	if d.ask != nil {
		defer d.ask.delivered()
	}
	m := d.Message
	if m.Flags&wire.Barrier != 0 {
		s.pass(m)
		return
	}
	s.sweep++
	s.leaveOut(m)
	if len(m.Rooms) == 0 {
		s.deliverTopic(d, wire.Topic{Namespace: m.Namespace})
		return
	}
	for _, r := range m.Rooms {
		s.deliverTopic(d, wire.Topic{Namespace: m.Namespace, Room: r})
		if x := s.byID[wire.SessionID(r)]; x != nil && x.ns.name == m.Namespace {
			s.offer(x, d)
		}
	}
}

// leaveOut has m pass by the sessions that it excepts, as if they had it, and notes the
// rooms that it does. Mostly that is its sender alone: to compare each member's id with it
// would take longer than the rest of offer.
func (s *shard) leaveOut(m *wire.Message) {
	s.except = s.except[:0]
	for _, e := range m.Except {
		if x := s.byID[wire.SessionID(e)]; x != nil {
			x.sweep = s.sweep
		}
		if t := (wire.Topic{Namespace: m.Namespace, Room: e}); s.members[t] != nil {
			s.except = append(s.except, t)
		}
	}
}

// pass is a barrier for a session that moves.
func (s *shard) pass(m *wire.Message) {
	for _, r := range m.Rooms {
		if g := s.gated[s.byID[wire.SessionID(r)]]; g != nil {
			g.pass(m)
		}
	}
}

func (s *shard) deliverTopic(d *Delivery, t wire.Topic) {
	if g := s.members[t]; g != nil {
		for _, x := range g.list {
			s.offer(x, d)
		}
	}
}

// offer gives d to x unless it has it already or is excepted.
func (s *shard) offer(x *Session, d *Delivery) {
	if x.sweep == s.sweep {
		return
	}
	x.sweep = s.sweep
	for _, t := range s.except {
		if _, in := x.spots.get(t); in {
			return
		}
	}
	if len(s.gated) > 0 {
		if g := s.gated[x]; g != nil && !g.takes(d.Message) {
			return
		}
	}
	if d.ask == nil || d.ask.expect(x) {
		s.give(x, d)
	}
}

// tell gives d to x alone.
func (s *shard) tell(x *Session, d *Delivery) {
	if d.ask != nil {
		defer d.ask.delivered()
		if !d.ask.expect(x) {
			return
		}
	}
	if d.handed != nil {
		defer close(d.handed)
	}
	s.give(x, d)
}

func (s *shard) give(x *Session, d *Delivery) {
	if x.dropped {
		return
	}
	if x.held {
		if len(x.pending) <= maxHeld {
			x.pending = append(x.pending, d)
		} else {
			s.stats.refused.Add(1)
		}
		return
	}
	if d.Kind == kindEnd {
		s.end(x, d.flag)
		return
	}
	if d.place.D > 0 {
		x.last = d.place.D
	}
	if s.alone {
		s.deliverNow(x, d)
		return
	}
	if !x.sink.Deliver(d) {
		s.stats.refused.Add(1)
		return
	}
	s.delivered.Add(1)
	if !x.touched {
		x.touched = true
		s.touched = append(s.touched, x)
	}
}

// deliverNow delivers d, behind which nothing comes in this sweep.
func (s *shard) deliverNow(x *Session, d *Delivery) {
	ok := false
	if p, is := x.sink.(Prompt); is {
		ok = p.DeliverNow(d)
	} else if ok = x.sink.Deliver(d); ok {
		x.sink.Flush()
	}
	if ok {
		s.delivered.Add(1)
	} else {
		s.stats.refused.Add(1)
	}
}

func (s *shard) flush() {
	for i, x := range s.touched {
		x.touched = false
		s.touched[i] = nil
		if !x.dropped {
			x.sink.Flush()
		}
	}
	s.touched = s.touched[:0]
}
