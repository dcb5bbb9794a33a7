package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

var errNotUTF8 = errors.New("its text is not UTF-8")

func textGroup(text []byte) *ws.Group { return ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: text}) }

// messageGroup is textGroup for what was appended to a ws.Room.
func messageGroup(room []byte) *ws.Group { return ws.NewMessage(ws.Text, room) }

// eventHead is about what a frame has beside the parts of its message, in bytes.
const eventHead = 128

// answerGroup is textGroup for the answer to a command: what the client was sent
// before it comes before it, whatever the priority.
func answerGroup(text []byte) *ws.Group { return textGroup(text).At(ws.Barrier) }

// group is what the client gets of a delivery, nil for nothing.
func (c *conn) group(d *node.Delivery) *ws.Group {
	switch d.Kind {
	case node.KindEvent:
		return formsOf(d).socket.get(func() *ws.Group { return c.server.encodeEvent(d) })
	case node.KindAck:
		if g := sharedAck(d); g != nil {
			return g
		}
		return c.server.encodeAck(d)
	case node.KindConnect:
		return c.welcome(d)
	}
	return nil // another protocol's
}

// forms are what a message becomes, each once for all clients of its kind: the
// node keeps one value for this package.
type forms struct{ socket, stream form }

type form struct {
	once  sync.Once
	group *ws.Group
}

func formsOf(d *node.Delivery) *forms { return d.Encoded(node.FormatPlain, newForms).(*forms) }

func newForms(*node.Delivery) any { return new(forms) }

// get makes the group if it is the first to ask.
func (f *form) get(encode func() *ws.Group) *ws.Group {
	f.once.Do(func() { f.group = encode() })
	return f.group
}

// volatile says that d may be left out.
func volatile(d *node.Delivery) bool {
	return d.Kind == node.KindEvent && d.Message.Flags&wire.Volatile != 0
}

// encodeEvent makes the frame of a message.
func (s *Server) encodeEvent(d *node.Delivery) *ws.Group {
	cursor := d.Cursor()
	room := ws.Room(eventHead + len(d.Message.Payload))
	var err error
	if d.AckID > 0 {
		room, err = plain.AppendAsk(room, d.Message, d.AckID)
	} else {
		room, err = plain.AppendEvent(room, d.Message, d.ID(), cursor)
	}
	return asWished(s.eventGroup(&s.counters.sockets, room, err, messageGroup), d, cursor)
}

// asWished has an event wait at its priority, and leaves out of compression what its
// publisher says is not worth it. What has a cursor keeps one order: a client that got
// it has got everything before it.
func asWished(g *ws.Group, d *node.Delivery, cursor string) *ws.Group {
	if g == nil {
		return nil
	}
	if d.Message.Flags&wire.Uncompressed != 0 {
		g = g.Uncompressed()
	}
	if cursor != "" {
		return g
	}
	switch node.PriorityOf(d.Message) {
	case node.High:
		return g.At(ws.High)
	case node.Low:
		return g.At(ws.Low)
	}
	return g
}

// encodeStream makes its part of an event stream.
func (s *Server) encodeStream(d *node.Delivery) *ws.Group {
	cursor := d.Cursor()
	text, err := plain.AppendEventSSE(nil, d.Message, d.ID(), cursor)
	return asWished(s.eventGroup(&s.counters.streams, text, err, textGroup), d, cursor)
}

// eventGroup leaves out, as nil, what cannot be told: its payload is a mistake of
// its publisher, and breaks no connection.
func (s *Server) eventGroup(of *endpoint, text []byte, err error, group func([]byte) *ws.Group) *ws.Group {
	if err == nil && !utf8.Valid(text) {
		err = errNotUTF8 // at which a browser closes its websocket
	}
	if err != nil {
		s.untold(of, "event", err)
		return nil
	}
	return group(text)
}

func (s *Server) untold(of *endpoint, what string, err error) {
	of.untold.Add(1)
	s.log.Debug("left out for plain clients", "what", what, "err", err)
}

// encodeAck is the answer to a command. One that cannot be told becomes a failure,
// so that the client does not wait for ever.
func (s *Server) encodeAck(d *node.Delivery) *ws.Group {
	if d.AckID == silent {
		if d.Shared != nil { // it succeeded
			return nil
		}
		return encodeError(d)
	}
	args, err := wire.SplitArgs(d.Args)
	if err == nil {
		var text []byte
		if text, err = plain.AppendAck(nil, d.AckID, args, d.Attachments); err == nil {
			return answerGroup(text)
		}
	}
	s.untold(&s.counters.sockets, "answer", err)
	result, _ := wire.MarshalJSON(node.Result{Error: "the answer has no form as plain JSON", Code: node.CodeUnavailable})
	text, _ := plain.AppendAck(nil, d.AckID, wire.Args{result}, nil) // fails with attachments only
	return answerGroup(text)
}

// sharedAck is the answer to a command with an id whose members are the same for many clients, and in memory once; nil
// if it is not. All that is shared says ok.
func sharedAck(d *node.Delivery) *ws.Group {
	if d.Shared == nil || d.AckID == silent {
		return nil
	}
	members, _ := d.Shared.Encoded(node.FormatPlain, membersOf).([]byte)
	if members == nil {
		return nil
	}
	return ws.NewAnswer(ws.Text, plain.AppendAckHead(nil, d.AckID), members).At(ws.Barrier)
}

// membersOf is what a frame has behind its id, nil for what is no object of members.
func membersOf(a *node.SharedAck) any {
	const id = 1
	args, err := wire.SplitArgs(a.Args())
	if err != nil || len(args) != 1 {
		return []byte(nil)
	}
	frame, err := plain.AppendAck(nil, id, args, nil)
	head := plain.AppendAckHead(nil, id)
	if err != nil || !bytes.HasPrefix(frame, head) {
		return []byte(nil)
	}
	return frame[len(head):]
}

// encodeError is the answer to a command without an id: nil when it succeeded.
func encodeError(d *node.Delivery) *ws.Group {
	var list []map[string]json.RawMessage // a struct would take "OK" for "ok"
	if json.Unmarshal(d.Args, &list) != nil || len(list) != 1 || string(list[0]["ok"]) != "false" {
		return nil
	}
	message, code := "the command failed", string(node.CodeUnavailable)
	_ = json.Unmarshal(list[0]["error"], &message) // of a handler's own answer: may be missing
	_ = json.Unmarshal(list[0]["code"], &code)
	return answerGroup(plain.AppendError(nil, message, code))
}

// welcome is the first frame. A client that asks for an earlier session is told whether
// it has it, or has missed messages.
func (c *conn) welcome(d *node.Delivery) *ws.Group {
	id, pid := d.Session.ID(), d.Session.PID()
	text := plain.AppendWelcome(nil, id, c.server.nodeName, pid)
	if c.request.URL().Query().Has("session") {
		text = plain.AppendWelcomeBack(nil, id, c.server.nodeName, pid, d.Session.Recovered())
	}
	return textGroup(text).At(ws.Fence)
}
