package plain

import (
	"net/http"
	"sync"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/plain"
)

// stream is one reader of events: the node.Sink of its session. The goroutine of
// its request opens the session and writes; a shard of the node puts on the queue
// what the client is to get.
type stream struct {
	server    *Server
	w         http.ResponseWriter
	rc        *http.ResponseController
	handshake node.Handshake
	session   *node.Session // the request's; nil until open has returned
	resumed   bool          // the client has missed nothing; set by open
	tail      []byte        // ends an event that has a cursor: the client's part of the id; set by open
	wake      chan struct{} // capacity 1: something waits
	ended     chan struct{} // closed with the reason

	mu       sync.Mutex // a leaf: whoever holds it does not block and calls nothing up
	reason   reason     // of the end; zero while the stream is open
	slow     ws.Slow    // with reasonSlow; zero is SlowWrite
	deadline time.Time  // of all writes after the end
	writing  bool       // somebody must give a write the deadline
	hurry    sync.WaitGroup
	out      ws.Outbox
}

var (
	noDeadline time.Time
	longAgo    = time.Unix(1, 0) // a deadline that stops a write at once
)

func newStream(s *Server, w http.ResponseWriter, r *http.Request) *stream {
	return &stream{
		server: s, w: w, rc: http.NewResponseController(w),
		handshake: node.Handshake{Protocol: "sse", Query: r.URL.Query(), Header: r.Header, Remote: r.RemoteAddr},
		wake:      make(chan struct{}, 1), ended: make(chan struct{}),
		out: ws.Outbox{MaxBytes: s.cfg.QueueBytes, MaxGroups: s.cfg.QueueGroups},
	}
}

// Deliver implements node.Sink. The client sends nothing that could be answered.
func (e *stream) Deliver(d *node.Delivery) bool {
	if d.Kind != node.KindEvent {
		return true
	}
	g := formsOf(d).stream.get(func() *ws.Group { return e.server.encodeStream(d) })
	if g == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reason != 0 {
		return false
	}
	if volatile(d) {
		if e.out.Writing() || !e.out.Add(g) {
			e.server.counters.streams.volatile.Add(1)
		}
		return true
	}
	if !e.out.Add(g) {
		e.slow = e.out.Why(g)
		e.endLocked(reasonSlow)
		return false
	}
	return true
}

// Waiting implements node.Gauge.
func (e *stream) Waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.Bytes()
}

// Flush implements node.Sink.
func (e *stream) Flush() {
	select {
	case e.wake <- struct{}{}:
	default: // is awake
	}
}

// Close implements node.Sink.
func (e *stream) Close(bool) { e.end(reasonServer) }

// Cut implements node.Cutter.
func (e *stream) Cut() { e.end(reasonElsewhere) }

// Transport is told in lists.
func (e *stream) Transport() string { return "sse" }

// end is the only way in which a stream ends. Only the first call counts.
func (e *stream) end(why reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.endLocked(why)
}

func (e *stream) endLocked(why reason) {
	if e.reason != 0 {
		return
	}
	e.reason, e.deadline = why, longAgo
	if why.inOrder() {
		e.deadline = time.Now().Add(ws.CloseTimeout)
	}
	close(e.ended)
	if e.writing {
		// HTTP/2 may take a moment for it, which a shard must not wait for.
		e.hurry.Go(func() { e.rc.SetWriteDeadline(e.deadline) })
	}
}

func (e *stream) why() reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reason
}

// take hands out all that waits, and says whether more may come.
func (e *stream) take() (batch []*ws.Group, open bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.Take(), e.reason == 0
}

// The parts of a stream that are no events.
const (
	// firstRetry is when clients come back that lose their stream, in milliseconds.
	// Browsers take seconds of their own choice otherwise.
	firstRetry = 1000
	// beatLine is a comment: proxies drop what is silent.
	beatLine = ":\n"
)

// gap is the first event of a client that asks to resume, and may have missed something.
var gap = string(plain.AppendSSE(nil, "gap", "", []byte(`{"type":"gap"}`)))
