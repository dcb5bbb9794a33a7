// Package engineio serves Engine.IO 4, and 3 where that is allowed: sessions that
// carry messages over a transport, with a heartbeat and one exact end. It knows
// nothing of what the messages mean.
//
// A Server is the http.Handler of the engine path. For each session it calls the
// Handler once, then the Receiver with each message and with the end. Groups of
// packets go out through a bounded queue per Socket; nothing that a caller does
// to a Socket ever blocks or calls back.
//
// Reading order: config.go and handler.go (what a user gives), server.go (the
// way of a request), socket.go (the life of a session), transport.go (the seam),
// websocket.go (the transport on package ws), polling.go with get.go and post.go
// (the transport of HTTP requests), upgrade.go (from the one to the other), detour.go
// (requests that another server passes on), leaving.go and arrival.go (sessions that
// go to another server, and come from one), v3.go (what clients of Engine.IO 3 do
// otherwise). The pure parts stand alone: reason.go, group.go, heartbeat.go, refuse.go,
// stats.go.
// DESIGN.md has the state diagram and the reasons.
//
// Source: docs/engine.io-protocol/v4-current.md of socketio/socket.io, and its
// packages/engine.io for what the document leaves open.
package engineio
