package ws

import (
	"syscall"
	"time"
)

// trier is the Handler of who can be read without waiting, by who polls: nil while a
// larger message is under way, if what comes must be inflated, or if the client sends so fast
// that a reader is worth its waking.
func (c *Conn) trier() Trier {
	t, _ := c.handler.(Trier)
	if c.packs || !c.in.light() || time.Since(c.tap.heard()) < busyFor {
		return nil
	}
	return t
}

// light says that no message is under way that is larger than those that are tried.
func (d *decoder) light() bool {
	return !d.deaf && len(d.data) <= maxTriedSize && (!d.within || d.frame.left <= maxTriedSize)
}

// readNow reads once, without waiting, and reports whether all is done that was to do. If not
// another goes on with i.
func (c *Conn) readNow(t Trier, i *input) (done bool) {
	exits := true
	defer func() {
		if exits { // a Handler has called runtime.Goexit
			go c.readLast() // which may call Ended; counted by parts
		}
	}()
	done = c.tryRead(t, i)
	exits = false
	return done
}

// tryRead is readNow of a Handler that returns.
func (c *Conn) tryRead(t Trier, i *input) (done bool) {
	if c.hungUp.Load() {
		return false
	}
	i.err = syscall.EBADF
	c.tap.raw.Control(i.read) // fails when closed
	switch {
	case i.err == syscall.EAGAIN:
		return true
	case i.err != 0 || i.n == 0:
		return false // and comes again
	}
	c.tap.touch()
	i.left.bytes = i.buffer[:i.n]
	if !c.guard(func() { done = c.tryAll(t, &i.left) }) {
		i.left = leftover{broken: true}
		return false
	}
	return done && i.n < parkedRead
}

// tryAll decodes, and has messages handled until one has to wait or there were many.
func (c *Conn) tryAll(t Trier, left *leftover) (done bool) {
	for n := 0; len(left.bytes) > 0; n++ {
		if n == maxTried || c.over() {
			return false
		}
		m, used, err := c.in.next(left.bytes)
		left.bytes = left.bytes[used:]
		if err != nil || m.op != 0 && !c.try(t, m) {
			left.message, left.err = m, err
			return false
		}
	}
	left.bytes = nil
	return true
}

// try is message for what waits for nobody; else nothing is done.
func (c *Conn) try(t Trier, m message) (done bool) {
	if m.op != Text || len(m.data) > maxTriedSize {
		return false
	}
	c.busy.Store(true)
	if !c.guard(func() { done = t.TryReceived(m.data) }) {
		c.in.refuse()
		done = true
	}
	if done {
		c.cfg.Traffic.MessagesIn.Add(1)
		c.cfg.Traffic.BytesIn.Add(uint64(len(m.data)))
		c.tap.touch()
	}
	c.busy.Store(false)
	return done
}
