// Package web puts the protocols on HTTP: it owns the listeners, routes
// requests to Socket.IO, plain WebSocket, the HTTP API and the pages, and ends
// them in order. It also mounts in a program's own http.Server.
//
// Reading order: web.go (Config, Server, Run), routes.go (which path is whose),
// origin.go with cors.go (which web pages may connect), admission.go (how many
// clients), gate.go (how many connections), listen.go and tls.go (the listeners),
// front.go with front_linux.go and handshake.go (websockets before net/http),
// health.go, metrics.go with metrics_limits.go. The package forward has the way to
// other nodes.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/forward"
	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/web/socketio"
	"github.com/meshrt/meshrt/web/ws"
)

// Config says what is served where. Zero values mean the default.
type Config struct {
	// HTTP is the address for clients. Empty: New binds nothing, and Handler is
	// mounted in a server of the program's own.
	HTTP string
	// API is the address of the HTTP API and the metrics. Empty: none. An
	// address other than loopback needs APIConfig.Keys.
	API string

	Path    string // of Socket.IO; default /socket.io/
	WSPath  string // of plain WebSocket; default /ws
	SSEPath string // of server-sent events; default /sse
	// Origins are the web origins that may connect besides the page's own host:
	// "https://app.example.com", "app.example.com", "*.example.com", "*".
	Origins []string
	Demo    bool // the chat at /
	// Drain is what the end of Run may take: most of it is the time over which
	// clients are moved away, so that the other nodes do not get all of them at
	// once. Few are moved sooner: see ws.Roster.DrainOver. Zero: all at once.
	Drain time.Duration
	// TLSCert and TLSKey are files with the certificate chain and key for HTTP,
	// loaded again when they change. Both or none.
	TLSCert, TLSKey string

	// Compression lets websocket clients negotiate permessage-deflate. A message is
	// compressed once for all of them, if it has ws.DefaultDeflateThreshold bytes.
	Compression bool

	// MaxConns is how many clients may be connected: sessions of Socket.IO, plain
	// websockets and event streams. More are answered with 503. 0: as many as there
	// are file descriptors for, when New binds the listener.
	MaxConns int
	// MaxConnsPerIP is the same for one address, a /64 of IPv6; more are answered
	// with 429. The address is that of the TCP connection: behind a balancer or
	// proxy it is the proxy's, and all clients share it. 0, the default, is no limit.
	MaxConnsPerIP int

	SocketIO  socketio.Config
	Plain     plain.Config
	APIConfig api.Config

	// Net carries requests for Socket.IO sessions of other nodes to them, so that a
	// balancer needs no stickiness. Nil: a node serves its own sessions only.
	Net forward.Network

	Version string // for meshrt_build_info
	Logger  *slog.Logger
}

// Limits of requests, before any protocol has a say. Headers beyond 16 KiB and
// clients that take longer than 5 s for them are attacks or accidents.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	// bodyTimeout is how long a body may take that nobody wants.
	bodyTimeout = 3 * time.Second
	// closing is what is kept of Config.Drain for the last clients to go.
	closing = 5 * time.Second
	// apiReadTimeout is how long a request of the API may take to come in.
	apiReadTimeout = 30 * time.Second
	// shutdownTimeout is what requests of the API may still take at the end.
	shutdownTimeout = 2 * time.Second
)

// Server serves a node to its clients.
type Server struct {
	cfg      Config
	node     *node.Node
	log      *slog.Logger
	origins  *origins
	socketio *socketio.Server
	plain    *plain.Server
	forward  *forward.Forwarder
	handler  http.Handler // for clients
	apiMux   http.Handler
	http     net.Listener // nil without Config.HTTP
	api      net.Listener // nil without Config.API
	cert     *certificate
	draining atomic.Bool
	drain    chan struct{} // closed by Drain
	drained  sync.Once

	notices   *ws.Notices
	gate      *gate
	admission *admission
	deflater  *ws.Deflater // nil without Config.Compression
}

func (c *Config) setDefaults() {
	if c.Path == "" {
		c.Path = "/socket.io/"
	}
	if c.WSPath == "" {
		c.WSPath = "/ws"
	}
	if c.SSEPath == "" {
		c.SSEPath = "/sse"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate says what is wrong with c, in words for whoever configured it.
func (c Config) Validate() error {
	c.setDefaults()
	if err := c.SocketIO.Engine.Validate(); err != nil {
		return err
	}
	seen := map[string]bool{"": true}
	for _, path := range []string{c.Path, c.WSPath, c.SSEPath} {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "{}?#%") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return fmt.Errorf("path %q must start with / and have letters, digits and plain punctuation only", path)
		}
		if name := strings.Trim(path, "/"); seen[name] {
			return fmt.Errorf("path %q: path, ws-path and sse-path must differ from each other and from /", path)
		} else {
			seen[name] = true
		}
	}
	for name, addr := range map[string]string{"http": c.HTTP, "api": c.API} {
		if _, err := net.ResolveTCPAddr("tcp", addr); addr != "" && err != nil {
			return fmt.Errorf("%s address %q: want host:port", name, addr)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert and tls-key go together")
	}
	if c.API != "" && len(c.APIConfig.Keys) == 0 && !isLoopback(c.API) {
		return fmt.Errorf("api address %s is open to other machines: it needs an API key there, or a loopback address", c.API)
	}
	if err := validateLimits(&c); err != nil {
		return err
	}
	_, err := parseOrigins(c.Origins)
	return err
}

// New validates cfg and binds its addresses; nothing is served before Run.
func New(cfg Config, n *node.Node) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	origins, err := parseOrigins(cfg.Origins)
	if err != nil {
		return nil, err
	}
	cfg.SocketIO.Logger, cfg.Plain.Logger, cfg.APIConfig.Logger = cfg.Logger, cfg.Logger, cfg.Logger
	moving := max(cfg.Drain/2, cfg.Drain-closing)
	cfg.SocketIO.Engine.Drain, cfg.Plain.Drain = moving, moving
	s := &Server{cfg: cfg, node: n, log: cfg.Logger, origins: origins, notices: ws.NewNotices(cfg.Logger), drain: make(chan struct{})}
	s.limit(&cfg)
	if cfg.Compression {
		s.deflater = ws.NewDeflater(ws.DefaultDeflateThreshold)
		cfg.SocketIO.Engine.Deflater, cfg.Plain.Deflater = s.deflater, s.deflater
	}
	s.forward = forward.New(forward.Config{Cluster: n.Cluster(), Net: cfg.Net, MaxPayload: cfg.SocketIO.Engine.MaxPayload,
		WriteTimeout: cfg.SocketIO.Engine.PingTimeout, Reserve: s.gate.reserve, Logger: cfg.Logger})
	cfg.SocketIO.Engine.NewSID, cfg.SocketIO.Engine.Elsewhere = s.forward.NewSID, s.forward.Pass
	cfg.SocketIO.Owner = s.forward.Owner
	s.socketio = socketio.NewServer(cfg.SocketIO, n)
	s.plain = plain.NewServer(cfg.Plain, n)
	s.handler, s.apiMux = s.clientRoutes(), s.apiRoutes()
	return s, s.listen()
}

// limit makes what counts clients and connections, and has the protocols ask it.
func (s *Server) limit(cfg *Config) {
	connections := 0
	if cfg.HTTP != "" {
		connections = connectionLimit(descriptors())
	}
	s.gate = newGate(connections, s.notices)
	s.admission = newAdmission(clientLimit(cfg.MaxConns, connections), cfg.MaxConnsPerIP, s.notices)
	accept := func(r *http.Request) error {
		if err := s.origins.check(r); err != nil {
			return err
		}
		return s.admission.enter(r)
	}
	cfg.SocketIO.Engine.Accept, cfg.SocketIO.Engine.Left = accept, s.admission.leave
	cfg.Plain.Accept, cfg.Plain.Left = accept, s.admission.leave
}

// connectionLimit is how many connections clients may have. 0 is no limit.
func connectionLimit(descriptors int) int {
	if descriptors <= 0 {
		return 0
	}
	return max(descriptors-reserved(descriptors), 1)
}

// reserved are descriptors that clients do not get: half for the API, half for the
// links of the cluster and for files.
func reserved(descriptors int) int {
	if descriptors <= 0 {
		return 0
	}
	return min(max(descriptors/8, 64), 1024)
}

func (s *Server) listen() (err error) {
	if s.cfg.TLSCert != "" {
		if s.cert, err = loadCertificate(s.cfg.TLSCert, s.cfg.TLSKey, s.log); err != nil {
			return err
		}
	}
	listen := s.heartbeats().listen
	if s.cert == nil {
		listen = s.heartbeats().listenInFront
	}
	if s.http, err = listen(s.cfg.HTTP); err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	if s.http != nil && s.cert != nil {
		s.http = tls.NewListener(s.http, s.cert.config())
	}
	if s.api, err = listenOn(s.cfg.API, net.ListenConfig{}); err != nil {
		if s.http != nil {
			s.http.Close()
		}
		return fmt.Errorf("listen for the HTTP API: %w", err)
	}
	return nil
}

// heartbeats are the longer ones of the protocols on the listener.
func (s *Server) heartbeats() heartbeats {
	io, plain := s.cfg.SocketIO.Engine, s.cfg.Plain
	h := heartbeats{max(io.PingInterval, plain.PingInterval), max(io.PingTimeout, plain.PingTimeout)}
	if h.interval <= 0 {
		h.interval = engineio.DefaultPingInterval
	}
	if h.timeout <= 0 {
		h.timeout = engineio.DefaultPingTimeout
	}
	return h
}

// isLoopback tells whether only this machine can reach a listener on addr.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Handler serves everything that is for clients. Whoever mounts it runs Run too.
func (s *Server) Handler() http.Handler { return s.handler }

// Addr is where clients are served, nil without Config.HTTP.
func (s *Server) Addr() net.Addr { return addrOf(s.http) }

// APIAddr is where the HTTP API is served, nil without Config.API.
func (s *Server) APIAddr() net.Addr { return addrOf(s.api) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Run serves until ctx ends. Then it is unready and takes no new client, but has other
// nodes take those that come all the same; closes every client so that it connects
// elsewhere, lets requests of the API end, and returns when all its goroutines have.
// The node should run until after that.
//
// The listeners close last: until a client is moved, its polls are answered, and
// load balancers are told why they should go elsewhere.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stay := s.untilDrained(ctx, g)
	moved, done := context.WithCancel(context.WithoutCancel(ctx))
	clients, ops := s.servers()
	s.serve(moved, g, s.http, clients)
	s.serve(moved, g, s.api, ops)
	g.Go(func() error { return s.forward.Serve(moved, s.socketio.Engine(), s.comers()) })
	g.Go(func() error { return s.forward.Run(moved) })
	g.Go(func() error {
		defer done()
		var protocols errgroup.Group
		protocols.Go(func() error { return s.socketio.Run(stay) })
		protocols.Go(func() error { return s.plain.Run(stay) })
		protocols.Go(func() error {
			<-stay.Done()
			s.forward.Move(s.cfg.SocketIO.Engine.Drain)
			return nil
		})
		err := protocols.Wait()
		if err == nil {
			<-ctx.Done() // drained, and still to be asked
		}
		return err
	})
	return g.Wait()
}

// servers are those of the two listeners. What a stranger opens at the one leaves
// descriptors for the other. Requests of clients may last as long as a session,
// and have their time from the protocols.
func (s *Server) servers() (clients, ops *http.Server) {
	clients, ops = s.newServer(s.handler), s.newServer(s.apiMux)
	s.gate.mount(clients)
	if d, ok := s.http.(*doorway); ok {
		s.mountFront(&d.front, clients)
	}
	newGate(reserved(descriptors())/2, s.notices).mount(ops)
	ops.ReadTimeout = apiReadTimeout
	return clients, ops
}

func (s *Server) newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
}

// RunWithNode is Run together with the Run of the node, which ends after it, so
// that the last words of clients are heard.
func (s *Server) RunWithNode(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	g.Go(func() error {
		defer stopNode()
		return s.Run(gctx)
	})
	g.Go(func() error { return s.node.Run(nodeCtx) })
	return g.Wait()
}

// serve serves l until ctx ends.
func (s *Server) serve(ctx context.Context, g *errgroup.Group, l net.Listener, server *http.Server) {
	if l == nil {
		return
	}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// Websockets are hijacked and end by the protocols' own Run.
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
		return nil
	})
}
