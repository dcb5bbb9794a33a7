package ws

import "sync"

// latch is set once. Those who wait for that make the channel: mostly there are
// none, and a connection that is idle has two latches.
type latch struct {
	mu   sync.Mutex
	done bool
	wait chan struct{}
}

// set reports whether it was the first to.
func (l *latch) set() (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false
	}
	l.done = true
	if l.wait != nil {
		close(l.wait)
	}
	return true
}

func (l *latch) isSet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// whenSet is closed when the latch is set.
func (l *latch) whenSet() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wait == nil {
		l.wait = make(chan struct{})
		if l.done {
			close(l.wait)
		}
	}
	return l.wait
}
