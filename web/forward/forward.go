package forward

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
)

// Network carries the streams of HTTP between nodes and has the keys of session
// ids: *port.Port, or a host of clustertest. Connections have a PeerName.
type Network interface {
	AcceptHTTP(ctx context.Context) (net.Conn, error)
	DialHTTP(ctx context.Context, addr string) (net.Conn, error)
	// SessionKeys are asked for each id, as they change with the cluster secrets.
	SessionKeys() [][]byte
}

// Cluster tells which nodes there are: *cluster.Cluster.
type Cluster interface {
	ID() wire.NodeID
	Nodes() []cluster.NodeInfo
	Changed() <-chan struct{}
}

// Config is what a Forwarder needs. Zero values mean the default.
type Config struct {
	Cluster Cluster // must be set
	// Net is nil for a node alone: nothing is passed on, and ids are signed with a
	// random key.
	Net Network

	// MaxPayload is the largest body that is passed on, in bytes. Default 1,000,000.
	MaxPayload int
	// WriteTimeout is how long a client may take to read an answer that came from
	// another node. Default 20 s.
	WriteTimeout time.Duration
	// MaxPerNode and MaxRequests are how many requests, polls that wait included,
	// and websockets are passed on at a time: to one node, and in all. One more is
	// refused with ErrBusy. Defaults 16,384 and 65,536; a poll that
	// waits costs about 30 KiB.
	MaxPerNode, MaxRequests int
	// Reserve takes a place for the connection to another node that a websocket needs,
	// here and there, or reports that there is none: then the websocket is refused
	// like with ErrBusy, and its session stays on polling. Whoever got one calls release.
	// Nil: there is always one.
	Reserve func() (release func(), ok bool)

	Logger *slog.Logger
}

const (
	defaultMaxPayload   = 1_000_000
	defaultWriteTimeout = 20 * time.Second
	defaultMaxPerNode   = 16_384
	defaultMaxRequests  = 65_536
)

func (c Config) withDefaults() Config {
	if c.MaxPayload <= 0 {
		c.MaxPayload = defaultMaxPayload
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = defaultWriteTimeout
	}
	if c.MaxPerNode <= 0 {
		c.MaxPerNode = defaultMaxPerNode
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = defaultMaxRequests
	}
	if c.Reserve == nil {
		c.Reserve = func() (func(), bool) { return func() {}, true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

const (
	lastMove       = 2 * time.Second  // over which those websockets close that have come during Move
	goodbyeTimeout = 2 * time.Second  // for another node to hear that this one leaves
	endTimeout     = 5 * time.Second  // for what is passed on to end in order
	tidyInterval   = 30 * time.Second // between looks for connections that nobody needs
)

// Forwarder passes requests on to the nodes that have their sessions, and serves
// those that other nodes pass on. Its methods may be called by many goroutines.
type Forwarder struct {
	cfg   Config
	self  wire.NodeID
	ids   ids
	proxy *httputil.ReverseProxy
	plain *http.Transport // HTTP/2: requests
	raw   *http.Transport // HTTP/1.1, a connection each: websockets
	log   *slog.Logger

	mu      sync.Mutex
	peers   map[wire.NodeID]*peer // all other nodes
	passing int                   // requests on their way to others
	ended   bool
	idle    chan struct{} // capacity 1: passing is 0

	dials   sync.WaitGroup
	callers callers
	counts  counters
}

// New makes a Forwarder. Before Run it knows no other nodes.
func New(cfg Config) *Forwarder {
	cfg = cfg.withDefaults()
	f := &Forwarder{cfg: cfg, self: cfg.Cluster.ID(), log: cfg.Logger, peers: map[wire.NodeID]*peer{}, idle: make(chan struct{}, 1)}
	f.ids = ids{node: f.self}
	if cfg.Net != nil {
		f.ids.keys = cfg.Net.SessionKeys
	} else {
		key := [][]byte{randomKey()}
		f.ids.keys = func() [][]byte { return key }
	}
	f.plain, f.raw = f.transports()
	f.proxy = f.newProxy()
	return f
}

// NewSID draws the id of a session of this node.
func (f *Forwarder) NewSID() string { return f.ids.draw() }

// Owner is the node that has drawn the id of a session, zero if none of this cluster
// has.
func (f *Forwarder) Owner(sid string) wire.NodeID { return f.ids.owner(sid) }

// Run follows who is in the cluster until ctx ends. Then it asks the other nodes to
// let go of what this one passes on to them, which their sessions survive, and
// returns when that has ended: seconds later at most.
func (f *Forwarder) Run(ctx context.Context) error {
	if f.cfg.Net == nil {
		<-ctx.Done()
		return nil
	}
	f.follow(ctx)
	if f.passingNow() > 0 {
		f.Move(lastMove)
	}
	f.sayGoodbye()
	f.waitIdle(endTimeout)
	f.end()
	f.waitIdle(endTimeout) // what was cut returns at once
	f.raw.CloseIdleConnections()
	f.dials.Wait()
	return nil
}

// follow keeps peers in step with the cluster. A node that has gone takes with it
// whatever waits for it.
func (f *Forwarder) follow(ctx context.Context) {
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	for {
		changed := f.cfg.Cluster.Changed()
		f.setNodes(f.cfg.Cluster.Nodes())
		select {
		case <-changed:
		case <-tidy.C:
			for _, p := range f.nodes() {
				p.tidy()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (f *Forwarder) setNodes(nodes []cluster.NodeInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := make(map[wire.NodeID]bool, len(nodes))
	for _, n := range nodes {
		here[n.ID] = true
		switch p := f.peers[n.ID]; {
		case n.ID == f.self:
		case p == nil:
			f.peers[n.ID] = newPeer(f, n)
		default:
			p.setAddr(n.Addr)
		}
		if p := f.peers[n.ID]; p != nil {
			p.linked = n.State == "up"
		}
	}
	for id, p := range f.peers {
		if !here[id] {
			delete(f.peers, id)
			p.close(errGone)
		}
	}
}

// nodes are all peers.
func (f *Forwarder) nodes() []*peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*peer, 0, len(f.peers))
	for _, p := range f.peers {
		all = append(all, p)
	}
	return all
}

// Move asks the other nodes to close the websockets that this one passes on to
// them, one by one over a time, so that the clients do not all connect elsewhere at
// once. It returns when that is done. Polls go on: they end with Run.
func (f *Forwarder) Move(over time.Duration) {
	f.tellAll(over+goodbyeTimeout, func(ctx context.Context, p *peer) error {
		if !p.inUse() {
			return nil
		}
		return p.tell(ctx, kindMove+" "+over.String())
	})
}

// sayGoodbye tells the nodes that have requests of ours.
func (f *Forwarder) sayGoodbye() {
	f.tellAll(goodbyeTimeout, func(ctx context.Context, p *peer) error { return p.goodbye(ctx) })
}

func (f *Forwarder) tellAll(limit time.Duration, tell func(context.Context, *peer) error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range f.nodes() {
		all.Go(func() {
			if err := tell(ctx, p); err != nil {
				f.log.Debug("forward: node not told that this one leaves", "peer", p.name, "err", err)
			}
		})
	}
	all.Wait()
}

// waitIdle waits until nothing is passed on, at most for limit.
func (f *Forwarder) waitIdle(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for f.passingNow() > 0 {
		select {
		case <-f.idle:
		case <-timer.C:
			return
		}
	}
}

// end cuts what is left, and passes on nothing any more.
func (f *Forwarder) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for id, p := range f.peers {
		delete(f.peers, id)
		p.close(errEnded)
	}
}

func (f *Forwarder) passingNow() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.passing
}

// enter counts a request for a node in; leave must follow.
func (f *Forwarder) enter(id wire.NodeID) (*peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[id]
	switch {
	case f.ended:
		return nil, errEnded
	case p == nil:
		return nil, errGone
	case p.passing >= f.cfg.MaxPerNode || f.passing >= f.cfg.MaxRequests:
		return nil, ErrBusy
	}
	p.passing++
	f.passing++
	return p, nil
}

func (f *Forwarder) leave(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.passing--
	f.passing--
	if f.passing == 0 {
		select {
		case f.idle <- struct{}{}:
		default:
		}
	}
}

// reserve takes what a request needs besides its place among the others.
func (f *Forwarder) reserve(r *http.Request) (release func(), err error) {
	if !ws.IsUpgrade(r) {
		return func() {}, nil
	}
	if release, ok := f.cfg.Reserve(); ok {
		return release, nil
	}
	return nil, ErrBusy
}

// peer finds a node for who dials it.
func (f *Forwarder) peer(id wire.NodeID) (*peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.peers[id]; p != nil {
		return p, nil
	}
	return nil, errGone
}

// Errors of Pass. The others than refusals mean for a client that there is no such
// session.
var (
	// ErrBusy says that as many requests are passed on as may be.
	ErrBusy = &engineio.Refusal{Status: http.StatusServiceUnavailable, Message: "Too many requests for other nodes"}

	errEnded  = &engineio.Refusal{Status: http.StatusServiceUnavailable, Message: "Server shutting down"}
	errForged = errors.New("forward: not a session id of this cluster")
	errHere   = errors.New("forward: a session of this node")
	errGone   = errors.New("forward: the node of the session is gone")
)
