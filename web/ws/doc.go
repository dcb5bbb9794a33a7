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
// An idle Conn has no goroutine, no buffer and nothing of the request that opened
// it. One that is TCP and nothing else is parked in a Poller, on Linux; when something
// has come, who polls reads what waits for nobody, or a goroutine reads until nothing is left. The others (TLS, other systems) have a goroutine that
// waits. Either way the bytes go through one decoder, which knows nothing of
// connections.
//
// Reading order: conn.go (Handler, Conn, the life of a connection), accept.go (the
// handshake), read.go with poller_linux.go, lead_linux.go, try_linux.go and read_linux.go (who reads, and when),
// decode.go with inflate.go (bytes to messages), frame.go, turn.go (who writes),
// write.go, direct.go (writing without waiting), control.go (pongs and close frames),
// tap.go (the connection below), cause.go. The rest stands alone: guest.go (who is
// told of the end of a connection), deflate.go (compression, once for all), pace.go
// and notice.go (limits of a rate, and of log lines), slow.go, group.go, outbox.go with
// lanes.go (what goes before what), roster.go, request.go, guard.go, latch.go.
//
// Source: RFC 6455.
package ws
