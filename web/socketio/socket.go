package socketio

import (
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
)

// socket is a client in one namespace: the Sink of its session.
type socket struct {
	conn      *conn
	namespace string
	session   *node.Session // set before any packet of the namespace is read

	kicked bool // the server has disconnected it; guarded by conn.mu
}

// Deliver implements node.Sink.
func (s *socket) Deliver(d *node.Delivery) bool {
	var g *engineio.Group
	switch d.Kind {
	case node.KindEvent:
		g = d.Encoded(node.FormatSocketIO, encodeEvent).(*engineio.Group)
		if d.Message.Flags&wire.Volatile != 0 {
			return s.conn.engine.SendVolatile(g)
		}
	case node.KindAck:
		g = encodeAck(s.namespace, d)
	case node.KindConnect:
		g = encodeConnect(s.namespace, d)
	default:
		return true // another protocol's
	}
	return s.conn.engine.Send(g)
}

// Flush implements node.Sink.
func (s *socket) Flush() { s.conn.engine.Flush() }

// Close implements node.Sink.
func (s *socket) Close(connection bool) { s.conn.kick(s, connection) }

// Transport is told in lists.
func (s *socket) Transport() string { return s.conn.engine.Transport() }
