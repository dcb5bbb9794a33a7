package plain

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

var errNotUTF8 = errors.New("its text is not UTF-8")

func textGroup(text []byte) *ws.Group { return ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: text}) }

// group is what the client gets of a delivery, nil for nothing.
func (c *conn) group(d *node.Delivery) *ws.Group {
	switch d.Kind {
	case node.KindEvent:
		return d.Encoded(node.FormatPlain, c.server.encode).(*ws.Group)
	case node.KindAck:
		return c.server.encodeAck(d)
	case node.KindConnect:
		return c.welcome(d)
	}
	return nil // another protocol's
}

// encodeEvent makes the frame of a message, once for all plain clients of the node.
// One that cannot be told is left out: its payload is a mistake of its publisher,
// and breaks no connection.
func (s *Server) encodeEvent(d *node.Delivery) any {
	text, err := plain.AppendEvent(nil, d.Message, "")
	if err == nil && !utf8.Valid(text) {
		err = errNotUTF8 // at which a browser closes its connection
	}
	if err != nil {
		s.untold("event", err)
		return (*ws.Group)(nil)
	}
	return textGroup(text)
}

func (s *Server) untold(what string, err error) {
	s.counters.untold.Add(1)
	s.log.Debug("left out for plain clients", "what", what, "err", err)
}

// encodeAck is the answer to a command. One that cannot be told becomes a failure,
// so that the client does not wait for ever.
func (s *Server) encodeAck(d *node.Delivery) *ws.Group {
	if d.AckID == silent {
		return encodeError(d)
	}
	args, err := wire.SplitArgs(d.Args)
	if err == nil {
		var text []byte
		if text, err = plain.AppendAck(nil, d.AckID, args, d.Attachments); err == nil {
			return textGroup(text)
		}
	}
	s.untold("answer", err)
	result, _ := wire.MarshalJSON(node.Result{Error: "the answer has no form as plain JSON", Code: node.CodeUnavailable})
	text, _ := plain.AppendAck(nil, d.AckID, wire.Args{result}, nil) // fails with attachments only
	return textGroup(text)
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
	return textGroup(plain.AppendError(nil, message, code))
}

// welcome is the first frame. Nothing is kept for clients that come back yet: who
// asks is told that it has missed messages.
func (c *conn) welcome(d *node.Delivery) *ws.Group {
	if c.handshake.Query.Has("session") {
		return textGroup(plain.AppendWelcomeBack(nil, d.Session.ID(), c.server.nodeName, "", false))
	}
	return textGroup(plain.AppendWelcome(nil, d.Session.ID(), c.server.nodeName, ""))
}
