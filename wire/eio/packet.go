package eio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// Type is the kind of a packet, as the byte that names it on the wire. The zero
// Type is no packet.
type Type byte

// The packet types, section "Protocol".
const (
	Open    Type = '0' + iota // first packet of a session, holds a Handshake
	Close                     // the transport may be closed
	Ping                      // heartbeat of the server, or the probe of an upgrade
	Pong                      // answer to Ping, with the same data
	Message                   // data of the layer above
	Upgrade                   // the client has moved to the new transport
	Noop                      // nothing; lets a poll return
)

// binaryPrefix stands before the base64 of a binary message, in place of a Type.
const binaryPrefix = 'b'

// String is the name that the protocol uses.
func (t Type) String() string {
	switch t {
	case Open:
		return "open"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Message:
		return "message"
	case Upgrade:
		return "upgrade"
	case Noop:
		return "noop"
	}
	return fmt.Sprintf("Type(%#x)", byte(t))
}

// Packet is one Engine.IO packet.
type Packet struct {
	Type   Type
	Binary bool // Data is bytes, not text; counts for Message only
	Data   []byte
}

// ErrMalformed says that bytes are no packet. Errors of this package wrap it.
var ErrMalformed = errors.New("eio: malformed packet")

// AppendPacket appends the text form of p to dst: the type and the data, or 'b'
// and base64 for a binary message. p.Type must be one of the constants.
//
// A transport with binary frames of its own sends the Data of a binary message
// as it is and does not need AppendPacket for it.
func AppendPacket(dst []byte, p Packet) []byte {
	if p.Type == Message && p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryPrefix), p.Data)
	}
	return append(append(dst, byte(p.Type)), p.Data...)
}

// DecodePacket reads one packet. binary says that data came as bytes, in a
// binary websocket frame, and so is a binary message whatever it holds, even
// nothing.
//
// Data of the result aliases data, but for base64, which is decoded to new
// memory, at most three quarters of what came in. Text is not checked to be
// UTF-8. The error wraps ErrMalformed.
func DecodePacket(data []byte, binary bool) (Packet, error) {
	if binary {
		return Packet{Type: Message, Binary: true, Data: data}, nil
	}
	if len(data) == 0 {
		return Packet{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	switch t := data[0]; {
	case t == binaryPrefix:
		return decodeBase64(data[1:])
	case t < byte(Open) || t > byte(Noop):
		return Packet{}, fmt.Errorf("%w: unknown type %#x", ErrMalformed, t)
	default:
		return Packet{Type: Type(t), Data: data[1:]}, nil
	}
}

// decodeBase64 is lenient where clients differ: padding may be missing, and the
// Java client breaks lines every 76 characters.
func decodeBase64(text []byte) (Packet, error) {
	text = bytes.TrimRight(text, "=\r\n")
	data, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return Packet{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Packet{Type: Message, Binary: true, Data: data}, nil
}
