package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web"
	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/config"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/web/socketio"
	"github.com/meshrt/meshrt/wire"
)

// serve is the command without a name.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := config.Parse(args, stdout)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	ballast := raiseHeap(os.Getenv)
	defer runtime.KeepAlive(ballast)
	log := newLogger(stderr, cfg.LogLevel, cfg.LogFormat)
	p, n, w, err := assemble(cfg, log)
	if err != nil {
		return err
	}
	log.Info("serving", "node", cfg.Node, "boot", n.ID().String(), "http", addr(w.Addr()), "api", addr(w.APIAddr()), "version", version())
	return runAll(ctx, n, w, func(ctx context.Context) {
		var beside sync.WaitGroup
		defer beside.Wait()
		if ballast != nil { // the collector is ours
			beside.Go(func() { giveBack(ctx) })
		}
		reloadOnHangup(ctx, args, p, log)
	}, log)
}

// reloadOnHangup reads the cluster secrets again on each SIGHUP: the first
// signs, all are accepted, so that a secret can be replaced node by node without
// an outage. Certificates for clients need no signal.
func reloadOnHangup(ctx context.Context, args []string, p *port.Port, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
		case <-ctx.Done():
			return
		}
		cfg, err := config.Parse(args, io.Discard)
		if err == nil {
			err = p.SetSecrets(cfg.Secrets)
		}
		if err != nil {
			log.Error("settings not read again, going on with the old ones", "err", err)
			continue
		}
		log.Info("cluster secrets read again", "secrets", len(cfg.Secrets))
	}
}

// assemble checks what can be checked and then binds, the cluster's port first.
func assemble(cfg *config.Config, log *slog.Logger) (*port.Port, *node.Node, *web.Server, error) {
	wc := webConfig(cfg, log)
	if err := wc.Validate(); err != nil {
		return nil, nil, nil, usageError{err}
	}
	id := wire.NewNodeID()
	p, err := port.Listen(port.Config{Cluster: cfg.Cluster, Node: cfg.Node + "@" + id.String(), Bind: cfg.Bind,
		Advertise: cfg.Advertise, Secrets: cfg.Secrets, Logger: log})
	if errno := syscall.Errno(0); err != nil && !errors.As(err, &errno) {
		return nil, nil, nil, usageError{err} // it is not the system that refuses
	}
	if err != nil {
		return nil, nil, nil, err
	}
	n, err := node.New(node.Config{Logger: log, MaxRooms: cfg.MaxRooms, SessionsMove: cfg.Recovery == 0, Recovery: cfg.Recovery,
		ReplayBytes: cfg.QueueBytes / 2, Cluster: cluster.Config{
			ID: id, Name: cfg.Node, Cluster: cfg.Cluster, Region: cfg.Region, Seeds: cfg.Join, PeersFile: cfg.PeersFile, Profile: cfg.Profile, Net: p, Logger: log}})
	if err != nil {
		return nil, nil, nil, usageError{err}
	}
	if err := namespaces(cfg, n); err != nil {
		return nil, nil, nil, usageError{err}
	}
	wc.Net = p
	w, err := web.New(wc, n)
	if err != nil {
		return nil, nil, nil, err
	}
	return p, n, w, nil
}

// namespaces opens what -namespaces names, each with the relay's verbs.
func namespaces(cfg *config.Config, n *node.Node) error {
	attach := func(ns *node.Namespace) {
		if cfg.Relay {
			relay.Attach(ns)
		}
		relay.Forward(ns, cfg.Forward...)
	}
	if slices.Contains(cfg.Namespaces, "*") {
		n.NamespaceFunc(func(string) bool { return true }, attach)
	}
	for _, name := range append(slices.Clone(cfg.Namespaces), "/") {
		switch {
		case name == "*":
		case !node.ValidNamespace(name):
			return fmt.Errorf("-namespaces: %q is no namespace; it starts with / and has no comma or question mark", name)
		default:
			attach(n.Namespace(name))
		}
	}
	return nil
}

func webConfig(cfg *config.Config, log *slog.Logger) web.Config {
	return web.Config{
		HTTP: cfg.HTTP, API: cfg.API, Path: cfg.Path, WSPath: cfg.WSPath, SSEPath: cfg.SSEPath, Origins: cfg.Origins, Demo: cfg.Demo, Drain: cfg.Drain,
		TLSCert: cfg.TLSCert, TLSKey: cfg.TLSKey, Compression: cfg.Compression, MaxConns: cfg.MaxConns, MaxConnsPerIP: cfg.MaxConnsPerIP,
		SocketIO: socketio.Config{ConnectTimeout: cfg.ConnectTimeout, Engine: engineio.Config{PingInterval: cfg.PingInterval,
			PingTimeout: cfg.PingTimeout, UpgradeTimeout: cfg.UpgradeTimeout, Transports: cfg.Transports, AllowEIO3: cfg.AllowEIO3,
			MaxPayload: cfg.MaxPayload, QueueBytes: cfg.QueueBytes, Rate: cfg.Rate}},
		Plain: plain.Config{PingInterval: cfg.PingInterval, PingTimeout: cfg.PingTimeout, MaxPayload: cfg.MaxPayload,
			QueueBytes: cfg.QueueBytes, Rate: cfg.Rate},
		APIConfig: api.Config{Keys: cfg.APIKeys, MaxBody: int64(cfg.MaxPayload) + 100_000},
		Version:   strings.TrimSpace(version()),
		Logger:    log,
	}
}

// runAll serves until ctx ends or a part fails. The web ends before the node,
// so that the last words of clients are heard.
func runAll(ctx context.Context, n *node.Node, w *web.Server, beside func(context.Context), log *slog.Logger) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { beside(gctx); return nil })
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	g.Go(func() error {
		defer stopNode()
		return w.Run(gctx)
	})
	g.Go(func() error { return n.Run(nodeCtx) })
	err := g.Wait()
	log.Info("stopped")
	if errors.Is(err, cluster.ErrNameTaken) {
		return fmt.Errorf("%w; -node gives this one another", err)
	}
	return err
}

func addr(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}
