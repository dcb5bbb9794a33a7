package socketio

import (
	"bytes"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/sio"
)

// sharedGroup is an ack of which the data is the same for many clients, and in memory once: a packet ends
// with it, in text and in msgpack. Nil: there is no way to write it.
func (c *conn) sharedGroup(namespace string, d *node.Delivery) *engineio.Group {
	p, data := ackPacket(namespace, d), []byte(d.Args)
	p.Data = noArgs
	head, end, binary := sio.Append(nil, p), len(noArgs), c.parser == parserMessagePack
	if binary {
		head, _ = sio.AppendMessagePack(nil, p) // has a way: noArgs is JSON
		end = 1
		data, _ = d.Shared.Encoded(node.FormatMessagePack, packArgs).([]byte)
	}
	if data == nil {
		return nil
	}
	return engineio.NewAnswer(head[:len(head)-end], data, binary).At(engineio.Barrier)
}

// noArgs is the list whose place the data has; in msgpack it is one byte.
var noArgs = []byte("[]")

// packArgs is the list in msgpack, nil when there is no way to write it.
func packArgs(a *node.SharedAck) any {
	whole, err := sio.AppendMessagePack(nil, sio.Packet{Type: sio.Ack, Data: a.Args()})
	if err != nil {
		return []byte(nil)
	}
	empty, _ := sio.AppendMessagePack(nil, sio.Packet{Type: sio.Ack, Data: noArgs})
	return bytes.Clone(whole[len(empty)-1:])
}
