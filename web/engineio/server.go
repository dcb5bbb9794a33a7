package engineio

import (
	"context"
	"net/http"
	"net/url"
	"sync"

	"github.com/meshrt/meshrt/web/ws"
)

// protocolVersion is the EIO of a query.
const protocolVersion = "4"

// Server is the http.Handler of the engine path; it does not look at the path. Use
// NewServer. All methods may be called concurrently.
type Server struct {
	cfg      Config
	handler  Handler
	serve    map[string]http.HandlerFunc // opens a session, by transport
	counters counters

	// roster has the sockets by sid, until the transport is gone. Each session
	// holds its request in until it has ended.
	roster ws.Roster[string, *Socket]

	mu    sync.Mutex
	using map[string]int // sockets by transport
}

// NewServer makes a Server that tells h of its sessions. It panics when cfg is not
// valid: check with Config.Validate what users configure.
func NewServer(cfg Config, h Handler) *Server {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	s := &Server{
		cfg:     cfg.withDefaults(),
		handler: h,
		serve:   make(map[string]http.HandlerFunc),
		using:   make(map[string]int),
	}
	transports := map[string]http.HandlerFunc{WebSocket: s.serveWebSocket}
	for _, name := range s.cfg.Transports {
		if serve, ok := transports[name]; ok {
			s.serve[name] = serve
		}
	}
	return s
}

// Run waits for the end of ctx, then ends all sessions with ReasonShutdown and
// returns when every one has ended and its Closed has returned: at most some
// seconds later, unless a Receiver blocks. What comes meanwhile and after is
// answered with 503. The transports are closed without an Engine.IO close packet,
// which tells clients of the official library to connect again.
//
// http.Server.Shutdown does not wait for websockets, so that Run is needed beside
// it. Sessions may open before Run is called.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	for _, socket := range s.roster.Drain() {
		socket.end(ReasonShutdown)
	}
	s.roster.Wait()
	return nil
}

// ServeHTTP serves one request of the engine path. For a websocket it returns when
// the session has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.roster.Enter() {
		s.refuse(w, errShutdown)
		return
	}
	defer s.roster.Leave()
	query := r.URL.Query()
	if err := s.verify(r, query); err != nil {
		s.refuse(w, err)
		return
	}
	s.serve[query.Get("transport")](w, r)
}

// verify makes the official server's checks in its order, but the version before
// Accept: Accept has the last word, so that what it counts is a session.
func (s *Server) verify(r *http.Request, query url.Values) error {
	transport, sid := query.Get("transport"), query.Get("sid")
	_, known := s.roster.Get(sid)
	switch {
	case s.serve[transport] == nil:
		return codeUnknownTransport
	case sid != "" && !known:
		return codeUnknownSID
	case sid != "": // a session on a websocket has no second request
		return codeBadRequest
	case r.Method != http.MethodGet:
		return codeBadMethod
	case transport == WebSocket && !ws.IsUpgrade(r):
		return codeBadRequest
	case query.Get("EIO") != protocolVersion:
		return codeUnsupportedVersion
	case s.cfg.Accept == nil:
		return nil
	}
	return s.cfg.Accept(r)
}

// register makes socket known to its requests and to Run.
func (s *Server) register(socket *Socket) error {
	if err := s.roster.Add(socket.id, socket); err != nil {
		return err
	}
	s.count(socket.Transport(), +1)
	s.counters.opened.Add(1)
	return nil
}

// forget undoes register.
func (s *Server) forget(socket *Socket) {
	s.roster.Remove(socket.id)
	s.count(socket.Transport(), -1)
}

// count adds n to the sockets that use a transport.
func (s *Server) count(transport string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.using[transport] += n
}
