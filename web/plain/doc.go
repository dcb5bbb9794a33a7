// Package plain serves plain WebSocket clients and readers of Server-Sent Events on
// the sessions of a node: one JSON object a text frame, as package wire/plain writes
// and reads them (CONTRACT §3), and the same objects as a text/event-stream
// (CONTRACT §4).
//
// A connection is one session in the namespace "/". Commands become events of the
// node, so that the handlers of the relay or of an application run for clients of
// every protocol: join, leave and presence with (room), publish with (room, event,
// ...args), broadcast with (event, ...args), direct with (to, event, ...args), and
// emit as the event it names. A stream is a session too, which joins its rooms
// before the response begins and sends nothing.
//
// Reading order: config.go, server.go (the way of a request), conn.go (one client:
// the Handler of its websocket and the Sink of its session), command.go (what comes
// in), encode.go (what goes out). For streams: events.go (the way of a request),
// stream.go (one reader: the Sink of its session), stream_write.go (its response).
// The pure parts stand alone: heartbeat.go, reason.go, stats.go. DESIGN.md has the
// reasons.
package plain
