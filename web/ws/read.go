package ws

import (
	"context"
	"io"
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
	typ, r, err := c.ws.Reader(context.Background()) // ended by tap.endBy
	if err == nil {
		data, err = readMessage(r, c.cfg.MaxPayload)
	}
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

// firstRead is what a message gets at first, in bytes: most are smaller.
const firstRead = 512

// readMessage reads a message to its end. It doubles its memory, up to the limit,
// and so leaves as garbage what the message has; io.ReadAll, which grows by a
// quarter, leaves five times as much, of which a hostile client can make a lot.
func readMessage(r io.Reader, most int) ([]byte, error) {
	data := make([]byte, 0, firstRead)
	for {
		if len(data) == cap(data) {
			size := 2 * cap(data)
			if len(data) < most {
				size = min(size, most+1) // the end is read with room left
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}
