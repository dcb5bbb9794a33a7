package node

import (
	"context"
	"time"
)

// Limits of the pause between two sweeps of a shard that write to many clients. A write
// costs some 3 us, and what it takes along hardly more: a shard that sweeps for each
// message, and others beside it, leave nothing of the processors to those who are to
// read, be they other nodes on the machine or clients.
const (
	// paceShare is for how much longer than the last sweep took nothing is swept, counted
	// from its beginning: its last client has waited for as long as that, too.
	paceShare = 8
	// paceMost limits that. A sweep that takes longer has no pause behind it.
	paceMost = 15 * time.Millisecond
	// paceBytes and paceItems are what may wait meanwhile: more is enough to be worth its
	// writes, and the queues of clients are to hold it all.
	paceBytes = 32 << 10
	paceItems = 128
)

// pace has a shard wait between two sweeps for many clients, so that messages that follow
// each other closely go out together. Nothing waits for the first, nor for what few
// clients get, unless it is behind such a message.
type pace struct {
	next  time.Time // the next sweep for many begins; of the goroutine
	sweep bool      // what was taken last is for many; of who has the turn
	hurry chan struct{}

	// Under shard.mu.
	many   int  // messages in the inbox that are for many
	asked  bool // something in it is not to wait for a pause
	pauses bool // what is too much for a pause is to say so in hurry
}

func newPace() pace { return pace{hurry: make(chan struct{}, 1)} }

// taken empties the inbox.
func (p *pace) taken() { p.sweep, p.many, p.asked = p.many > 0, 0, false }

// swept sets the pause behind a sweep.
func (p *pace) swept(began time.Time) {
	if p.sweep {
		p.next = began.Add(min(paceShare*time.Since(began), paceMost))
	}
}

// isMany says that it is for so many clients that their writes are what it costs.
func (it *item) isMany() bool {
	return (it.op == opMessage || it.op == opWatchers) && it.members > quickWork
}

// takePaced takes what is in the inbox, as soon as it may be swept. The caller has the turn.
func (s *shard) takePaced(ctx context.Context) []item {
	left := s.pauseFor()
	if left <= 0 {
		return s.take()
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.pace.hurry:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace.pauses = false; len(s.pace.hurry) > 0 {
		<-s.pace.hurry // it has come meanwhile
	}
	return s.takeLocked()
}

// pauseFor is how long a pause there is now, and begins it.
func (s *shard) pauseFor() time.Duration {
	left := time.Until(s.pace.next)
	if left <= 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace.many == 0 || s.presses() {
		return 0
	}
	s.pace.pauses = true
	return left
}

// presses says that what is in the inbox is not to wait for the end of a pause, or too much. mu is held.
func (s *shard) presses() bool {
	return s.pace.asked || s.bytes > paceBytes || len(s.inbox) > paceItems
}

// hurryLocked ends a pause when there is too much for it.
func (s *shard) hurryLocked() {
	if s.pace.pauses && s.presses() {
		s.pace.pauses = false
		s.pace.hurry <- struct{}{} // has room: once in each pause
	}
}
