// Package node is the hub of one process: namespaces, sessions, rooms and the
// handlers of events. It is neutral about protocols: a handler runs for an
// event whether it came by Socket.IO or plain WebSocket, and a session's
// protocol is behind a small interface, Sink.
//
// # A server in Go
//
//	n, err := node.New(node.Config{})
//	chat := n.Namespace("/")
//	chat.OnConnect(func(s *node.Session) error {
//		return s.Join(ctx, "lobby")
//	})
//	chat.On("chat message", func(e *node.Event) {
//		chat.To("lobby").Emit("chat message", e.Session.ID(), e.Args[0])
//	})
//	go n.Run(ctx)
//
// Handlers are registered before Run. The events of one client are handled in
// order, one after the other; a handler may block, which slows down its client
// and nobody else.
//
// # What is promised
//
// Messages of one publisher reach each member in order. After a Join has
// returned, no later message of any node that is linked is missed. The table is
// in DESIGN.md.
//
// # Reading order
//
// node.go (Node, what its lock guards), namespace.go (handlers), session.go (a
// client's life), rooms.go (membership), publish.go (operators), event.go
// (events and their acks), delivery.go (what a protocol gets), shard.go (the
// fan-out), errors.go.
package node
