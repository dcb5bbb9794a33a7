// Command conformance is the server that the official protocol suites of
// Socket.IO and Engine.IO want, on the public Go API alone: it proves the
// library as well as the protocols.
//
//	go run ./web/e2e/conformance -http :3000 -ping-interval 300ms -ping-timeout 200ms -connect-timeout 1s
//
// It takes the flags of meshrt. It is one node: those of the cluster and of the
// HTTP API have no effect. At /engine.io/ it echoes every message of an
// Engine.IO session; at -path it answers the events of events.go.
//
// The suites are in docs/engine.io-protocol and docs/socket.io-protocol of
// socketio/socket.io, and ask http://localhost:3000.
//
// Reading order: main.go, events.go with ask.go and drop.go (Socket.IO), echo.go
// (Engine.IO).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web"
	"github.com/meshrt/meshrt/web/config"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/web/socketio"
)

// shutdownTimeout is what requests may still take at the end.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Parse(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err == nil:
		err = run(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends: the protocols end before the node, so that the
// last words of clients are heard.
func run(ctx context.Context, cfg *config.Config) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	n, err := node.New(node.Config{Logger: log, MaxRooms: cfg.MaxRooms})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTP)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	l := &connections{Listener: listener}
	defer l.Close()
	setup(n, cfg, l.drop)
	sockets, err := web.New(webConfig(cfg, log), n)
	if err != nil {
		return err
	}
	engine := engineio.NewServer(engineConfig(cfg, log), echo{})
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", engine)
	mux.Handle("/", sockets.Handler())
	log.Info("serving", "http", l.Addr())

	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	var nodes, protocols errgroup.Group
	nodes.Go(func() error { return n.Run(nodeCtx) })
	protocols.Go(func() error { return sockets.Run(ctx) })
	protocols.Go(func() error { return engine.Run(ctx) })
	protocols.Go(func() error { return serve(ctx, cfg, l, mux) })
	err = protocols.Wait()
	stopNode()
	return errors.Join(err, nodes.Wait())
}

// serve answers requests on l until ctx ends.
func serve(ctx context.Context, cfg *config.Config, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: shutdownTimeout, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	}()
	var err error
	if cfg.TLSCert != "" {
		err = server.ServeTLS(l, cfg.TLSCert, cfg.TLSKey)
	} else {
		err = server.Serve(l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	<-ended
	return nil
}

func engineConfig(cfg *config.Config, log *slog.Logger) engineio.Config {
	return engineio.Config{PingInterval: cfg.PingInterval, PingTimeout: cfg.PingTimeout, UpgradeTimeout: cfg.UpgradeTimeout,
		Transports: cfg.Transports, AllowEIO3: cfg.AllowEIO3, MaxPayload: cfg.MaxPayload, QueueBytes: cfg.QueueBytes,
		Rate: cfg.Rate, Logger: log}
}

// webConfig leaves HTTP and API empty: requests come by the server of this program.
func webConfig(cfg *config.Config, log *slog.Logger) web.Config {
	return web.Config{Path: cfg.Path, WSPath: cfg.WSPath, SSEPath: cfg.SSEPath, Origins: cfg.Origins, Logger: log,
		Compression: cfg.Compression, MaxConns: cfg.MaxConns, MaxConnsPerIP: cfg.MaxConnsPerIP,
		SocketIO: socketio.Config{ConnectTimeout: cfg.ConnectTimeout, Engine: engineConfig(cfg, log)},
		Plain:    plain.Config{PingInterval: cfg.PingInterval, PingTimeout: cfg.PingTimeout, MaxPayload: cfg.MaxPayload, QueueBytes: cfg.QueueBytes, Rate: cfg.Rate}}
}
