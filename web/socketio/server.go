// Package socketio speaks Socket.IO 5 to clients, on the sessions of a node.
//
// Reading order: server.go (Config, Server), conn.go (one client and its
// namespaces), connect.go with resume.go (how it joins them), socket.go (one namespace of it: the Sink of a session),
// encode.go (deliveries to packets), parser.go (packets to messages, as text or
// as msgpack), move.go (clients that come from another node), legacy.go (clients of Socket.IO 2), client.go (the official client's bundles).
package socketio

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
)

// Config says how clients are treated. Zero values mean the default.
type Config struct {
	Engine engineio.Config
	// ConnectTimeout closes a client that has not joined a namespace after so
	// long. Default 45 s, as the official server's.
	ConnectTimeout time.Duration
	// Owner is the node that has drawn the id of an Engine.IO session, zero if none
	// has: *forward.Forwarder has it. Nil: clients do not move between nodes.
	Owner  func(sid string) wire.NodeID
	Logger *slog.Logger
}

const (
	defaultConnectTimeout = 45 * time.Second
	// maxNamespaces limits the namespaces of one client at a time. The official
	// server has no limit; each costs a session.
	maxNamespaces = 100
)

// Server is the http.Handler of the Socket.IO path.
type Server struct {
	cfg    Config
	node   *node.Node
	engine *engineio.Server
	log    *slog.Logger

	ctx    context.Context // ends when Run does: nobody waits for a connect then
	cancel context.CancelFunc

	mu    sync.Mutex
	ended bool           // Run has: every session is closed
	calls sync.WaitGroup // the ends of sessions that the server disconnected

	started time.Time
	noMoves atomic.Int64 // until so many nanoseconds after started no clients of other nodes come

	parseErrors, encodeErrors atomic.Uint64
}

// NewServer makes a Server whose sessions are n's. Check cfg.Engine with its
// Validate before.
func NewServer(cfg Config, n *node.Node) *Server {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = defaultConnectTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Engine.Logger == nil {
		cfg.Engine.Logger = cfg.Logger
	}
	s := &Server{cfg: cfg, node: n, log: cfg.Logger, started: time.Now()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if cfg.Owner != nil {
		s.cfg.Engine.Fetch = s.fetch
		n.HandleRequests(moveMethod, s.answerMove)
	}
	s.engine = engineio.NewServer(s.cfg.Engine, s)
	return s
}

// ServeHTTP serves one request of the path: of a client, or for the client's code.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.serveClient(w, r) {
		s.engine.ServeHTTP(w, r)
	}
}

// Engine serves the requests of sessions alone, whatever their path: those that
// another node has passed on.
func (s *Server) Engine() http.Handler { return s.engine }

// Run ends all clients when ctx ends and returns when their sessions have
// ended. Their transports are closed without a Socket.IO disconnect, so that
// official clients connect again, to another node.
func (s *Server) Run(ctx context.Context) error {
	defer s.cancel()
	defer context.AfterFunc(ctx, s.cancel)()
	err := s.engine.Run(ctx)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.calls.Wait()
	return err
}

// later runs f on a goroutine that Run waits for, unless Run has ended.
func (s *Server) later(f func()) (runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.calls.Go(f)
	}
	return !s.ended
}

// Stats are counters since NewServer and the state of now.
type Stats struct {
	Engine       engineio.Stats
	ParseErrors  uint64 // clients closed for what they sent
	EncodeErrors uint64 // deliveries left out, as they hold no JSON: a bug, here or at another node
}

// Stats is a snapshot.
func (s *Server) Stats() Stats {
	return Stats{Engine: s.engine.Stats(), ParseErrors: s.parseErrors.Load(), EncodeErrors: s.encodeErrors.Load()}
}

func (s *Server) newConn(e *engineio.Socket) *conn {
	c := &conn{server: s, engine: e, affinity: s.node.NewAffinity(), sockets: map[string]*socket{}}
	c.decoder.MaxBytes = s.cfg.Engine.MaxPayload
	if c.decoder.MaxBytes == 0 {
		c.decoder.MaxBytes = engineio.DefaultMaxPayload
	}
	c.mu.Lock() // against a timer that fires at once
	defer c.mu.Unlock()
	c.timeout = time.AfterFunc(s.cfg.ConnectTimeout, c.connectTimeout)
	return c
}

// Opened implements engineio.Handler.
func (s *Server) Opened(e *engineio.Socket) engineio.Receiver {
	c := s.newConn(e)
	if c.legacy() {
		c.openLegacy()
	}
	return c
}
