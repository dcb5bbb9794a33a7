// Package eio is the wire format of Engine.IO 4, and of 3: packets, and the
// payloads that carry several packets in one body of HTTP long-polling. It is pure: no I/O, no
// clock, no session.
//
// Source: docs/engine.io-protocol/v4-current.md of socketio/socket.io; "section"
// below means a heading of that page. A packet is one byte of type and its data:
//
//	0{"sid":..}  open     server, first packet of a session      Handshake
//	1            close    either side, the transport may go
//	2  2probe    ping     server; with "probe" client, upgrading
//	3  3probe    pong     client; with "probe" server, upgrading
//	4hello       message  either side
//	5            upgrade  client, last step of an upgrade
//	6            noop     server, ends a poll that must not wait longer
//
// A binary message has no type byte. A websocket carries its bytes as a binary
// frame; a payload, which is text, carries 'b' and base64. A payload joins
// packets with Separator: "4hello\x1e2\x1e4world".
//
// Reading order: packet.go, payload.go, handshake.go; v3.go, what differs in
// Engine.IO 3.
package eio
