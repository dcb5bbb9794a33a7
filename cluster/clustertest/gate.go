package clustertest

import (
	"sync"
	"time"
)

// gate is a mutex with a condition that a select can wait for. A sync.Cond
// would do for waking, but not for deadlines.
type gate struct {
	sync.Mutex
	changed chan struct{} // nil while nobody waits
}

// next is a channel that the next wake closes. The lock must be held.
func (g *gate) next() <-chan struct{} {
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

// wake lets everyone who waits look again. The lock must be held.
func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// pause is what a blocked call has to wait for: the gate's next wake or the
// earliest of some times, of which zero ones are never reached. The zero pause
// is none.
type pause struct {
	changed <-chan struct{}
	times   [2]time.Time
}

func (p pause) none() bool { return p.changed == nil }

// wait must be called without the gate's lock.
func (p pause) wait() {
	first := p.times[0]
	if t := p.times[1]; first.IsZero() || !t.IsZero() && t.Before(first) {
		first = t
	}
	if first.IsZero() {
		<-p.changed
		return
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-p.changed:
	case <-timer.C:
	}
}

// passed tells whether a deadline is over. The zero time is no deadline.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
