package engineio

import (
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// Group is one or more packets that stay adjacent on the wire, such as an event
// and its attachments. It is built once and never changes, so that all the
// sockets it is sent to share it. Its Size, the bytes of the packets as websocket
// messages, is what counts against Config.QueueBytes.
type Group = ws.Group

// Place is where a Group stands among those that wait for a client: see Group.At. A
// new one is at Normal, behind what is high or normal and before what is low.
type Place = ws.Place

// The other places.
const (
	High    = ws.High
	Low     = ws.Low
	Barrier = ws.Barrier // normal, and all that waits goes before it
	Fence   = ws.Fence   // a Barrier that nothing overtakes later
)

// Room is a buffer to which the data of a message of about size bytes is appended, for
// NewMessage. It holds what goes out before the data.
func Room(size int, binary bool) []byte {
	if binary {
		return ws.Room(size)
	}
	return append(ws.Room(1+size), byte(eio.Message))
}

// NewMessage is NewGroup for one message, whose data was appended to a Room for that
// kind of message. It is not copied again, and the caller must not change it any more.
func NewMessage(room []byte, binary bool) *Group {
	if binary {
		return ws.NewMessage(ws.Binary, room)
	}
	return ws.NewMessage(ws.Text, room)
}

// NewAnswer is NewGroup for one message, which is head and tail. See ws.NewAnswer: tail is shared, and the group does not
// count against Config.QueueBytes.
func NewAnswer(head, tail []byte, binary bool) *Group {
	if binary {
		return ws.NewAnswer(ws.Binary, head, tail)
	}
	return ws.NewAnswer(ws.Text, append([]byte{byte(eio.Message)}, head...), tail)
}

// NewGroup encodes ps, mostly messages. The Data of a binary message is kept as
// it is: the caller must not change it any more.
func NewGroup(ps ...eio.Packet) *Group {
	frames := make([]ws.Frame, len(ps))
	for i, p := range ps {
		if p.Type == eio.Message && p.Binary {
			frames[i] = ws.Frame{Opcode: ws.Binary, Data: p.Data}
		} else {
			frames[i] = ws.Frame{Opcode: ws.Text, Data: eio.AppendPacket(make([]byte, 0, 1+len(p.Data)), p)}
		}
	}
	return ws.NewGroup(frames...)
}
