package swarm

import (
	"encoding/binary"
	"fmt"
)

// message is what arrived: a whole text or binary message, or a control frame.
type message struct {
	op   Opcode // continuation: nothing whole yet
	data []byte
}

// assembler puts the messages of one connection together from its frames. The
// zero assembler is ready.
type assembler struct {
	op    Opcode // of the message that is in pieces; continuation: none is
	parts []byte
}

// next takes the frame that b begins with. n is what it takes of b, 0 when more
// must be read first. The data of m is valid until the next call or until b
// changes.
func (a *assembler) next(b []byte) (m message, n int, err error) {
	f, n, err := parseFrame(b)
	if n == 0 || err != nil {
		return message{}, 0, err
	}
	switch {
	case f.op.control():
		return message{f.op, f.payload}, n, nil
	case (f.op == continuation) != (a.op != continuation):
		return message{}, 0, fmt.Errorf("frame with opcode %d in the wrong place: %w", f.op, ErrProtocol)
	case f.fin && f.op != continuation:
		return message{f.op, f.payload}, n, nil
	}
	m, err = a.add(f)
	return m, n, err
}

// add takes one piece of a message.
func (a *assembler) add(f frame) (m message, err error) {
	if f.op != continuation {
		a.op, a.parts = f.op, nil
	}
	if len(a.parts)+len(f.payload) > MaxMessage {
		return message{}, fmt.Errorf("message over %d bytes: %w", MaxMessage, ErrProtocol)
	}
	a.parts = append(a.parts, f.payload...)
	if f.fin {
		m = message{a.op, a.parts}
		a.op, a.parts = continuation, nil
	}
	return m, nil
}

// closeError tells of a close frame, section 5.5.1.
func closeError(payload []byte) error {
	if len(payload) < 2 {
		return fmt.Errorf("the server closes the websocket without a code")
	}
	code := binary.BigEndian.Uint16(payload)
	return fmt.Errorf("the server closes the websocket: %d %.60q", code, payload[2:])
}
