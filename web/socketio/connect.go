package socketio

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/sio"
)

// pending is a namespace that a client is about to join.
type pending struct {
	done   chan struct{} // closed when it has, or may not
	cancel context.CancelFunc
}

// beginConnect joins a namespace, for which it may have to wait for other nodes: with recovery until
// all know that one of them is dead. The reader goes on meanwhile, as with the official server. A client that
// changes from polling to a websocket waits for the answer to its POST, and one that has not got it when the
// upgrade is given up polls no more. Without recovery a client may move, for which the
// reader must stand still.
func (c *conn) beginConnect(namespace string, auth json.RawMessage) {
	c.mu.Lock()
	full := len(c.sockets)+len(c.pending) >= maxNamespaces
	c.mu.Unlock()
	switch {
	case full:
		c.connectError(namespace, node.Errorf(node.CodeLimit, "more than %d namespaces", maxNamespaces))
	case c.server.node.Recovery() == 0 || c.legacy():
		c.connect(c.server.ctx, namespace, auth)
	default:
		c.connectBeside(namespace, auth)
	}
}

func (c *conn) connectBeside(namespace string, auth json.RawMessage) {
	ctx, cancel := context.WithCancel(c.server.ctx)
	p := pending{make(chan struct{}), cancel}
	c.mu.Lock()
	if c.pending == nil {
		c.pending = map[string]pending{}
	}
	c.pending[namespace] = p
	c.mu.Unlock()
	over := func() {
		cancel()
		c.mu.Lock()
		if delete(c.pending, namespace); len(c.pending) == 0 {
			c.pending = nil
		}
		c.mu.Unlock()
		close(p.done)
	}
	if !c.server.later(func() {
		defer over()
		c.connect(ctx, namespace, auth)
	}) {
		over()
	}
}

// awaitConnect is the socket of a namespace that is being joined, when it is there: the client may know
// it a moment before. Nil: nobody joins it, or it may not.
func (c *conn) awaitConnect(namespace string) *socket {
	c.mu.Lock()
	p, ok := c.pending[namespace]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	<-p.done
	return c.socket(namespace)
}

func (c *conn) cancelPendingLocked() {
	for _, p := range c.pending {
		p.cancel()
	}
}

// connect opens a session in a namespace.
func (c *conn) connect(ctx context.Context, namespace string, auth json.RawMessage) {
	s := c.newSocket(namespace)
	session, err := c.server.node.Open(ctx, node.SessionConfig{Namespace: namespace, Sink: s, Affinity: c.affinity, Wait: c.server.cfg.ConnectTimeout,
		Resume: resumeOf(auth), NoRecovery: c.legacy(),
		Handshake: node.Handshake{Protocol: protocol, Remote: c.remote(), Auth: auth}})
	switch {
	case errors.Is(err, node.ErrNotNow):
		// A connect_error would be final: official clients do not connect again
		// after one. The loss of a connection they take for what it is.
		c.engine.Close(engineio.ReasonTransportClose)
	case err != nil:
		c.connectError(namespace, err)
	default:
		if why := c.add(s, session); why != "" {
			end(session, why)
		}
	}
}

// add makes s known to the reader, unless the client is gone, or disconnected by the server: that is
// why its session ends.
func (c *conn) add(s *socket, session *node.Session) (why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.session = session
	if c.sockets == nil {
		return c.why
	}
	c.everJoin = true
	c.stopTimeoutLocked()
	if s.kicked {
		return reasonServer
	}
	c.sockets[s.namespace] = s
	return ""
}

// end ends a session for a reason in the official words.
func end(session *node.Session, why string) {
	if recoverable[why] {
		session.Lost(why)
	} else {
		session.Close(why)
	}
}

func (c *conn) connectError(namespace string, err error) {
	data := errorData(err)
	if c.legacy() {
		data = legacyErrorData(err)
	}
	c.send(sio.Packet{Type: sio.ConnectError, Namespace: namespace, Data: data})
	c.engine.Flush()
}
