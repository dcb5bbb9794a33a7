package swarm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcode is the kind of a frame, RFC 6455 section 5.2.
type Opcode byte

// The opcodes. The zero Opcode is a continuation, and no message.
const (
	continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

func (o Opcode) control() bool { return o&8 != 0 }

const (
	// MaxMessage limits a message and a frame from the server, in bytes.
	MaxMessage = 2 << 20
	// maxHeader is the longest header that a server may send: it does not mask.
	maxHeader = 10
	// maxControl limits the payload of a control frame, section 5.5.
	maxControl = 125
)

// ErrProtocol is what errors of the parsers wrap.
var ErrProtocol = errors.New("the server breaks the websocket protocol")

// frame is one frame of a server.
type frame struct {
	fin     bool
	op      Opcode
	payload []byte
}

// parseFrame reads the frame that b begins with; its payload aliases b. n is what
// it takes of b, 0 when more must be read first. Frames over MaxMessage are
// refused by their header.
func parseFrame(b []byte) (f frame, n int, err error) {
	if len(b) < 2 {
		return frame{}, 0, nil
	}
	f.fin, f.op = b[0]&0x80 != 0, Opcode(b[0]&0x0f)
	if err := check(b[0], b[1]); err != nil {
		return frame{}, 0, err
	}
	size, head := uint64(b[1]), 2
	switch size {
	case 126:
		if head = 4; len(b) < head {
			return frame{}, 0, nil
		}
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = maxHeader; len(b) < head {
			return frame{}, 0, nil
		}
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > MaxMessage {
		return frame{}, 0, fmt.Errorf("frame of %d bytes, at most %d: %w", size, MaxMessage, ErrProtocol)
	}
	if uint64(len(b)-head) < size {
		return frame{}, 0, nil
	}
	n = head + int(size)
	f.payload = b[head:n:n]
	return f, n, nil
}

// check judges the first two bytes of a frame.
func check(first, second byte) error {
	op := Opcode(first & 0x0f)
	switch {
	case first&0x70 != 0:
		return fmt.Errorf("reserved bits without an extension: %w", ErrProtocol)
	case second&0x80 != 0:
		return fmt.Errorf("masked frame: %w", ErrProtocol)
	case op > Binary && op < Close || op > Pong:
		return fmt.Errorf("unknown opcode %d: %w", op, ErrProtocol)
	case op.control() && (first&0x80 == 0 || second > maxControl):
		return fmt.Errorf("control frame that is long or in pieces: %w", ErrProtocol)
	}
	return nil
}

// AppendFrame appends a whole message of a client as one frame, masked with mask.
// A server must not be able to tell masks beforehand in a browser; here any do.
func AppendFrame(dst []byte, op Opcode, payload []byte, mask uint32) []byte {
	const masked = 0x80
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	dst = binary.LittleEndian.AppendUint32(dst, mask)
	start := len(dst)
	dst = append(dst, payload...)
	applyMask(dst[start:], mask)
	return dst
}

// applyMask masks b, eight bytes at a time, section 5.3.
func applyMask(b []byte, mask uint32) {
	wide := uint64(mask)<<32 | uint64(mask)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}
