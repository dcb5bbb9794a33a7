package ws

import (
	"context"
	"errors"
	"net"

	"github.com/coder/websocket"
)

// Flush says that Take has something.
func (c *Conn) Flush() {
	select {
	case c.wake <- struct{}{}:
	default: // is awake
	}
}

// write sends what waits, until the connection has ended and nothing is left.
func (c *Conn) write(h Handler) {
	for {
		batch, open := h.Take()
		switch {
		case len(batch) > 0:
			if err := c.writeBatch(batch); err != nil {
				c.writeFailed(h, err)
				return
			}
			clear(batch)
		case !open || c.over():
			return
		default:
			select {
			case <-c.wake:
			case <-c.ended:
			}
		}
	}
}

// writeBatch is the one place where groups go out.
func (c *Conn) writeBatch(batch []*Group) error {
	c.tap.allowWrite(c.cfg.WriteTimeout)
	messages, bytes := 0, 0
	for _, g := range batch {
		if err := c.writeGroup(g); err != nil {
			return err
		}
		messages += g.messages
		bytes += g.size
	}
	c.cfg.Traffic.MessagesOut.Add(uint64(messages))
	c.cfg.Traffic.BytesOut.Add(uint64(bytes))
	return nil
}

// writeGroup writes compressed frames, which all clients share, past the library,
// each in one Write, see writeFrame.
func (c *Conn) writeGroup(g *Group) error {
	var packed [][]byte
	if c.packs {
		packed = g.deflate(c.cfg.Deflater)
	}
	for i, f := range g.frames {
		var err error
		if packed != nil && packed[i] != nil {
			_, err = c.tap.Write(packed[i])
		} else {
			err = c.writeFrame(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pingFrame is a ping without data (RFC 6455, section 5.5.2).
var pingFrame = []byte{0x80 | byte(Ping), 0}

// writeFrame writes one frame. A ping goes past the library, whose own would wait
// for the pong: it cannot fall into another frame, as data frames are written by
// this goroutine alone and the library's control frames are one Write each.
func (c *Conn) writeFrame(f Frame) error {
	typ := websocket.MessageText
	switch f.Opcode {
	case Ping:
		_, err := c.tap.Write(pingFrame)
		return err
	case Binary:
		typ = websocket.MessageBinary
	}
	return c.ws.Write(context.Background(), typ, f.Data)
}

// writeFailed leaves net.ErrClosed to the reader: the library has answered a close
// frame there, or a message that is too big, and the reader has seen why.
func (c *Conn) writeFailed(h Handler, err error) {
	if !errors.Is(err, net.ErrClosed) {
		c.fail(h, causeOf(err))
	}
}
