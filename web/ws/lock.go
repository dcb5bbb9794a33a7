package ws

import "sync/atomic"

// lock is a mutex that goes to those who wait in the order in which they came: a pong
// gets its turn between two frames of a long queue. The zero lock is free, and has a
// channel only once somebody has had to wait.
type lock struct {
	users atomic.Int32 // who holds it, and those who wait
	line  atomic.Pointer[chan struct{}]
}

func (l *lock) lock() {
	if l.users.Add(1) > 1 {
		<-l.queue()
	}
}

// unlock may be called by another goroutine than lock. It does not block: only who has
// got the lock from the queue puts it there again.
func (l *lock) unlock() {
	if l.users.Add(-1) > 0 {
		l.queue() <- struct{}{}
	}
}

func (l *lock) tryLock() bool { return l.users.CompareAndSwap(0, 1) }

// queue is where the lock goes from who had it to who has waited longest.
func (l *lock) queue() chan struct{} {
	if line := l.line.Load(); line != nil {
		return *line
	}
	line := make(chan struct{}, 1)
	l.line.CompareAndSwap(nil, &line)
	return *l.line.Load()
}
