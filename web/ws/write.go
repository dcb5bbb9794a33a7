package ws

import (
	"errors"
	"net"
)

// pending is a batch that Take has handed out and that is not out yet.
type pending struct {
	batch []*Group
	rest  []encoded // what is left to write of it; nil when nothing is made yet
	torn  bool      // rest begins within a frame: tap.out is held
}

// Flush says that Take has something.
func (c *Conn) Flush() {
	if c.turn.take() {
		go c.write()
	}
}

// write is the writer, which has the turn: a goroutine that is there while something
// waits for the client, and for the end: the last one hangs up.
func (c *Conn) write() {
	released := false
	c.guard(func() { released = c.writeAll() })
	if !released {
		c.hangUp()
	}
}

// writeAll writes what waits, and gives the turn up when nothing is left. It keeps
// the turn when the connection has ended, for good.
func (c *Conn) writeAll() (released bool) {
	for !c.failed {
		open, over := true, c.over() // before Take: what was queued before End is written
		if len(c.pending.batch) == 0 {
			c.pending.batch, open = c.handler.Take()
		}
		switch {
		case len(c.pending.batch) > 0:
			if err := c.writePending(); err != nil {
				c.writeFailed(err)
				return false
			}
		case !open || over:
			return false
		case c.turn.release():
			return true
		}
	}
	c.fail(CausePanic)
	return false
}

// writePending waits until the client has taken what is pending.
func (c *Conn) writePending() error {
	p := &c.pending
	if p.rest == nil {
		p.rest = c.encode(nil, p.batch)
	}
	err := c.tap.writeFrames(p.rest, p.torn, c.cfg.WriteTimeout)
	p.rest, p.torn = nil, false
	if err == nil {
		c.written(p.batch)
		p.batch = nil
	}
	return err
}

// encode appends the frames of batch as this client gets them.
func (c *Conn) encode(frames []encoded, batch []*Group) []encoded {
	for _, g := range batch {
		if c.packs {
			frames = g.appendPacked(frames, c.cfg.Deflater)
		} else {
			frames = append(frames, g.encode()...)
		}
	}
	return frames
}

// written counts a batch that is out, and lets go of it.
func (c *Conn) written(batch []*Group) {
	messages, bytes := 0, 0
	for _, g := range batch {
		messages += g.messages
		bytes += g.size
	}
	clear(batch)
	giveBack(batch)
	c.cfg.Traffic.MessagesOut.Add(uint64(messages))
	c.cfg.Traffic.BytesOut.Add(uint64(bytes))
}

// writeFailed leaves net.ErrClosed to the reader: it has answered a close frame, or
// sent one for a breach, and has seen why.
func (c *Conn) writeFailed(err error) {
	if !errors.Is(err, net.ErrClosed) {
		c.fail(causeOf(err))
	}
}
