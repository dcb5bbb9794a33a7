package engineio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// protocolVersion is the EIO of a query.
const protocolVersion = "4"

// Server is the http.Handler of the engine path; it does not look at the path. Use
// NewServer. All methods may be called concurrently.
//
// A middleware before it that wraps the http.ResponseWriter must have an Unwrap
// method, as http.ResponseController wants it: a poll waits long, writes with a
// deadline, and must be seen to break off.
type Server struct {
	cfg      Config
	handler  Handler
	serve    map[string]http.HandlerFunc // opens a session, by transport
	upgrades map[string][]string         // transports that a session may move to, by its own
	counters counters
	notices  *ws.Notices

	websockets ws.Config

	// roster has the sockets by sid, until the transport is gone. Each websocket
	// and each session on polling stays in until it has ended.
	roster ws.Roster[string, *Socket]
	ending context.Context // ends when Run begins to end sessions
	end    context.CancelFunc

	mu    sync.Mutex     // a leaf
	using map[string]int // sockets by transport
}

// NewServer makes a Server that tells h of its sessions. It panics when cfg is not
// valid: check with Config.Validate what users configure.
func NewServer(cfg Config, h Handler) *Server {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	s := &Server{
		cfg:      cfg.withDefaults(),
		handler:  h,
		serve:    make(map[string]http.HandlerFunc),
		upgrades: make(map[string][]string),
		using:    make(map[string]int),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.notices = ws.NewNotices(s.cfg.Logger)
	s.websockets = ws.Config{MaxPayload: s.cfg.MaxPayload, WriteTimeout: s.cfg.PingTimeout, Deflater: s.cfg.Deflater,
		Poller: &ws.Poller{}, Traffic: &s.counters.traffic, Logger: s.cfg.Logger}
	transports := map[string]http.HandlerFunc{Polling: s.servePolling, WebSocket: s.serveWebSocket}
	for _, name := range s.cfg.Transports {
		s.serve[name] = transports[name]
	}
	if s.serve[WebSocket] != nil {
		s.upgrades[Polling] = []string{WebSocket}
	}
	return s
}

// Run waits for the end of ctx, then ends all sessions with ReasonShutdown and
// returns when every one has ended and its Closed has returned: at most some
// seconds after Config.Drain, unless a Receiver blocks. What comes meanwhile and after is
// answered with 503. The transports are closed without an Engine.IO close packet,
// which tells clients of the official library to connect again.
//
// http.Server.Shutdown does not wait for websockets, so that Run is needed beside
// it. Sessions may open before Run is called.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.end()
	s.roster.DrainOver(context.WithoutCancel(ctx), s.cfg.Drain, func(socket *Socket) { socket.end(ReasonShutdown) })
	s.roster.Wait()
	return nil
}

// ServeHTTP serves one request of the engine path. A websocket goes on when it has
// returned; whoever counts connections is told of the end as a ws.Guest.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	sid := query.Get("sid")
	socket, ok := s.roster.EnterFor(sid)
	if !ok && sid != "" && (s.fetch(w, r, sid) || s.elsewhere(w, r, sid)) {
		return
	}
	if !ok && !s.roster.Enter() {
		s.refuse(w, errShutdown)
		return
	}
	defer s.roster.Leave()
	if err := s.verify(r, query, socket); err != nil {
		s.refuse(w, err)
		return
	}
	switch transport := query.Get("transport"); {
	case socket == nil:
		s.serve[transport](w, r)
	case transport == WebSocket:
		s.serveUpgrade(w, r, socket)
	default:
		s.serveRequest(w, r, socket)
	}
}

// elsewhere reports whether a request for a session that is not known here has
// been answered. What is left is answered as if there were no other servers. What
// another server has passed on goes no further: there is no way in circles.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request, sid string) bool {
	if s.cfg.Elsewhere == nil || onDetour(r) {
		return false
	}
	if ws.IsUpgrade(r) && s.roster.Draining() {
		// It would end in a moment. Its session stays on polling, or a balancer tries
		// another server.
		s.refuse(w, errShutdown)
		return true
	}
	err := s.cfg.Elsewhere(w, r, sid)
	var refusal *Refusal
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &tooBig):
		s.refuse(w, errTooBig)
		return true
	case errors.As(err, &refusal):
		s.refuse(w, err)
		return true
	}
	return false
}

// verify makes the official server's checks in its order, but the version before
// Accept: Accept has the last word, so that what it counts is a session.
func (s *Server) verify(r *http.Request, query url.Values, socket *Socket) error {
	transport := query.Get("transport")
	switch {
	case s.serve[transport] == nil:
		return codeUnknownTransport
	case socket == nil && query.Get("sid") != "":
		return codeUnknownSID
	case socket == nil && r.Method != http.MethodGet:
		return codeBadMethod
	case transport == WebSocket && !ws.IsUpgrade(r):
		return codeBadRequest
	case socket != nil:
		return nil
	case s.versionOf(query) == 0:
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

// turnedAway is what an error of register means for the client.
func (s *Server) turnedAway(socket *Socket, err error) Reason {
	if errors.Is(err, ws.ErrTaken) {
		s.cfg.Logger.Error("engineio: Config.NewSID gave an id that is in use", "addr", socket.request.RemoteAddr)
		return ReasonPanic
	}
	return ReasonShutdown
}

// guard runs a call of the layer above and reports whether it returned.
func (s *Server) guard(socket *Socket, call func()) (ok bool) {
	return ws.Guard(s.cfg.Logger, socket.request.RemoteAddr, call)
}

// tell counts and logs an end that is a limit's. One that is cut for being slow can
// connect again, and official clients do: it is a "transport error" to them.
func (s *Server) tell(socket *Socket, reason Reason, slow ws.Slow) {
	if !reasons[reason].limit {
		return
	}
	cause := reason.String()
	if reason == ReasonSlow {
		if slow == 0 {
			slow = ws.SlowWrite
		}
		s.counters.slow[slow].Add(1)
		cause = slow.String()
	}
	s.notices.Say(cause, "client cut", slog.String("addr", socket.request.RemoteAddr), slog.String("protocol", "socket.io"),
		slog.String("reason", reason.String()))
}

// forget undoes register.
func (s *Server) forget(socket *Socket) {
	s.roster.Remove(socket.id)
	s.count(socket.Transport(), -1)
}

// countMove counts an upgrade.
func (s *Server) countMove() {
	s.count(Polling, -1)
	s.count(WebSocket, +1)
	s.counters.upgraded.Add(1)
}

// countIn counts a packet that came in a POST, as ws.Conn does the others.
func (s *Server) countIn(p eio.Packet) {
	size := len(p.Data)
	if !p.Binary {
		size++ // the type
	}
	s.counters.traffic.MessagesIn.Add(1)
	s.counters.traffic.BytesIn.Add(uint64(size))
}

// count adds n to the sockets that use a transport.
func (s *Server) count(transport string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.using[transport] += n
}
