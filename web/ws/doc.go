// Package ws is one websocket on the server's side, and what servers of websockets
// have in common. It knows nothing of what the messages mean.
//
// A Conn reads messages and hands them to its Handler, one at a time; it writes
// what the Handler's queue holds, in batches, and ends in order or at once. A batch
// is written by who flushes, if the socket takes it without waiting, else by a
// goroutine that is there for what is left. The queue is an Outbox that the Handler
// owns, because a session of Engine.IO outlives its websocket. What waits there are
// Groups of frames, made once and shared by all the clients that they are for. A
// Roster lets a server end all its sessions and wait for them.
//
// The package is the one place that knows the websocket library, which reads, and
// writes control frames of its own: messages go past it, in frames that are made
// once for all clients. Everything that a client sends comes from receive: other
// ways to wait for input (a parked connection) go there and change nothing above.
//
// Reading order: conn.go (Handler, Conn, the life of a connection), read.go,
// frame.go, turn.go (who writes), write.go, direct.go (writing without waiting),
// tap.go (what sits between the library and the socket), cause.go. The rest stands
// alone: deflate.go (compression, once for all), pace.go and notice.go
// (limits of a rate, and of log lines), slow.go, group.go, outbox.go with
// lanes.go (what goes before what), roster.go, request.go, guard.go.
//
// Source: RFC 6455.
package ws
