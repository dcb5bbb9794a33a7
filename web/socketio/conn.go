package socketio

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// conn is one client: an Engine.IO session and the namespaces on it. Packets
// are handled on the engine's reader goroutine, one after the other.
type conn struct {
	server   *Server
	engine   *engineio.Socket
	affinity node.Affinity
	decoder  sio.Decoder // the reader's
	parser   parser      // set by the first message, before any session is opened

	first *node.Handshake // of a client that has moved here; nil: that of engine

	mu        sync.Mutex
	timeout   *time.Timer        // runs connectTimeout; nil once it need not
	sockets   map[string]*socket // by namespace; nil once closed
	pending   map[string]pending // namespaces that are being joined beside the reader
	why       string             // of the end, once closed
	kicked    bool               // the server has disconnected the client
	everJoin  bool               // a namespace was joined: no connect timeout any more
	departure *node.Departure    // the client moves to another node
}

// Reasons of disconnects that are Socket.IO's own, in the official words.
const (
	reasonClient = "client namespace disconnect"
	reasonServer = "server namespace disconnect"
)

// stopTimeoutLocked lets the timer go: a client is connected for long.
func (c *conn) stopTimeoutLocked() {
	if c.timeout != nil {
		c.timeout.Stop()
		c.timeout = nil
	}
}

// connectTimeout closes a client that never joined a namespace.
func (c *conn) connectTimeout() {
	c.mu.Lock()
	joined := c.everJoin
	c.mu.Unlock()
	if !joined {
		c.engine.Close(engineio.ReasonForcedServerClose)
	}
}

// Received implements engineio.Receiver. A packet that makes no sense ends the
// connection, as the official server does: the two sides disagree on more than it.
func (c *conn) Received(data []byte, binary bool) {
	if c.parser == parserUnknown {
		c.parser = parserOf(binary)
	}
	p, whole, err := c.decode(data, binary)
	if err != nil {
		c.refuse(err)
		return
	}
	if whole {
		c.packet(p)
	}
}

// TryReceived implements engineio.Trier, for events without attachments.
func (c *conn) TryReceived(text []byte) (done bool) {
	if c.parser != parserText || len(text) == 0 || text[0] != byte(sio.Event) || c.decoder.Waits() {
		return false
	}
	p, whole, err := c.decoder.Text(text)
	if err != nil || !whole {
		return false // and comes again
	}
	s := c.socket(p.Namespace)
	if s == nil || c.legacy() {
		return false
	}
	e, err := eventIn(p)
	return err == nil && s.session.TryReceive(e)
}

func (c *conn) refuse(err error) {
	c.server.parseErrors.Add(1)
	c.server.log.Debug("client closed for what it sent", "addr", c.engine.RemoteAddr(), "err", err)
	c.engine.Close(engineio.ReasonParseError)
}

func (c *conn) packet(p sio.Packet) {
	if c.legacy() {
		p = modern(p)
	}
	s := c.socket(p.Namespace)
	if s == nil {
		s = c.awaitConnect(p.Namespace)
	}
	switch {
	case s == nil && p.Type == sio.Connect:
		c.beginConnect(p.Namespace, p.Data)
	case s == nil && c.wasKicked(): // on its way when the server disconnected
	case s == nil || p.Type == sio.Connect || p.Type == sio.ConnectError:
		// The official server closes as well: the client has lost its place.
		c.engine.Close(engineio.ReasonForcedClose)
	case p.Type == sio.Disconnect:
		c.remove(s)
		s.session.Close(reasonClient)
	case p.Type == sio.Event:
		c.event(s, p)
	case p.Type == sio.Ack:
		c.ack(s, p)
	}
}

func (c *conn) event(s *socket, p sio.Packet) {
	e, err := eventIn(p)
	if err != nil {
		c.refuse(err)
		return
	}
	s.session.Receive(e)
}

func eventIn(p sio.Packet) (*node.Event, error) {
	name, ok := sio.EventName(p.Data)
	if !ok {
		return nil, fmt.Errorf("event without a name: %w", sio.ErrMalformed)
	}
	args, err := wire.SplitArgs(p.Data)
	if err != nil {
		return nil, err
	}
	return &node.Event{Name: name, Args: args[1:], Attachments: p.Attachments, AckID: p.AckID, HasAck: p.HasAck}, nil
}

// ack is the answer to an event of ours. One without a number is for nobody, as
// it is for the official server.
func (c *conn) ack(s *socket, p sio.Packet) {
	args, err := wire.SplitArgs(p.Data)
	if err != nil {
		c.refuse(err)
		return
	}
	if p.HasAck {
		s.session.ReceiveAck(p.AckID, args, p.Attachments)
	}
}

func (c *conn) socket(namespace string) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sockets[namespace]
}

func (c *conn) wasKicked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kicked
}

// protocol is what handshakes and lists call it.
const protocol = "socket.io"

// remote is the address of the client when it came, to whichever node that was.
func (c *conn) remote() string {
	if c.first != nil {
		return c.first.Remote
	}
	return c.engine.RemoteAddr()
}

// recall is the first request of the client, at whichever node that was: a browser
// sends headers of its page with that one, not with a websocket.
func (c *conn) recall() (query url.Values, header http.Header) {
	if c.first != nil {
		return c.first.Query, c.first.Header
	}
	r := c.engine.Request()
	return r.URL.Query(), r.Header
}

// remove takes s out of the namespaces of the client.
func (c *conn) remove(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sockets[s.namespace] == s {
		delete(c.sockets, s.namespace)
	}
}

// kick is the server's disconnect of one namespace, or of the whole client.
// It runs on a shard and must not call the node; the rest is done beside it.
func (c *conn) kick(s *socket, connection bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kicked, s.kicked = true, true
	if _, added := c.sockets[s.namespace]; !added {
		c.sendDisconnect(s)
	}
	for _, x := range c.sockets {
		if x == s || connection {
			c.sendDisconnect(x)
		}
	}
	c.engine.Flush()
	switch {
	case connection:
		c.engine.Close(engineio.ReasonForcedServerClose) // Closed ends the sessions
	case s.session != nil: // else add ends it
		c.server.later(func() {
			c.remove(s)
			s.session.Close(reasonServer)
		})
	}
}

func (c *conn) sendDisconnect(s *socket) {
	c.send(sio.Packet{Type: sio.Disconnect, Namespace: s.namespace})
}

// Ending implements engineio.Ender: the reader may wait for a handler that waits for
// the end. Whoever ends the engine's session may hold mu.
func (c *conn) Ending() {
	c.server.later(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cancelPendingLocked()
		for _, s := range c.sockets {
			s.session.Gone()
		}
	})
}

// Closed implements engineio.Receiver.
func (c *conn) Closed(reason engineio.Reason) {
	c.mu.Lock()
	c.stopTimeoutLocked()
	c.cancelPendingLocked()
	c.why = reason.Official()
	if c.kicked && reason == engineio.ReasonForcedServerClose {
		c.why = reasonServer
	}
	sockets, why := c.sockets, c.why
	c.sockets = nil
	c.mu.Unlock()
	if reason == engineio.ReasonMoved {
		return // the sessions live elsewhere
	}
	for _, s := range sockets {
		end(s.session, why)
	}
}
