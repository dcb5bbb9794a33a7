package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/ws"
)

const (
	headerTimeout   = 5 * time.Second
	shutdownTimeout = 2 * time.Second
)

// Serve serves what other nodes pass on until ctx ends, then lets requests end that
// are under way. own is what serves the sessions of this node, websockets included:
// they end with it, so ctx should end after it. opens serves clients that come without a
// session, see Open.
func (f *Forwarder) Serve(ctx context.Context, own, opens http.Handler) error {
	if f.cfg.Net == nil {
		<-ctx.Done()
		return nil
	}
	both := protocols(true)
	both.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: f.handler(own, opens), Protocols: both, HTTP2: keepAlive(),
		ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:    slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	})
	err := server.Serve(&listener{f: f, ctx: ctx})
	if errors.Is(err, net.ErrClosed) { // the network may end before
		<-ctx.Done()
		err = http.ErrServerClosed
	}
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listener takes the streams of other nodes.
type listener struct {
	f   *Forwarder
	ctx context.Context
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.f.cfg.Net.AcceptHTTP(l.ctx)
	if err != nil {
		return nil, err
	}
	return l.f.callers.add(conn), nil
}

func (l *listener) Close() error { return nil } // Accept ends with ctx

func (l *listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "tcp" }
func (addr) String() string  { return "cluster port" }

// handler takes requests of other nodes for what they were to the node that they
// came to. Who may dial the cluster port is believed.
func (f *Forwarder) handler(own, opens http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(*inConn)
		scheme, client, _ := strings.Cut(r.Header.Get(header), " ")
		r.Header.Del(header)
		switch {
		case scheme == kindMove, scheme == kindLeave:
			conn.from.hear(r.Context(), scheme, client)
			w.WriteHeader(http.StatusNoContent)
			return
		case scheme != "http" && scheme != "https":
			f.counts.in[stray].Add(1)
			http.Error(w, "not a request of a client", http.StatusBadRequest)
			return
		}
		r.RemoteAddr = client
		if r.TLS = nil; scheme == "https" {
			r.TLS = &tls.ConnectionState{HandshakeComplete: true}
		}
		release, err := f.reserve(r)
		if err != nil {
			f.counts.in[busy].Add(1)
			http.Error(w, err.Error(), ErrBusy.Status)
			return
		}
		defer release()
		f.serveOne(w, r, conn, own, opens)
	})
}

// serveOne serves a request of a client, until what it has begun is over.
func (f *Forwarder) serveOne(w http.ResponseWriter, r *http.Request, conn *inConn, own, opens http.Handler) {
	f.counts.serving.Add(1)
	defer f.counts.serving.Add(-1)
	defer f.counts.in[served].Add(1)
	first := r.URL.Query().Get("sid") == ""
	leaving, done := conn.from.serve(r, first)
	defer done()
	stay := stay{ended: make(chan struct{})}
	r = r.WithContext(ws.WithGuest(r.Context(), &stay))
	handler := own
	if first {
		bound, unbind := conn.bind(r, leaving)
		defer unbind()
		handler, r = opens, bound
	}
	handler.ServeHTTP(w, engineio.Detour{Leaving: leaving, Lost: conn.lost}.Request(r))
	stay.wait()
}

// stay is a websocket that goes on when its request has been served. Its place is
// kept until its end.
type stay struct {
	stays bool
	ended chan struct{}
}

// Stayed implements ws.Guest.
func (s *stay) Stayed() { s.stays = true }

// Left implements ws.Guest.
func (s *stay) Left() { close(s.ended) }

func (s *stay) wait() {
	if s.stays {
		<-s.ended
	}
}

// callers are the nodes that have connections to this one, by PeerName.
type callers struct {
	mu  sync.Mutex
	all map[string]*caller
}

// caller is another node, which may leave.
type caller struct {
	leaving context.Context
	leave   context.CancelFunc
	conns   int // guarded by callers.mu

	mu      sync.Mutex
	sockets *sockets // that came from there; others once those of before move
}

// sockets are websockets, and event streams.
type sockets = ws.Roster[*http.Request, context.CancelFunc]

// maxMove is the longest time over which a node moves its clients.
const maxMove = time.Hour

// hear acts on a word of the node, for as long as ctx lets it.
func (c *caller) hear(ctx context.Context, kind, text string) {
	if kind == kindLeave {
		c.leave()
		return
	}
	over, err := time.ParseDuration(text)
	if err != nil || over > maxMove {
		over = 0
	}
	c.mu.Lock()
	these := c.sockets
	c.sockets = &sockets{}
	c.mu.Unlock()
	these.DrainOver(ctx, over, func(close context.CancelFunc) { close() })
}

// serve is what tells r that the node leaves, and that r is over. What lasts can end before.
func (c *caller) serve(r *http.Request, lasts bool) (leaving context.Context, done func()) {
	if !ws.IsUpgrade(r) && !lasts {
		return c.leaving, func() {}
	}
	leaving, cancel := context.WithCancel(c.leaving)
	c.mu.Lock()
	in := c.sockets
	in.Add(r, cancel)
	c.mu.Unlock()
	return leaving, func() {
		in.Remove(r)
		cancel()
	}
}

func (c *callers) add(conn net.Conn) *inConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := peerName(conn)
	from := c.all[name]
	if from == nil {
		from = &caller{sockets: &sockets{}}
		from.leaving, from.leave = context.WithCancel(context.Background())
		if c.all == nil {
			c.all = map[string]*caller{}
		}
		c.all[name] = from
	}
	from.conns++
	in := &inConn{Conn: conn, from: from}
	in.lost, in.lose = context.WithCancel(context.Background())
	in.gone = sync.OnceFunc(func() { c.remove(name) })
	return in
}

func (c *callers) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from := c.all[name]; from != nil {
		if from.conns--; from.conns == 0 {
			delete(c.all, name)
		}
	}
}

// inConn is a connection from another node. lost ends when it does, before net/http
// hears of it, unless the other node has said goodbye: then it closes when nothing is
// under way any more. The end of the stream alone tells nothing: that of a process
// which was killed looks the same.
type inConn struct {
	net.Conn
	from *caller
	lost context.Context
	lose context.CancelFunc
	gone func()
}

type connKey struct{}

func (c *inConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.judge(err)
	return n, err
}

func (c *inConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.judge(err)
	return n, err
}

// judge looks at an error. A deadline is net/http's own.
func (c *inConn) judge(err error) {
	var ne net.Error
	if err != nil && !(errors.As(err, &ne) && ne.Timeout()) {
		c.over()
	}
}

func (c *inConn) over() {
	if c.from.leaving.Err() == nil {
		c.lose()
	}
}

// Close implements net.Conn. net/http closes a connection that does not answer
// pings while requests wait on it.
func (c *inConn) Close() error {
	c.over()
	c.gone()
	return c.Conn.Close()
}

// NetConn is the TCP connection below the TLS, for package ws.
func (c *inConn) NetConn() net.Conn {
	if t, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c.Conn
}
