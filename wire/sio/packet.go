package sio

import (
	"fmt"
	"strconv"
)

// Type is the kind of a packet, as the byte that names it on the wire. The zero
// Type is no packet.
type Type byte

// The packet types, section "Exchange protocol".
const (
	Connect      Type = '0' + iota // ask for or grant a namespace; no payload, or an object
	Disconnect                     // leave a namespace; no payload
	Event                          // an array whose first element is the name
	Ack                            // an array, the answer to an Event
	ConnectError                   // refuse a namespace; an object, or text from Socket.IO 2

	// On the wire only: a Packet is an Event or Ack with Attachments.
	binaryEvent
	binaryAck
)

// toBinary is the distance from Event and Ack to their binary forms.
const toBinary = binaryEvent - Event

// String is the name that the protocol uses.
func (t Type) String() string {
	switch t {
	case Connect:
		return "connect"
	case Disconnect:
		return "disconnect"
	case Event:
		return "event"
	case Ack:
		return "ack"
	case ConnectError:
		return "connect error"
	}
	return fmt.Sprintf("Type(%#x)", byte(t))
}

const (
	// MaxNamespace limits the name of a namespace, in bytes.
	MaxNamespace = 255
	// MaxAckID is the largest integer that a JavaScript client counts to exactly.
	MaxAckID = 1<<53 - 1
)

// Packet is one Socket.IO packet with all its attachments.
type Packet struct {
	Type      Type
	Namespace string // with its leading slash; "" is "/" too when appended
	AckID     uint64 // counts only with HasAck, at most MaxAckID
	HasAck    bool
	Data      []byte // JSON text, nil if there is none
	// Attachments of an Event or Ack, for which Data has placeholders.
	Attachments [][]byte
}

// Append appends the text of p to dst. The caller sends p.Attachments after it,
// each as a binary message, with nothing between. p.Data goes out as it is, not
// looked at: it must be valid JSON of the shape that the type asks for, and the
// namespace must be free of commas, as it is in every decoded packet.
func Append(dst []byte, p Packet) []byte {
	if n := len(p.Attachments); n > 0 && (p.Type == Event || p.Type == Ack) {
		dst = append(dst, byte(p.Type+toBinary))
		dst = append(strconv.AppendInt(dst, int64(n), 10), '-')
	} else {
		dst = append(dst, byte(p.Type))
	}
	if p.Namespace != "/" && p.Namespace != "" {
		dst = append(append(dst, p.Namespace...), ',')
	}
	if p.HasAck {
		dst = strconv.AppendUint(dst, p.AckID, 10)
	}
	return append(dst, p.Data...)
}
