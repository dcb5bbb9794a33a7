package web

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// The causes for which a gate closes a connection.
const (
	gateHandshakes  = "handshakes"       // too many that have not sent a request
	gateDescriptors = "file descriptors" // too many of all kinds
)

const (
	// maxHalfOpen limits the connections that have not sent a request: each holds
	// some 10 KB for up to headerTimeout.
	maxHalfOpen = 16 << 10
	// youngest is how old such a connection must be before it makes room for
	// another. A client sends its request within a few round trips; when all are
	// younger it is a rush of clients, and closing those that are about to come
	// through would help nobody.
	youngest = 2 * time.Second
)

// gate bounds the connections of an http.Server, the hijacked ones too, so that
// what a stranger opens and leaves open keeps no client away and leaves descriptors
// for the other listeners and the links of the cluster. When there are too many,
// the oldest one that has not sent a request makes room, then the one that is idle
// longest, then the newest is closed.
//
// It needs three hooks of the server: see mount. A connection itself is not
// wrapped, so that packages below find the *net.TCPConn.
type gate struct {
	max, maxHalfOpen int // 0: no limit
	notices          *ws.Notices

	mu       sync.Mutex
	conns    map[net.Conn]*guest
	tunnels  int       // connections of websockets that are passed on, to other nodes or from them
	halfOpen list.List // of *guest, oldest first
	idle     list.List // of *guest, idle longest first
	closed   map[string]uint64
}

// guest is one connection, also as a ws.Guest.
type guest struct {
	gate     *gate
	conn     net.Conn
	since    time.Time
	in       *list.List // halfOpen, idle, or nil: a request is served
	place    *list.Element
	hijacked bool
	stays    bool // as a websocket, when its request has been served
}

func newGate(most int, notices *ws.Notices) *gate {
	return &gate{max: most, maxHalfOpen: maxHalfOpen, notices: notices, conns: make(map[net.Conn]*guest),
		closed: map[string]uint64{gateHandshakes: 0, gateDescriptors: 0}}
}

// guestKey is the key of the *guest in the context of a connection.
type guestKey struct{}

// mount makes server's connections pass the gate.
func (g *gate) mount(server *http.Server) {
	server.Handler = g.handler(server.Handler)
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		x := g.enter(c)
		return ws.WithGuest(context.WithValue(ctx, guestKey{}, x), x)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateHijacked:
			g.hijacked(c)
		case http.StateClosed:
			g.leave(c)
		}
	}
}

// handler notes which connections have a request. A hijacked one ends with its
// handler, unless it is a websocket: net/http tells nothing of it any more.
func (g *gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(guestKey{}).(*guest); ok {
			g.move(c, nil)
			defer g.served(c)
		}
		next.ServeHTTP(w, r)
	})
}

// enter lets c in, or closes it, or another.
func (g *gate) enter(c net.Conn) *guest {
	x, _ := g.arrive(c, &g.halfOpen)
	return x
}

// arrive is enter for a connection on a list, or on none: one whose request is there. It
// reports whether c is in.
func (g *gate) arrive(c net.Conn, on *list.List) (x *guest, in bool) {
	now := time.Now()
	x = &guest{gate: g, conn: c, since: now}
	g.mu.Lock()
	victim, cause := g.victimLocked(now, g.fullLocked(0), on != nil)
	switch {
	case cause == "":
	case victim == nil:
		victim = x
		g.closed[cause]++
	default:
		g.closed[cause]++
		g.removeLocked(victim)
	}
	if victim != x {
		g.conns[c] = x
		g.moveLocked(x, on)
	}
	open := len(g.conns)
	g.mu.Unlock()
	if victim != nil {
		g.notices.Say(cause, "connection closed to make room", slog.String("addr", victim.conn.RemoteAddr().String()), slog.Int("connections", open))
		ws.Cut(victim.conn)
	}
	return x, victim != x
}

// fullLocked tells whether all places are taken but some to spare.
func (g *gate) fullLocked(spare int) bool {
	return g.max > 0 && len(g.conns)+g.tunnels >= g.max-spare
}

// reserve takes a place for the connection between two nodes that carries one
// websocket, or reports that there is none. Some are left for connections of
// clients, which come to more than a websocket that its session can do without.
func (g *gate) reserve() (release func(), ok bool) {
	g.mu.Lock()
	var victim *guest
	full := g.fullLocked(spare(g.max))
	if full {
		if victim, _ = g.victimLocked(time.Now(), true, false); victim != nil {
			g.removeLocked(victim)
		}
		g.closed[gateDescriptors]++
	}
	if ok = !full || victim != nil; ok {
		g.tunnels++
	}
	open := len(g.conns)
	g.mu.Unlock()
	if full {
		g.notices.Say(gateDescriptors, "little room for websockets of sessions on other nodes", slog.Int("connections", open))
	}
	if victim != nil {
		ws.Cut(victim.conn)
	}
	return g.release, ok
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tunnels--
}

// victimLocked is who makes room for one more, which waits for its request or has it. A cause without a victim is the new
// one's misfortune.
func (g *gate) victimLocked(now time.Time, full, waits bool) (victim *guest, cause string) {
	if !full && (!waits || g.halfOpen.Len() < g.maxHalfOpen) {
		return nil, ""
	}
	cause = gateHandshakes
	if full {
		cause = gateDescriptors
	}
	if e := g.halfOpen.Front(); e != nil && now.Sub(e.Value.(*guest).since) >= youngest {
		return e.Value.(*guest), cause
	}
	if e := g.idle.Front(); full && e != nil {
		return e.Value.(*guest), cause
	}
	return nil, cause
}

// move puts x on a list, or on none.
func (g *gate) move(x *guest, to *list.List) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moveLocked(x, to)
}

func (g *gate) moveLocked(x *guest, to *list.List) {
	if x.in != nil {
		x.in.Remove(x.place)
	}
	if x.in = to; to != nil {
		x.place = to.PushBack(x)
	}
}

func (g *gate) removeLocked(x *guest) {
	g.moveLocked(x, nil)
	delete(g.conns, x.conn)
}

// served says that a request of x has its answer.
func (g *gate) served(x *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.conns[x.conn] != x:
	case x.stays:
	case x.hijacked:
		g.removeLocked(x)
	default:
		g.moveLocked(x, &g.idle)
	}
}

func (g *gate) hijacked(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.conns[c]; x != nil {
		x.hijacked = true
	}
}

func (g *gate) leave(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.conns[c]; x != nil {
		g.removeLocked(x)
	}
}

// Stayed implements ws.Guest.
func (x *guest) Stayed() {
	x.gate.mu.Lock()
	defer x.gate.mu.Unlock()
	x.stays = true
}

// Left implements ws.Guest.
func (x *guest) Left() { x.gate.leave(x.conn) }

// stats are the numbers of now, and how many were closed by cause.
func (g *gate) stats() (open, halfOpen int, closed map[string]uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed = make(map[string]uint64)
	for cause, n := range g.closed {
		closed[cause] = n
	}
	return len(g.conns), g.halfOpen.Len(), closed
}
