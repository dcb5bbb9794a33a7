package socketio

import (
	"net/http"
	"net/url"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
)

// socket is a client in one namespace: the Sink of its session.
type socket struct {
	engine    *engineio.Socket // of conn, as parser is: a delivery does not look there
	parser    parser
	legacy    bool // as conn's
	marks     bool // the node has recovery
	conn      *conn
	namespace string
	session   *node.Session // set before any packet of the namespace is read

	kicked bool // the server has disconnected it; guarded by conn.mu
}

// newSocket is for a session that is about to be opened: the parser is known by then.
func (c *conn) newSocket(namespace string) *socket {
	return &socket{engine: c.engine, parser: c.parser, legacy: c.legacy(), marks: c.server.node.Recovery() > 0, conn: c, namespace: namespace}
}

// Deliver implements node.Sink.
func (s *socket) Deliver(d *node.Delivery) bool {
	switch d.Kind {
	case node.KindEvent:
		return s.conn.sendGroup(s.event(d), d.Message.Flags&wire.Volatile != 0)
	case node.KindAck:
		if d.Shared != nil {
			return s.conn.sendGroup(s.conn.sharedGroup(s.namespace, d), false)
		}
		return s.conn.send(ackPacket(s.namespace, d))
	case node.KindConnect:
		return s.conn.send(s.conn.connectPacket(s.namespace, d))
	}
	return true // another protocol's
}

// DeliverNow implements node.Prompt.
func (s *socket) DeliverNow(d *node.Delivery) bool {
	if d.Kind == node.KindEvent && d.Message.Flags&wire.Volatile == 0 {
		if g := s.event(d); g != nil {
			return s.engine.SendNow(g)
		}
	}
	ok := s.Deliver(d)
	s.engine.Flush()
	return ok
}

// Answered implements node.Answerer.
func (s *socket) Answered() <-chan struct{} { return s.engine.Answered() }

// Flush implements node.Sink.
func (s *socket) Flush() { s.engine.Flush() }

// Close implements node.Sink.
func (s *socket) Close(connection bool) { s.conn.kick(s, connection) }

// Cut implements node.Cutter. Other sessions of the client may come back, too.
func (s *socket) Cut() { s.engine.Close(engineio.ReasonTransportClose) }

// Waiting implements node.Gauge. It is of all sessions of the client.
func (s *socket) Waiting() int { return s.engine.Waiting() }

// Recall implements node.Recaller.
func (s *socket) Recall() (query url.Values, header http.Header) { return s.conn.recall() }

// Transport is told in lists.
func (s *socket) Transport() string { return s.conn.engine.Transport() }
