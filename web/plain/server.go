package plain

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
)

// Server is the http.Handler of the path for plain websockets, and with ServeEvents
// of the one for event streams; it does not look at the path. Use NewServer. All
// methods may be called concurrently.
type Server struct {
	cfg      Config
	node     *node.Node
	nodeName string // as clients are told: a Sink must not ask the node
	log      *slog.Logger
	counters counters
	notices  *ws.Notices

	websockets ws.Config

	// roster has the clients. Each stays in until it has ended.
	roster ws.Roster[client, client]

	ctx    context.Context // ends when Run does: no session waits to be opened then
	cancel context.CancelFunc
}

// client is a conn or a stream.
type client interface{ end(why reason) }

// NewServer makes a Server whose sessions are n's.
func NewServer(cfg Config, n *node.Node) *Server {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, node: n, nodeName: n.Name(), log: cfg.Logger, notices: ws.NewNotices(cfg.Logger)}
	s.websockets = ws.Config{MaxPayload: cfg.MaxPayload, WriteTimeout: cfg.PingTimeout, Deflater: cfg.Deflater,
		Poller: &ws.Poller{}, Traffic: &s.counters.sockets.traffic, Logger: s.log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Run waits for the end of ctx, then closes all connections with status 1012, ends
// all streams, and returns when every session has ended: at most some seconds
// after Config.Drain, unless a handler of the node blocks. What comes meanwhile and after is
// turned away: websockets with 503. Clients may connect before Run is called.
// http.Server.Shutdown does not wait for websockets, and waits for streams without
// ending them, so that Run is needed beside it.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.roster.DrainOver(context.WithoutCancel(ctx), s.cfg.Drain, func(c client) { c.end(reasonShutdown) })
	s.cancel() // after the reasons are given
	s.roster.Wait()
	return nil
}

// ServeHTTP serves one request. A websocket goes on when it has returned; whoever
// counts connections is told of the end as a ws.Guest.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.roster.Enter() {
		s.refuse(w, refusedShutdown, http.StatusServiceUnavailable, reasonShutdown.String())
		return
	}
	defer s.roster.Leave()
	if s.verify(w, r) {
		s.serve(w, r)
	}
}

// verify answers requests that get no connection. Accept has the last word, so
// that what it counts is a connection.
func (s *Server) verify(w http.ResponseWriter, r *http.Request) (ok bool) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.refuse(w, refusedNoWebSocket, http.StatusMethodNotAllowed, "This address takes GET requests for a WebSocket.")
		return false
	}
	if !ws.IsUpgrade(r) {
		w.Header().Set("Upgrade", "websocket") // RFC 9110, section 15.5.22
		w.Header().Set("Connection", "Upgrade")
		s.refuse(w, refusedNoWebSocket, http.StatusUpgradeRequired, "This address speaks WebSocket: connect with a WebSocket client.")
		return false
	}
	if err := s.cfg.Accept(r); err != nil {
		status, message := ws.RefusalOf(err)
		s.refuse(w, refusedByAccept, status, message)
		return false
	}
	return true
}

// refuse answers with a sentence. A websocket client sees a handshake that failed.
func (s *Server) refuse(w http.ResponseWriter, why refusal, status int, message string) {
	s.counters.sockets.refused[why].Add(1)
	http.Error(w, message, status)
}

// left counts the end of a client, and logs one that is a limit's. Who is cut for
// being slow can connect again.
func (s *Server) left(of *endpoint, h node.Handshake, why reason, slow ws.Slow) {
	of.leave(why)
	if !reasons[why].limit {
		return
	}
	cause := why.String()
	if why == reasonSlow {
		if slow == 0 {
			slow = ws.SlowWrite
		}
		of.slow[slow].Add(1)
		cause = slow.String()
	}
	s.notices.Say(cause, "client cut", slog.String("addr", h.Remote), slog.String("protocol", h.Protocol), slog.String("reason", why.String()))
}

// serve begins a connection, which goes on when the request has been served.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	socket, err := ws.Accept(w, r, &s.websockets)
	if err != nil { // has been answered
		s.counters.sockets.refused[refusedHandshake].Add(1)
		s.log.Debug("websocket handshake failed", "addr", r.RemoteAddr, "err", err)
		s.cfg.Left(r.RemoteAddr)
		return
	}
	s.roster.Stay()
	c := newConn(s, socket, r)
	if s.roster.Add(c, c) != nil {
		socket.Reject(reasons[reasonShutdown].status, reasonShutdown.text(), c.leave)
		return
	}
	s.counters.sockets.enter()
	socket.Go(c)
}
