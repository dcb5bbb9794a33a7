package node

import (
	"sync"
	"time"
)

// Limits of the events of one client that wait for their handlers. Beyond them
// its reader waits, so that a slow handler slows down its own client.
const (
	maxEvents     = 64
	maxEventBytes = 64 << 10 // one event may be larger
	// lastWords is how long the end of a session waits for the handlers of what
	// the client said before.
	lastWords = 5 * time.Second
)

// backlog is the events of a session that wait for their handlers. These run
// one after the other on a goroutine that lives while there are any. The
// client's reader goes on meanwhile: a handler may wait for an answer of its
// own client, which comes behind events maybe.
type backlog struct {
	mu      sync.Mutex
	space   sync.Cond // events were taken; L is &mu
	events  []*Event
	bytes   int // of events
	running bool
	idle    chan struct{} // closed when no handler runs; made by who waits for that
	full    bool          // for good: nothing is added, and nobody waits for a place
}

func (e *Event) size() int {
	n := 64 + len(e.Name)
	for _, a := range e.Args {
		n += len(a)
	}
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// add waits for a place for e, and throws it away if there will be none. With
// start, the caller starts the goroutine that calls next.
func (b *backlog) add(e *Event) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.full && (len(b.events) >= maxEvents || b.bytes > maxEventBytes) {
		b.space.Wait()
	}
	if b.full {
		return false
	}
	return b.pushLocked(e)
}

// tryAdd is add if there is a place.
func (b *backlog) tryAdd(e *Event) (start, added bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full || len(b.events) >= maxEvents || b.bytes > maxEventBytes {
		return false, false
	}
	return b.pushLocked(e), true
}

// pushLocked is add with a place.
func (b *backlog) pushLocked(e *Event) (start bool) {
	b.events = append(b.events, e)
	b.bytes += e.size()
	start = !b.running
	b.running = true
	return start
}

// begin reports that no event waits and no handler runs: then the caller may run one,
// and calls next behind it.
func (b *backlog) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full || b.running {
		return false
	}
	b.running = true
	return true
}

// next takes the next event. nil ends the goroutine.
func (b *backlog) next() *Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) > 0 {
		e := b.events[0]
		b.events[0] = nil
		b.events = b.events[1:]
		b.bytes -= e.size()
		b.space.Signal()
		return e
	}
	b.running, b.events = false, nil
	if b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	return nil
}

// wait returns when no handler runs and none will, or after the patience.
func (b *backlog) wait(patience time.Duration) {
	b.mu.Lock()
	if !b.running {
		b.mu.Unlock()
		return
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}

// close takes no more events.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = true
	b.space.Broadcast()
}

// end throws away the events that wait and those that come.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full, b.events, b.bytes = true, nil, 0
	b.space.Broadcast()
}
