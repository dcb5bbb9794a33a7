// Package cluster finds the other nodes and carries each message to those that
// want it, once and in the order in which its node published it. It knows
// topics and nodes; clients and HTTP are somebody else's.
//
// Reading order: cluster.go (Config, Cluster, Run), core.go (the protocol, pure),
// interest.go, opening.go, lease.go, log.go, stream.go and deliver.go (its parts),
// links.go (frames in, effects out), recovery.go and aside.go (what recovery hears and says), told.go (joins that count), calls.go (questions to
// one node: questions.go and answers.go, pure, and serve.go), tally.go (counts of members: counts.go, pure), follow.go (membership to links, ticks, the end), nodes.go (what operators see). DESIGN.md has the reasons and what is promised.
//
// Locks: a caller may hold its own lock while it calls Publish, SetInterest or SendFrame,
// which never block; Flush and calls to the Handler and to done functions hold none.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// Network is the one port that gossip and links share: *port.Port, or a host
// of clustertest. Cluster runs it.
type Network interface {
	PacketConn() net.PacketConn
	AcceptGossip() (net.Conn, error)
	DialGossip(ctx context.Context, addr string) (net.Conn, error)
	AcceptLink() (net.Conn, error)
	DialLink(ctx context.Context, addr string) (net.Conn, error)
	Advertise() netip.AddrPort
	GossipKeys() [][]byte
	Allows(netip.Addr) bool
	SetKnown(func(netip.Addr) bool)
	Run(ctx context.Context) error
}

// Handler receives the messages and requests of other nodes.
type Handler interface {
	// HandleMessages gets each message once, those of one node and priority in order, and
	// those that came together in one call; the slice is good until it returns. Calls for
	// different nodes overlap. It may block to slow that node's link down.
	HandleMessages(ms []*wire.Message)
	// HandleRequest answers a Call of another node. Calls overlap, as many as
	// maxServing for each peer; ctx ends with Run, or when the asker waits no more. A request
	// is made once, however often its link breaks.
	HandleRequest(ctx context.Context, from wire.NodeID, method string, body []byte) ([]byte, error)
}

// ErrNameTaken is the error of Run when another node of the cluster has the name
// of this one, which was about to start.
var ErrNameTaken = errors.New("the node's name is in use")

// Config is what a Cluster needs.
type Config struct {
	ID      wire.NodeID // of this run; drawn if zero
	Name    string      // the operator's name of this node
	Cluster string      // nodes of other clusters are strangers
	Region  string      // carried, not used yet
	Seeds   []string    // host:port of nodes to join; tried for ever
	// PeersFile keeps the addresses of members for the next run, see gossip.Config.
	PeersFile string
	Profile   gossip.Profile

	// Net is nil for a node without others: nothing is bound and everything is
	// in force at once.
	Net Network
	// Settle is how long joins and readiness wait for the links to the members
	// that a starting node learned. Default 5 s (CONTRACT §5).
	Settle time.Duration
	// LogBytes is what may wait for peers that cannot take it now, in all and of all
	// priorities: each message counts once. Default 64 MiB.
	LogBytes int
	// QueueBytes is what of the log is put on the link to one peer, see mesh.Config.
	// Default 256 KiB.
	QueueBytes int
	// ControlBytes is what may wait on it in all, see mesh.Config. Default 64 MiB.
	ControlBytes int
	// Recovery is nil when clients are not recovered: then no recovery is complete in the whole cluster.
	Recovery Recovery
	Logger   *slog.Logger
}

// Cluster is this node's place among the others.
type Cluster struct {
	cfg    Config
	h      Handler
	gossip *gossip.Gossip // nil without a network
	mesh   *mesh.Mesh
	accept *acceptor
	log    *slog.Logger

	mu        sync.Mutex
	core      *core
	links     map[wire.NodeID]*mesh.Link
	full      map[laneTo]bool // lanes that refused a frame of the batch under way
	timer     *time.Timer     // of beat; nil while that does not run
	armed     time.Duration   // the core's due that it has
	newcomers []string        // addresses of links that are new since the last tick
	silent    silent
	replaced  map[wire.NodeID]time.Duration // since when links have given way to connections that are not up yet
	detection Detection
	spans     []mesh.Span // of a batch to one link
	due       due

	// peering is held over each change of which nodes there are and are linked, and over what Recovery is told of it: so both have one
	// order. It is above the locks of Recovery's owner, and those above mu.
	peering sync.Mutex
	aside   aside

	questions   questions     // of this node
	answers     answers       // to those of others
	held        held          // of others
	holding     atomic.Bool   // some are held
	confirmedAt time.Duration // when answers were last confirmed

	tally      *tally
	server     server
	told       told
	poke       chan struct{} // capacity one: links changed
	watch      chan struct{} // closed and replaced at each change of Nodes; guarded by mu
	settled    chan struct{} // closed when joins count
	duplicates atomic.Uint64
	published  uint64
	congested  atomic.Bool
	started    time.Time
	end        context.CancelCauseFunc // of Run
}

// New validates cfg. Nothing is sent before Run.
func New(cfg Config, h Handler) (*Cluster, error) {
	if cfg.ID == 0 {
		cfg.ID = wire.NewNodeID()
	}
	if cfg.Settle <= 0 {
		cfg.Settle = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.LogBytes <= 0 {
		cfg.LogBytes = logBytes
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = queueBytes
	}
	if cfg.ControlBytes <= 0 {
		cfg.ControlBytes = controlBytes
	}
	c := &Cluster{cfg: cfg, h: h, log: cfg.Logger, core: newCore(), links: map[wire.NodeID]*mesh.Link{}, full: map[laneTo]bool{}, silent: silent{}, replaced: map[wire.NodeID]time.Duration{},
		questions: newQuestions(cfg.ControlBytes / 2), answers: newAnswers(answerBytes), held: held{}, tally: newTally(), server: server{serving: map[wire.NodeID]int{}},
		told: told{wake: make(chan struct{}, 1)}, aside: aside{limit: wire.MaxRecovery, parts: map[wire.NodeID][]byte{}}, poke: make(chan struct{}, 1), watch: make(chan struct{}), settled: make(chan struct{}), started: time.Now()}
	c.core.id = cfg.ID
	c.core.logs.limit, c.core.flushBytes = cfg.LogBytes, min(flushBytes, cfg.QueueBytes/2)
	if cfg.Profile == gossip.WAN {
		c.core.timing = wanTiming
	}
	if cfg.Net == nil {
		c.settle()
		return c, nil
	}
	var err error
	c.gossip, err = gossip.New(gossip.Config{ID: cfg.ID, Name: cfg.Name, Cluster: cfg.Cluster, Region: cfg.Region,
		MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion, Seeds: cfg.Seeds, PeersFile: cfg.PeersFile, Profile: cfg.Profile, Net: cfg.Net, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c.accept = &acceptor{Network: cfg.Net, conns: make(chan net.Conn)}
	c.mesh = mesh.New(mesh.Config{ID: cfg.ID, Name: cfg.Name, Addr: cfg.Net.Advertise().String(), Net: c.accept,
		QueueBytes: cfg.QueueBytes, ControlBytes: cfg.ControlBytes, Silence: silence(cfg.Profile), Features: features(cfg), Logger: cfg.Logger}, links{c})
	cfg.Net.SetKnown(c.known)
	return c, nil
}

// silence is how long a link may be quiet: MESH §3.
func silence(p gossip.Profile) time.Duration {
	if p == gossip.WAN {
		return 10 * time.Second
	}
	return 3 * time.Second
}

// features are what this node tells others of itself.
func features(cfg Config) uint64 {
	if cfg.Recovery == nil {
		return 0
	}
	return wire.FeatureRecovery
}

// ID is this run's id.
func (c *Cluster) ID() wire.NodeID { return c.cfg.ID }

// Name is the operator's name of this node.
func (c *Cluster) Name() string { return c.cfg.Name }

// Run takes part in the cluster until ctx ends, then says goodbye to the
// others, which takes about two seconds at most, and returns when every goroutine
// has ended. It ends by itself with ErrNameTaken, or when the network fails.
func (c *Cluster) Run(ctx context.Context) error {
	if c.gossip == nil {
		<-ctx.Done()
		return nil
	}
	// The network outlives those that use it, so that they can say goodbye.
	netCtx, closeNet := context.WithCancel(context.WithoutCancel(ctx))
	defer closeNet()
	var network errgroup.Group
	stop := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	c.mu.Lock()
	c.end = cancel
	c.mu.Unlock()
	network.Go(func() error {
		err := c.cfg.Net.Run(netCtx)
		if err == nil && netCtx.Err() == nil {
			err = errors.New("network ended by itself")
		}
		if err != nil {
			cancel(err)
		}
		return err
	})
	network.Go(func() error { c.accept.run(netCtx); return nil })
	network.Go(func() error { c.told.run(netCtx); return nil })
	defer c.server.open(ctx)()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-stop.Done():
			c.lastWords(gctx)
			cancel(nil)
		case <-gctx.Done():
		}
		return nil
	})
	g.Go(func() error { return c.gossip.Run(gctx) })
	g.Go(func() error { return c.mesh.Run(gctx) })
	g.Go(func() error { c.follow(gctx); return nil })
	g.Go(func() error { c.beat(gctx); return nil })
	err := g.Wait()
	closeNet()
	if err = errors.Join(err, network.Wait()); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrNameTaken) {
		return cause
	}
	return nil
}

// fail makes Run end with err.
func (c *Cluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

// Publish numbers m and sends it to every node that has members of its rooms.
// It never blocks; the order of calls is the order at every receiver, for messages of
// one priority. Flush has to follow.
func (c *Cluster) Publish(m *wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishLocked(m)
}

// publishLocked reads the clock, which takes as long as all else that is done here for a
// peer, only if it matters; and it writes no atomic value that stays the same, for the same reason.
func (c *Cluster) publishLocked(m *wire.Message) (to []wire.NodeID) {
	m.Origin = c.cfg.ID
	c.published++
	run := c.core.writer.Run(m)
	if !c.core.timeless(m, run) {
		c.core.now = c.clock()
	}
	to = c.core.publish(m, run)
	c.applyLocked() // nothing but frames comes of a publish
	c.congestedLocked()
	c.armLocked() // the link of a peer may be full
	return to
}

func (c *Cluster) congestedLocked() {
	if is := c.core.congested(); is != c.congested.Load() {
		c.congested.Store(is)
	}
}

// PublishTo is Publish that tells for which nodes the message is, or may be: it
// goes to them now, or waits until it is known whether they want it. Flush has to follow.
func (c *Cluster) PublishTo(m *wire.Message) (to []wire.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.publishLocked(m))
}

// SetInterest says that t has local members from now on, or none any more, and
// gives the version to wait for. It never blocks. The caller says each change
// once and in order.
func (c *Cluster) SetInterest(t wire.Topic, on bool) (version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.now = c.clock()
	version = c.core.setInterest(t, on)
	c.applyLocked()
	c.due.leaveLocked()
	return version
}

// WhenInForce calls done once every node has the interest of version in force,
// or keeps what it publishes as it cannot know, so that nothing they publish later is
// missed (G2). It is called without locks held, now or from a goroutine that calls all
// of them: what takes long delays those behind it. A node that dies or is cut off
// delays it by 1.5 s at most (WAN 4.5 s).
func (c *Cluster) WhenInForce(version uint64, done func()) {
	for _, f := range c.doNow(func() { c.core.whenInForce(version, done) }) {
		f() // is in force already
	}
}

// InForce tells whether WhenInForce would call at once.
func (c *Cluster) InForce(version uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.now = c.clock()
	return c.core.inForce(version)
}

// Reachable tells whether id is this node or one to which messages flow.
func (c *Cluster) Reachable(id wire.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.core.peers[id]
	return id == c.cfg.ID || p != nil && p.synced
}

// Wants tells whether messages for rooms go to the node id, by what it has announced
// last.
func (c *Cluster) Wants(id wire.NodeID, namespace string, rooms []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.core.peers[id]
	return p != nil && p.hasAny(id, namespace, rooms)
}

// Announced tells whether some other node has said that it has members of t.
func (c *Cluster) Announced(t wire.Topic) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.core.peers {
		if _, ok := p.topics[t]; ok {
			return true
		}
	}
	return false
}

// Congested tells that a peer reads more slowly than this node publishes:
// publishers should pause for some milliseconds (MESH §6, back-pressure).
func (c *Cluster) Congested() bool { return c.congested.Load() }

// clock is the core's: monotonic, and never 0.
func (c *Cluster) clock() time.Duration { return 1 + time.Since(c.started) }

func (c *Cluster) hasSettled() bool {
	select {
	case <-c.settled:
		return true
	default:
		return false
	}
}

func (c *Cluster) settle() {
	c.do(c.core.settle)
	close(c.settled)
}
