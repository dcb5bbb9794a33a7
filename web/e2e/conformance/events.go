package main

import (
	"encoding/json"
	"strings"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/config"
)

// setup gives n what clients of the suites expect, and what shows the rest of
// the protocol:
//
//	/             all events
//	/custom       all events
//	/dynamic-...  made when a client asks for it
//	/forbidden    refuses with a message and data
func setup(n *node.Node, cfg *config.Config, drop func(addr string)) {
	attach := func(ns *node.Namespace) {
		events(ns)
		ns.On("drop", func(e *node.Event) { drop(e.Session.Handshake().Remote) })
		if cfg.Relay {
			relay.Attach(ns)
		}
		relay.Forward(ns, cfg.Forward...)
	}
	for _, name := range []string{"/", "/custom"} {
		attach(n.Namespace(name))
	}
	n.NamespaceFunc(func(name string) bool { return strings.HasPrefix(name, "/dynamic-") }, attach)
	n.Namespace("/forbidden").OnConnect(func(*node.Session) error {
		return &node.Error{Code: node.CodeForbidden, Message: "not authorized", Data: map[string]any{"code": 42, "retry": false}}
	})
}

// events registers the events of the suites, and some that they do not have.
func events(ns *node.Namespace) {
	ns.OnConnect(func(s *node.Session) error {
		auth := s.Handshake().Auth
		if auth == nil {
			auth = json.RawMessage("{}")
		}
		return s.Emit("auth", auth)
	})
	reasons := ns.To("watch reasons")
	ns.OnDisconnect(func(s *node.Session, reason string) { reasons.Emit("left", s.ID(), reason) })

	ns.On("message", func(e *node.Event) {
		ns.To(e.Session.ID()).EmitArgs("message-back", e.Args, e.Attachments)
	})
	ns.On("message-with-ack", func(e *node.Event) { e.AckArgs(e.Args, e.Attachments) })
	ns.On("volatile", func(e *node.Event) {
		ns.To(e.Session.ID()).Volatile().EmitArgs("message-back", e.Args, e.Attachments)
	})
	ns.On("id", func(e *node.Event) { e.Ack(e.Session.ID()) })
	ns.On("ask", ask)
	ns.On("kick", func(e *node.Event) { e.Session.Disconnect(false) })
}
