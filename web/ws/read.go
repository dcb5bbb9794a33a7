package ws

import (
	"errors"
	"net"
	"sync/atomic"
)

// reading is whether somebody reads a connection that is parked in a Poller. Such a
// connection has no goroutine and no buffer: when something has come, a goroutine
// reads until nothing is left.
type reading struct{ state atomic.Uint32 }

// The states.
const (
	readRuns  uint32 = iota // somebody reads
	readAgain               // ... and more has come
	readIdle                // nobody
	readStops               // who reads is the last
	readOver
)

// wake says that something has come, and reports whether the caller is to have it read.
func (r *reading) wake() bool {
	for {
		switch state := r.state.Load(); {
		case state == readIdle && r.state.CompareAndSwap(readIdle, readRuns):
			return true
		case state == readRuns && r.state.CompareAndSwap(readRuns, readAgain):
			return false
		case state > readIdle || state == readAgain:
			return false
		}
	}
}

// rest says that nothing is left, and reports whether the caller must go on: more has
// come, or it is the last.
func (r *reading) rest() (again, last bool) {
	if r.state.CompareAndSwap(readRuns, readIdle) {
		return false, false
	}
	again = r.state.CompareAndSwap(readAgain, readRuns)
	return again, !again
}

// doze is rest for who leaves what else there is to another, and reports whether there is
// nothing.
func (r *reading) doze() bool {
	again, last := r.rest()
	return !again && !last
}

// stop lets nobody begin to read, and reports whether nobody reads.
func (r *reading) stop() (nobody bool) {
	for {
		switch state := r.state.Load(); {
		case state == readIdle && r.state.CompareAndSwap(readIdle, readOver):
			return true
		case state < readIdle && r.state.CompareAndSwap(state, readStops):
			return false
		case state > readIdle:
			return false
		}
	}
}

// open is the first part of reading: the Handler opens, and what has come behind the
// handshake is received.
func (c *Conn) open() (goesOn bool) {
	if !c.guard(c.handler.Opened) {
		c.in.refuse()
	}
	c.tap.touch()
	c.busy.Store(false)
	early := c.early
	c.early = nil
	return c.receive(early)
}

// readSize is what a goroutine that waits for input has, in bytes.
const readSize = 2 << 10

// read waits for what the client sends, until the stream ends, by itself or by
// hangUp.
func (c *Conn) read() {
	defer c.silence()
	b := make([]byte, readSize)
	for {
		n, err := c.tap.Read(b)
		if !c.receive(b[:n]) {
			return
		}
		if err != nil {
			c.fail(causeOf(err))
			return
		}
	}
}

// readParked is read for what has come, on a goroutine that a Poller has started. It
// begins with what is in left, which may be nil.
func (c *Conn) readParked(left *input) {
	growStack(0)
	last := true // also behind a Handler that calls runtime.Goexit
	defer func() {
		if last {
			c.readLast()
		}
	}()
	for c.readAll(left) {
		left = nil
		if again, ends := c.reading.rest(); !again {
			last = ends
			return
		}
	}
}

// readLast is the end of reading of who has read.
func (c *Conn) readLast() {
	c.reading.state.Store(readOver)
	c.cfg.Poller.remove(c)
	c.silence()
}

// growStack has the stack of a new goroutine grow at once to what it takes to deliver a
// message to others from here. It would grow three times on the way, deep down, where
// all that calls must be moved each time.
//
//go:noinline
func growStack(i int) byte {
	var frame [8 << 10]byte
	return frame[i]
}

// silence is the end of reading.
func (c *Conn) silence() {
	c.silent.set()
	c.partEnds()
}

// receive acts on bytes of the client, and reports whether more may come. A bug in what
// reads them is no better than one in the Handler: it ends this connection alone.
func (c *Conn) receive(b []byte) (goesOn bool) {
	return c.guard(func() { goesOn = c.decode(b) }) && goesOn
}

func (c *Conn) decode(b []byte) (goesOn bool) {
	for len(b) > 0 {
		m, n, err := c.in.next(b)
		b = b[n:]
		if !c.decoded(m, err) {
			return false
		}
	}
	return true
}

// decoded is decode of what the decoder has made of some bytes.
func (c *Conn) decoded(m message, err error) (goesOn bool) {
	if cause := c.act(m, err); cause != 0 {
		c.fail(cause)
		switch cause {
		case CauseLost, CauseGoodbye, CauseBreach, CauseSlow:
			return false
		}
		c.in.refuse() // its close frame is waited for
	}
	if c.cut() {
		c.fail(CauseLost)
		return false
	}
	return true
}

// act acts on a message, or on the error instead of one.
func (c *Conn) act(m message, err error) Cause {
	switch {
	case err == errBreach:
		c.complain()
		return CauseBreach
	case err != nil:
		return causeOf(err)
	case m.op == opClose:
		return c.answerClose(m.data)
	case m.op == Ping && !c.in.deaf:
		// Behind our close frame there is no pong, and the client's close frame is still to come.
		if err := c.pong(m.data); err != nil && !errors.Is(err, net.ErrClosed) {
			return causeOf(err)
		}
	case m.op == Text || m.op == Binary:
		c.message(m)
	}
	return 0
}

// message hands a message on.
func (c *Conn) message(m message) {
	c.cfg.Traffic.MessagesIn.Add(1)
	c.cfg.Traffic.BytesIn.Add(uint64(len(m.data)))
	c.busy.Store(true)
	if !c.guard(func() { c.handler.Received(m.data, m.op == Binary) }) {
		c.in.refuse()
	}
	c.tap.touch()
	c.busy.Store(false)
}
