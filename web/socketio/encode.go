package socketio

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// encodeEvent makes the packets of a message, once for all the Socket.IO
// clients of the node: the namespace is the message's, and the payload is the
// text that the publisher wrote.
func encodeEvent(d *node.Delivery) any {
	cursor := d.Cursor()
	g := asWished(engineGroup(eventPacket(d), cursor), d, cursor)
	if cursor == "" {
		return g
	}
	return &marked{group: g}
}

func encodePacked(d *node.Delivery) any {
	cursor := d.Cursor()
	return asWished(packedGroup(eventPacket(d), cursor), d, cursor)
}

// marked is an event that ends with its cursor, and the same without it for clients of
// Socket.IO 2, which know no recovery.
type marked struct {
	group *engineio.Group
	once  sync.Once
	bare  *engineio.Group
}

func (m *marked) without(d *node.Delivery) *engineio.Group {
	m.once.Do(func() { m.bare = asWished(engineGroup(eventPacket(d), ""), d, "") })
	return m.bare
}

// appendCursor makes cursor the last argument of the list with which text ends. The
// official client takes that for the place up to which it has got everything, and hands
// it to handlers, too, as it does with the official server's.
func appendCursor(text []byte, cursor string) []byte {
	last := len(text) - 1
	if cursor == "" || last < 0 || text[last] != ']' {
		return text
	}
	text = append(append(text[:last], `,"`...), cursor...)
	return append(text, `"]`...)
}

// cursorMarks is what a cursor takes at the end of a packet besides its own length: a
// comma and quotes, in bytes.
const cursorMarks = 3

func eventPacket(d *node.Delivery) sio.Packet {
	m := d.Message
	data := m.Payload
	if m.Flags&wire.WithSender != 0 {
		data = withSender(m)
	}
	return sio.Packet{Type: sio.Event, Namespace: m.Namespace, AckID: d.AckID, HasAck: d.AckID > 0,
		Data: data, Attachments: m.Attachments}
}

// withSender puts the sender in front of the arguments: direct promises it.
func withSender(m *wire.Message) []byte {
	args, err := wire.SplitArgs(m.Payload)
	if err != nil || len(args) == 0 {
		return m.Payload // no payload of ours
	}
	from, _ := json.Marshal(string(m.From)) // a string always has a JSON text
	return append(wire.Args{args[0], from}, args[1:]...).Join()
}

func ackPacket(namespace string, d *node.Delivery) sio.Packet {
	return sio.Packet{Type: sio.Ack, Namespace: namespace, AckID: d.AckID, HasAck: true, Data: d.Args, Attachments: d.Attachments}
}

func (c *conn) connectPacket(namespace string, d *node.Delivery) sio.Packet {
	if c.legacy() {
		return sio.Packet{Type: sio.Connect, Namespace: namespace}
	}
	data, _ := json.Marshal(struct {
		SID string `json:"sid"`
		PID string `json:"pid,omitempty"`
	}{d.Session.ID(), d.Session.PID()})
	return sio.Packet{Type: sio.Connect, Namespace: namespace, Data: data}
}

// errorData is what a client gets with its connect_error.
func errorData(err error) []byte {
	body := struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{Message: err.Error()}
	var e *node.Error
	if errors.As(err, &e) {
		body.Data = e.Data
	}
	data, err := wire.MarshalJSON(body)
	if err != nil { // Data of the application that is no JSON
		return []byte(`{"message":"internal error"}`)
	}
	return data
}
