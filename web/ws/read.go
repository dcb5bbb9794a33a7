package ws

import (
	"context"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// read hands on what the client sends, until the stream ends, by itself or by
// hangUp. The result counts when nobody has ended the connection before.
func (c *Conn) read(h Handler) Cause {
	for {
		data, binary, cause := c.receive()
		if cause != 0 {
			return cause
		}
		h.Received(data, binary)
	}
}

// receive waits for the next message of the client.
func (c *Conn) receive() (data []byte, binary bool, cause Cause) {
	c.tap.touch()
	c.busy.Store(false)
	defer c.busy.Store(true)
	typ, data, err := c.ws.Read(context.Background()) // ended by tap.endBy
	binary = typ == websocket.MessageBinary
	switch {
	case err != nil:
		return nil, false, causeOf(err)
	case !binary && !utf8.Valid(data):
		return nil, false, CauseInvalidText // RFC 6455, section 8.1; the library leaves it to us
	}
	c.cfg.Traffic.MessagesIn.Add(1)
	c.cfg.Traffic.BytesIn.Add(uint64(len(data)))
	return data, binary, 0
}
