// Package sio is the wire format of Socket.IO 5: the packets that are the data
// of Engine.IO messages. It is pure: no I/O, no clock, no session.
//
// Source: docs/socket.io-protocol/v5-current.md of socketio/socket.io; "section"
// below means a heading of that page. A packet is text, in this order:
//
//	type  attachments-  namespace,  ack id  JSON
//
//	0/admin,{"token":"1"}   connect        client asks, server agrees
//	1/admin,                disconnect     either side leaves the namespace
//	2["hello",1]            event          212["hello",1] asks for ack 12
//	312["world"]            ack            the answer to event 12
//	4{"message":"no"}       connect error  server refuses
//	51-["file",P]           binary event   one attachment follows
//	61-12[P]                binary ack
//
// P is {"_placeholder":true,"num":0}, which stands for attachment 0. Attachments
// follow the text as binary messages, in order, with no other packet between.
// The namespace "/" is left out, and the comma belongs to the namespace.
//
// # Where it is stricter than socket.io-parser 4.2.6
//
// No official client sends any of this:
//
//   - What JavaScript's Number makes of empty or blank text is refused: an empty
//     packet (there a connect), "5-" (there no attachments), blanks around the
//     ack id or in place of it.
//   - An event or ack without a payload is refused, as section "Sending and
//     receiving data" demands.
//   - Ack ids end at MaxAckID, namespaces at MaxNamespace bytes, and text must be
//     valid UTF-8: a browser closes its websocket when others get less passed on.
//   - Each attachment has exactly one placeholder, which is checked with the text
//     and not after the attachments have been held in memory.
//
// # The msgpack form
//
// Clients with socket.io-msgpack-parser send each packet as one binary message, a
// map {type, nsp, data, id}, in which binary values stand where they are used.
// DecodeMessagePack and AppendMessagePack go between it and a Packet, whose Data
// is JSON text all the same: what such a client sends, all others can read.
//
// # What is left to the server
//
// As in the official server, the parser takes packets that only make sense in
// one direction or state. The server closes the connection for a ConnectError
// from a client, a second Connect to a namespace, and anything but a Connect to
// a namespace that the client is not in; it ignores an Ack without an id or
// with one that it does not know. A query behind the name of a namespace
// ("/admin?token=1") stays part of it: only Socket.IO 2 clients mean
// parameters by it.
//
// Reading order: packet.go, event.go, decoder.go; unpack.go and unpack_value.go
// (from msgpack), pack.go (to msgpack).
package sio
