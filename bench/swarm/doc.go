// Package swarm holds many websocket connections as a client, on few threads:
// enough for one process to be thousands of clients of a server under test
// without being what is measured.
//
// It is the client side of RFC 6455 that this needs and no more: no TLS, no
// extensions, no subprotocols. On Linux each loop is one thread that waits in epoll and
// reads every connection into the same buffer, where frames are parsed in place; an
// open connection costs no goroutine and no buffer. On other systems each
// connection has a goroutine.
//
// Reading order: frame.go, assembler.go, handshake.go (all pure), target.go,
// swarm.go, then sock_linux.go or sock_other.go.
package swarm
