package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/meshrt/meshrt/web/ws"
)

// front serves handshakes of Socket.IO websockets before net/http: most connections
// of a node are to become one, and half of what net/http does for each is for what
// comes after a first request. Whatever else comes it does not touch.
type front struct {
	path    string // of Socket.IO, without its last slash
	handler http.Handler
	gate    *gate
	guard   func(addr string, serve func()) (ok bool)
	ends    func() bool // clients are passed on, which takes long

	mu      sync.Mutex
	answers map[net.Conn]*answer // of refused handshakes that net/http is to give
}

// mountFront makes f serve what server does, whose hooks the gate has already.
func (s *Server) mountFront(f *front, server *http.Server) {
	f.path, f.handler, f.gate, f.ends = strings.TrimSuffix(s.cfg.Path, "/"), s.handler, s.gate, s.draining.Load
	f.guard = func(addr string, serve func()) bool { return ws.Guard(s.log, addr, serve) }
	enter, next := server.ConnContext, server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = enter(ctx, c)
		if a := f.take(c); a != nil {
			ctx = context.WithValue(ctx, answerKey{}, a)
		}
		return ctx
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := r.Context().Value(answerKey{}).(*answer); ok && !a.given {
			f.gate.handler(a).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// quick says that r opens a session on a websocket here, in the current version: what
// its handler does is soon done. One that names a session may have to ask other nodes.
func (f *front) quick(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, f.path)
	if !ok || f.ends() || rest != "" && rest != "/" {
		return false
	}
	versions, transports := 0, 0
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "sid", name == "EIO" && value != "4", name == "transport" && value != "websocket":
			return false
		case name == "EIO":
			versions++
		case name == "transport":
			transports++
		}
	}
	return versions == 1 && transports == 1
}

// serve serves a handshake, which accepted takes from the connection, and reports that it is over.
// A refusal is left for net/http to give, which reads the request again.
func (f *front) serve(c net.Conn, r *http.Request, accepted func()) (refusal *answer, over bool) {
	x, in := f.gate.arrive(c, nil)
	if !in {
		return nil, true // it is closed
	}
	w := &answer{conn: c, accepted: accepted, gate: f.gate}
	ctx := ws.WithGuest(context.WithValue(context.WithValue(context.Background(), frontKey{}, true), guestKey{}, x), x)
	ok := f.guard(r.RemoteAddr, func() { f.handler.ServeHTTP(w, r.WithContext(ctx)) })
	if !ok {
		ws.Cut(c)
	}
	if w.hijacked {
		f.gate.served(x)
		return nil, true
	}
	f.gate.leave(c) // it comes again, from net/http
	if !ok {
		return nil, true
	}
	if f.ends() {
		return nil, false // since a moment: it is passed on
	}
	return w, false
}

// leave keeps a for the request of c.
func (f *front) leave(c net.Conn, a *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = make(map[net.Conn]*answer)
	}
	f.answers[c] = a
}

func (f *front) take(c net.Conn) *answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.answers[c]
	delete(f.answers, c)
	return a
}

// answerKey is the key of an *answer in the context of a connection.
type answerKey struct{}

// answer is the http.ResponseWriter of a handshake, for an answer that is short.
type answer struct {
	conn     net.Conn
	accepted func()
	gate     *gate
	hijacked bool

	header http.Header
	status int
	body   bytes.Buffer
	given  bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// Hijack implements http.Hijacker. Nothing has been read but the request, so there
// is no buffer.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.hijacked || a.status != 0 {
		return nil, nil, errors.New("the handshake has its answer")
	}
	a.hijacked = true
	a.gate.hijacked(a.conn)
	a.accepted()
	return a.conn, nil, nil
}

// ServeHTTP gives the answer again, to a writer of net/http. It implements http.Handler.
func (a *answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.given = true
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	w.Write(a.body.Bytes())
}
