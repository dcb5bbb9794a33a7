// Package node is the hub of one process: namespaces, sessions, rooms and the
// handlers of events. It is neutral about protocols: a handler runs for an
// event whether it came by Socket.IO or plain WebSocket, and a session's
// protocol is behind a small interface, Sink. Everything here is for the whole
// cluster unless it says Local.
//
// # A server in Go
//
//	n, err := node.New(node.Config{})
//	chat := n.Namespace("/")
//	chat.OnConnect(func(s *node.Session) error {
//		return s.Join(s.Context(), "lobby")
//	})
//	node.Handle(chat, "say", func(s *node.Session, text string) (string, error) {
//		return "ok", chat.To("lobby").Emit("said", s.ID(), text)
//	})
//	w, err := web.New(web.Config{HTTP: ":8080"}, n)
//	err = w.RunWithNode(ctx)
//
// Package web serves it, on addresses of its own or in your http.Server (the
// Example of web.Server.Handler). The folder web/e2e/tutorials has complete
// programs: a chat room, a central server for game servers, a /broadcast route,
// private messages. Who knows Socket.IO finds here:
//
//	io.on("connection"), io.use      Namespace.OnConnect; its error is the connect_error
//	socket.on, socket.use            Namespace.On, OnInline, Handle, OnAny, Use
//	socket.emit, emitWithAck         Session.Emit, Session.EmitWithAck
//	io.to(room).except(room).emit    Operator.To, Except, Emit; also Volatile, Local, Timeout, Compress, Priority, IdempotencyKey
//	io.to(room).emitWithAck          Operator.EmitWithAck
//	socket.to(room), broadcast       Session.To, Session.Broadcast
//	socket.join, leave, rooms        Session.Join, Leave, Rooms
//	socket.data, handshake           Session.SetData (lists show it), Set and Get; Session.Handshake
//	fetchSockets, socketsJoin, ...   Operator.Sockets, Join, Leave, Disconnect
//	sockets.size, in the cluster     Namespace.Count, Operator.Count
//	(who is in a room, as users)     Namespace.Presence, Session.WatchPresence; Session.SetUser
//	serverSideEmit, io.on            Namespace.ServerSideEmit, OnServer
//	disconnecting, disconnect        Namespace.OnDisconnecting, OnDisconnect
//	io.of(/regex/)                   Node.NamespaceFunc
//
// # Events and answers
//
// Handlers are registered before Run. The events of one client are handled in
// order, one after the other; a handler may block, which slows down its client
// and nobody else. It may also ask its own client, see Session.EmitWithAck. Work
// that goes on for a client ends with Session.Context.
//
// Handle decodes the argument and acks what the handler returns; On gives the
// Event with its arguments as JSON texts, which go on byte for byte with
// Operator.EmitArgs. An error is answered {"ok":false,"error":...,"code":...}; its
// code is that of an Error, see Errorf. A []byte is a binary attachment.
//
// # Who is there, and who is missing
//
// Calls that ask other nodes or clients end after their timeout at the latest,
// and give what they know together with what is missing: nodes that died or
// did not answer, clients that were silent. A node that dies delays nobody.
//
// # What is promised
//
// Messages of one publisher and priority reach each member in order. After a Join has
// returned, no later message of any node that is linked is missed. The table is
// in DESIGN.md.
//
// # Reading order
//
// node.go (Node, what its lock guards), namespace.go (handlers), session.go and
// values.go (a client's life), rooms.go (membership), publish.go (operators),
// event.go, backlog.go and typed.go (events and their acks), encode.go (what may
// be emitted), ask.go and ackall.go (questions to clients), targets.go, lists.go
// and servers.go (the whole cluster) on requests.go, counts.go (of all nodes),
// history.go and pasts.go (for who comes late), delivery.go (what a protocol gets), priority.go, idempotent.go and keys.go
// (retries, on package once), shard.go (the fan-out), move.go
// with gates.go, depart.go, arrive.go and moved.go (sessions that go to another node),
// protocol.go (what protocols ask of other nodes), errors.go.
package node
