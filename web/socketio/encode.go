package socketio

import (
	"encoding/json"
	"errors"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// encodeEvent makes the packets of a message, once for all the Socket.IO
// clients of the node: the namespace is the message's, and the payload is the
// text that the publisher wrote.
func encodeEvent(d *node.Delivery) any { return asWished(engineGroup(eventPacket(d)), d) }

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
	}{d.Session.ID()})
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
