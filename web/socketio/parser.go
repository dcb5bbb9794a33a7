package socketio

import (
	"fmt"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/eio"
	"github.com/meshrt/meshrt/wire/sio"
)

// parser is how a client writes its packets, and reads ours. Nothing in the
// handshake tells: the official server is configured for one. Here clients of
// all kinds meet in one room, and the first message of each tells its own.
type parser uint8

const (
	parserUnknown     parser = iota
	parserText               // the default: text, with attachments behind it
	parserMessagePack        // socket.io-msgpack-parser: each packet is one binary message
)

// parserOf is the parser of a client whose first message is of that kind: in
// text, a binary message must have one before it.
func parserOf(binary bool) parser {
	if binary {
		return parserMessagePack
	}
	return parserText
}

// decode gives a packet once it is whole.
func (c *conn) decode(data []byte, binary bool) (p sio.Packet, whole bool, err error) {
	switch {
	case c.parser == parserText && binary:
		return c.decoder.Binary(data)
	case c.parser == parserText:
		return c.decoder.Text(data)
	case !binary:
		return sio.Packet{}, false, fmt.Errorf("text from a client that speaks msgpack: %w", sio.ErrMalformed)
	}
	p, err = sio.DecodeMessagePack(data, c.decoder.MaxAttachments)
	return p, true, err
}

// event is the event of a delivery, made once for all clients of the parser.
// Nil: there is no way to write it.
func (s *socket) event(d *node.Delivery) *engineio.Group {
	format, encode := node.FormatSocketIO, encodeEvent
	switch {
	case s.parser == parserMessagePack && s.marks:
		format, encode = node.FormatMessagePack, encodePackedMarked
	case s.parser == parserMessagePack:
		format, encode = node.FormatMessagePack, encodePacked
	case s.marks:
		encode = encodeMarked
	}
	switch v := d.Encoded(format, encode).(type) {
	case *engineio.Group:
		return v
	case *marked:
		if s.legacy {
			return v.without(d)
		}
		return v.group
	}
	return nil
}

// asWished has an event wait at its priority, and leaves out of compression what its
// publisher says is not worth it. What has a cursor keeps one order: a client that got
// it has got everything before it.
func asWished(g *engineio.Group, d *node.Delivery) *engineio.Group {
	if g == nil {
		return nil
	}
	if d.Message.Flags&wire.Uncompressed != 0 {
		g = g.Uncompressed()
	}
	priority := node.PriorityOf(d.Message)
	switch {
	case priority == node.Normal || d.Cursor() != "":
		return g
	case priority == node.High:
		return g.At(engineio.High)
	}
	return g.At(engineio.Low)
}

// send queues a packet for this client alone. It is no event: an ack or a disconnect
// comes behind all that was sent before it, and a connect is before all that is sent
// in its namespace.
func (c *conn) send(p sio.Packet) bool {
	place := engineio.Barrier
	if p.Type == sio.Connect {
		place = engineio.Fence
	}
	g := c.group(p)
	if g != nil {
		g = g.At(place)
	}
	return c.sendGroup(g, false)
}

// group is a packet as this client reads it, nil when there is no way to write it.
func (c *conn) group(p sio.Packet) *engineio.Group {
	if c.parser == parserMessagePack {
		return packedGroup(p, "")
	}
	return engineGroup(p, "")
}

// sendGroup queues g. False means that the client is lost.
func (c *conn) sendGroup(g *engineio.Group, volatile bool) bool {
	if g == nil {
		c.server.encodeErrors.Add(1)
		return true
	}
	if volatile {
		return c.engine.SendVolatile(g)
	}
	return c.engine.Send(g)
}

// engineGroup is a packet as text, with its attachments as messages of their own. An
// event may have a mark behind its arguments.
func engineGroup(p sio.Packet, mark string) *engineio.Group {
	if len(p.Attachments) == 0 {
		room := engineio.Room(packetHead+len(p.Namespace)+len(p.Data)+1+len(mark), false)
		return engineio.NewMessage(appendMark(sio.Append(room, p), mark), false)
	}
	packets := make([]eio.Packet, 0, 1+len(p.Attachments))
	packets = append(packets, eio.Packet{Type: eio.Message, Data: appendMark(sio.Append(nil, p), mark)})
	for _, a := range p.Attachments {
		packets = append(packets, eio.Packet{Type: eio.Message, Binary: true, Data: a})
	}
	return engineio.NewGroup(packets...)
}

// packetHead is more than a packet without attachments has beside its namespace and
// data, in bytes: its type, a comma and the number of an ack.
const packetHead = 24

// packedHead is what the names of a packet's fields take in msgpack, in bytes, and some.
const packedHead = 48

// packedGroup is a packet as msgpack, nil when its data is no JSON: then it is
// a bug of ours or of another node. An event may have a mark behind its arguments.
func packedGroup(p sio.Packet, mark string) *engineio.Group {
	if mark != "" { // the message is others', too
		p.Data = appendMark(append(make([]byte, 0, len(p.Data)+1+len(mark)), p.Data...), mark)
	}
	room, err := sio.AppendMessagePack(engineio.Room(packedHead+len(p.Namespace)+len(p.Data), true), p)
	if err != nil {
		return nil
	}
	return engineio.NewMessage(room, true)
}
