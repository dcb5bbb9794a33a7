package ws

import (
	"sync"
	"time"
)

// Limits of what the goroutine that polls reads itself. To have another one read costs a
// thread's waking and a switch to it, as much as a small message; but all input waits
// meanwhile.
const (
	maxReadHere = 4 // connections that have input at once: of more, others read
	maxTried    = 8 // messages of one connection
	// busyFor is how long a client is read by others after it has spoken: one that sends without
	// pause keeps a reader, which takes more at once while others poll and deliver.
	busyFor      = time.Millisecond
	maxTriedSize = 4 << 10 // bytes of a message
	// slowRead is what one connection may take, as it mostly does: a busy machine, too, may
	// let the thread stand still. When a ninth of the reads took longer, or three in turn, others
	// read for slowRest times as long as the last took, and within the bounds.
	slowRead           = time.Millisecond
	strike             = 8 // of a slow read; each other takes one away
	maxStrikes         = 2 * strike
	slowRest           = 100
	minPause, maxPause = 100 * time.Millisecond, 10 * time.Second
	watchEvery         = 50 * time.Millisecond // see Poller.watch
)

// lead is the right to poll, and what was polled. It is of one goroutine at a time,
// which reads some of the connections itself. A Handler that waits then, though it says
// that it does not, keeps the connection that it is for, and loses the lead.
type lead struct {
	mu      sync.Mutex
	turn    uint64      // of who leads
	ready   []*Conn     // have input
	next    int         // of ready
	since   time.Time   // when who leads began to read; zero when it does not
	until   time.Time   // when it may read again
	timer   *time.Timer // runs watch
	armed   bool
	used    bool // since the last watch
	strikes int
	closed  bool // nobody leads any more
}

// take is the next connection that has input; nil when more is to be polled. Not ok:
// another leads.
func (l *lead) take(turn uint64) (c *Conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if turn != l.turn {
		return nil, false
	}
	if l.next == len(l.ready) {
		return nil, true
	}
	c = l.ready[l.next]
	l.ready[l.next] = nil
	l.next++
	return c, true
}

// fill takes what was polled. Who leads and does not read cannot be deposed.
func (l *lead) fill(ready []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready, l.next = ready, 0
}

// begin is the begin of a read here, if one may be.
func (l *lead) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if len(l.ready) > maxReadHere || now.Before(l.until) {
		return false
	}
	l.since, l.used = now, true
	if !l.armed {
		l.armed = true
		l.timer.Reset(watchEvery)
	}
	return true
}

// returned is the end of a read here, and reports whether who read still leads.
func (l *lead) returned(turn uint64) (leads, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if turn != l.turn {
		return false, false
	}
	now := time.Now()
	took := now.Sub(l.since)
	l.since = time.Time{}
	if took <= slowRead {
		l.strikes = max(l.strikes-1, 0)
		return true, false
	}
	if l.strikes += strike; l.strikes <= maxStrikes {
		return true, false
	}
	l.pauseLocked(now, took)
	return true, true
}

// pauseLocked has others read for a while.
func (l *lead) pauseLocked(now time.Time, took time.Duration) {
	l.strikes = 0
	l.until = now.Add(min(max(slowRest*took, minPause), maxPause))
}

// depose takes the lead from who has read since before the last watch, and gives the turn of
// the next.
func (l *lead) depose() (turn uint64, deposed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	took := now.Sub(l.since)
	switch {
	case l.closed:
	case !l.since.IsZero() && took >= watchEvery:
		l.turn++
		l.since, l.armed = time.Time{}, false
		l.pauseLocked(now, took)
		return l.turn, true
	case l.used:
		l.used = false
		l.timer.Reset(watchEvery)
	default:
		l.armed = false
	}
	return 0, false
}

// end is the end of polling.
func (l *lead) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.timer.Stop()
}

// resign is the turn of the next, if who had this one leads still.
func (l *lead) resign(turn uint64) (next uint64, led bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if turn != l.turn {
		return 0, false
	}
	l.turn++
	l.since = time.Time{}
	return l.turn, true
}

// watch runs from time to time while connections are read by who polls: one timer for
// many reads, as each that is set wakes a thread.
func (p *Poller) watch(e *epoll) {
	if turn, deposed := e.lead.depose(); deposed {
		p.slow.Add(1)
		p.run(e, turn)
	}
}

// Slow is how often the connections were read elsewhere for a while, as those that were
// read by who polls took longer than a millisecond.
func (p *Poller) Slow() uint64 { return p.slow.Load() }

// run polls, and has connections read that have input, as long as it leads.
func (p *Poller) run(e *epoll, turn uint64) {
	ends := false
	defer func() {
		if next, led := e.lead.resign(turn); led && !ends { // a Handler has called runtime.Goexit
			go p.run(e, next)
		}
	}()
	growStack(0)
	for {
		c, leads := e.lead.take(turn)
		switch {
		case leads && c != nil:
			leads = p.serve(e, turn, c)
		case leads && !p.poll(e):
			ends = true
			e.lead.end()
			close(e.work)
			return
		}
		if !leads {
			return
		}
	}
}

// serve reads a connection that has input, or has it read, and reports whether who calls
// leads still.
func (p *Poller) serve(e *epoll, turn uint64, c *Conn) (leads bool) {
	if !c.reading.wake() {
		return true
	}
	t := c.trier()
	if t == nil || !e.lead.begin() {
		e.read(job{conn: c})
		return true
	}
	i := inputs.Get().(*input)
	done := c.readNow(t, i)
	leads, slow := e.lead.returned(turn)
	if slow {
		p.slow.Add(1)
	}
	if done {
		inputs.Put(i)
		i = nil
	}
	switch {
	case !leads:
		c.readParked(i)
	case !done || !c.reading.doze():
		e.read(job{c, i})
	}
	return leads
}

// poll waits for input, and reports whether there can be some.
func (p *Poller) poll(e *epoll) (open bool) {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return false // closed
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		n = e.events.take(fd)
		return n > 0
	})
	if err != nil {
		return false // closed
	}
	e.lead.fill(p.ready(e, e.events[:n], e.lead.ready[:0]))
	return true
}
