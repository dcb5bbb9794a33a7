package socketio

import (
	"bytes"
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
func encodeEvent(d *node.Delivery) any { return asWished(engineGroup(eventPacket(d), ""), d) }

func encodePacked(d *node.Delivery) any { return asWished(packedGroup(eventPacket(d), ""), d) }

// encodeMarked is encodeEvent for clients that may come back. Those of Socket.IO 2, which
// cannot, get the same without the mark.
func encodeMarked(d *node.Delivery) any {
	p := eventPacket(d)
	mark := markOf(d, p)
	if mark == "" {
		return encodeEvent(d)
	}
	return &marked{group: asWished(engineGroup(p, mark), d)}
}

func encodePackedMarked(d *node.Delivery) any {
	p := eventPacket(d)
	return asWished(packedGroup(p, markOf(d, p)), d)
}

// marked is an event with a mark, and without.
type marked struct {
	group *engineio.Group
	once  sync.Once
	bare  *engineio.Group
}

func (m *marked) without(d *node.Delivery) *engineio.Group {
	m.once.Do(func() { m.bare = asWished(engineGroup(eventPacket(d), ""), d) })
	return m.bare
}

// markOf is what the list of an event has behind the arguments, as JSON: its cursor. The official
// client takes any string at the end, also the name of an event without arguments, for the
// place up to which it has got everything. So an event without a cursor that ends with a string has
// null behind it. One that wants an answer ends with a function there.
func markOf(d *node.Delivery, p sio.Packet) string {
	if cursor := d.Cursor(); cursor != "" {
		return `"` + cursor + `"`
	}
	if rest, ok := bytes.CutSuffix(p.Data, []byte("]")); ok && d.AckID == 0 && bytes.HasSuffix(bytes.TrimRight(rest, " \t\r\n"), []byte(`"`)) {
		return "null"
	}
	return ""
}

// appendMark puts mark behind the arguments of the list with which text ends.
func appendMark(text []byte, mark string) []byte {
	last := len(text) - 1
	if mark == "" || last < 0 || text[last] != ']' {
		return text
	}
	text = append(append(text[:last], ','), mark...)
	return append(text, ']')
}

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
