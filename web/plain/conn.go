package plain

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/plain"
)

// pingGroup is the ping of every heartbeat.
var pingGroup = ws.NewGroup(ws.Frame{Opcode: ws.Ping})

// conn is one client: the ws.Handler of its websocket and the node.Sink of its
// session. The websocket's reader opens the session, gives it the commands and
// closes it; a shard of the node puts on the queue what the client is to get.
type conn struct {
	server    *Server
	ws        *ws.Conn
	handshake node.Handshake // without what request holds
	request   ws.Memo
	session   *node.Session // set by the reader under mu; nil until Opened has returned
	pace      ws.Pace       // the reader's
	queued    bool          // the shard's: since the last Flush

	mu        sync.Mutex // whoever holds it does not block and calls nothing up but Session.Gone
	reason    reason     // of the end; zero while the connection is open
	goodbye   bool       // with reasonClose: the client will not come back
	slow      ws.Slow    // with reasonSlow; zero is SlowWrite
	out       ws.Outbox
	heartbeat heartbeat
	timer     *time.Timer // runs fired; nil before the session is open
}

func newConn(s *Server, socket *ws.Conn, r *http.Request) *conn {
	return &conn{
		server:    s,
		ws:        socket,
		pace:      ws.NewPace(s.cfg.Rate),
		handshake: node.Handshake{Protocol: "websocket", Remote: r.RemoteAddr},
		request:   ws.Remember(r),
		out:       ws.Outbox{MaxBytes: s.cfg.QueueBytes, MaxGroups: s.cfg.QueueGroups},
		heartbeat: heartbeat{interval: s.cfg.PingInterval, timeout: s.cfg.PingTimeout},
	}
}

// Opened implements ws.Handler. Opening takes as long as other nodes take to learn
// of the namespace; what the client sends meanwhile waits to be read. The shard may
// have delivered the welcome, and closed the Sink, before Open returns.
func (c *conn) Opened() {
	ctx, cancel := context.WithTimeout(c.server.ctx, openTimeout)
	defer cancel()
	n := c.server.node
	session, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: c, Handshake: c.handshake, Affinity: n.NewAffinity(), Resume: c.resume()})
	if err != nil {
		c.refuse(err)
		return
	}
	c.begin(session)
}

// resume is the session that the client names as the one it had.
func (c *conn) resume() node.Resume {
	query := c.request.URL().Query()
	return node.Resume{PID: query.Get("session"), Cursor: query.Get("cursor")}
}

// refuse tells the client why it gets no session. The node says it is unavailable
// when another node, or this one later, may well take the client.
func (c *conn) refuse(err error) {
	why := reasonRefused
	var e *node.Error
	if errors.As(err, &e) && e.Code == node.CodeUnavailable {
		why = reasonUnavailable
	}
	c.server.log.Debug("session refused", "addr", c.handshake.Remote, "err", err)
	c.send(textGroup(plain.AppendError(nil, err.Error(), string(node.CodeOf(err)))))
	c.end(why)
}

// Take implements ws.Handler.
func (c *conn) Take() (batch []*ws.Group, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Take(), c.reason == 0
}

// Failed implements ws.Handler.
func (c *conn) Failed(cause ws.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodbye = c.goodbye || c.reason == 0 && cause == ws.CauseGoodbye
	c.endLocked(causes[cause])
}

// Deliver implements node.Sink.
func (c *conn) Deliver(d *node.Delivery) bool {
	g := c.group(d)
	if g == nil {
		return true
	}
	c.queued = true
	if volatile(d) {
		return c.sendVolatile(g)
	}
	return c.send(g)
}

// Answered implements node.Answerer.
func (c *conn) Answered() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Answered()
}

// Flush implements node.Sink. The silent answer to a command writes nothing.
func (c *conn) Flush() {
	if c.queued {
		c.queued = false
		c.ws.FlushNow()
	}
}

// Close implements node.Sink. The connection is the session's alone, so it ends
// either way; Ended tells the node.
func (c *conn) Close(bool) { c.end(reasonServer) }

// Cut implements node.Cutter.
func (c *conn) Cut() { c.end(reasonElsewhere) }

// Waiting implements node.Gauge.
func (c *conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Bytes()
}

// Recall implements node.Recaller.
func (c *conn) Recall() (query url.Values, header http.Header) {
	return c.request.URL().Query(), c.request.Header()
}

// send queues g, or reports that the connection has ended, perhaps for this g.
func (c *conn) send(g *ws.Group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != 0 {
		return false
	}
	if !c.out.Add(g) {
		c.slow = c.out.Why(g)
		c.endLocked(reasonSlow)
		return false
	}
	return true
}

// sendVolatile drops g, and reports no loss, while the client is not writable.
func (c *conn) sendVolatile(g *ws.Group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != 0 {
		return false
	}
	if c.out.Writing() || !c.out.Add(g) {
		c.server.counters.sockets.volatile.Add(1)
	}
	return true
}

// begin makes the session known, and starts the timer of the heartbeat unless the
// connection has ended by now.
func (c *conn) begin(session *node.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = session
	if c.reason == 0 {
		c.timer = time.AfterFunc(c.heartbeat.interval, c.fired)
	}
}

// fired runs when the heartbeat's timer does.
func (c *conn) fired() {
	if c.beat(c.ws.Heard()) {
		c.ws.FlushNow()
	}
}

// beat does what the heartbeat asks for, and reports whether there is a ping to flush.
func (c *conn) beat(heard time.Time) (ping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != 0 {
		return false
	}
	due, wait := c.heartbeat.check(time.Now(), heard)
	switch due {
	case beatPing:
		c.out.Push(pingGroup) // few wait at a time: a write is over after PingTimeout
		ping = true
	case beatDead:
		c.endLocked(reasonPingTimeout)
		return false
	}
	c.timer.Reset(wait)
	return ping
}

// ended says that the connection is over or ends.
func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason != 0
}

// end is the only way in which a connection ends. Only the first call counts.
func (c *conn) end(why reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(why)
}

func (c *conn) endLocked(why reason) {
	if c.reason != 0 {
		return
	}
	c.reason = why
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.session != nil { // the reader may wait for a handler that waits for the end
		c.session.Gone()
	}
	c.ws.End(reasons[why].status, why.text())
}

// leave counts the connection out.
func (c *conn) leave() {
	c.server.cfg.Left(c.handshake.Remote)
	c.server.roster.Leave()
}

// Ended implements ws.Handler.
func (c *conn) Ended() {
	defer c.leave()
	c.mu.Lock()
	why, slow, goodbye := c.reason, c.slow, c.goodbye
	c.out.Drop() // handlers may keep the session
	c.mu.Unlock()
	c.server.roster.Remove(c)
	c.server.left(&c.server.counters.sockets, c.handshake, why, slow)
	c.server.log.Debug("websocket ended", "addr", c.handshake.Remote, "reason", why.String())
	switch {
	case c.session == nil:
	case goodbye || why == reasonServer:
		c.session.Close(why.official())
	default:
		c.session.Lost(why.official())
	}
}
