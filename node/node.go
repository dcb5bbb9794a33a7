package node

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// Config is what a Node needs; the zero value is a node without others.
type Config struct {
	Cluster cluster.Config
	// Shards is the number of goroutines that deliver. Default GOMAXPROCS.
	Shards int
	// MaxRooms limits the rooms of one session, its own id not counted.
	// Default 1000.
	MaxRooms int
	// SessionsMove lets sessions of Socket.IO clients move to another node, when the
	// client's websocket lands there and not where it polls. No handler runs for
	// that: OnConnect has run on the old node, OnDisconnect will on the new one. Rooms,
	// SetData, Handshake and answers that are waited for go along; values of Set,
	// Context and whatever handlers keep of a *Session do not, which is closed
	// on the old node. False: such a websocket is passed on for as long as it lasts.
	SessionsMove bool
	// Recovery is for how long a client whose connection has ended without a goodbye may
	// come back, to any node, and get what it has missed: see SessionConfig.Resume. It is meant
	// to be the same on all nodes; one without it keeps all others from recovering. 0 is off.
	// With it sessions do not move: SessionsMove has no effect.
	Recovery time.Duration
	// RecoveryBytes limits the own messages that are kept for Recovery, and those that are mirrored of each other
	// node: beyond it the oldest go, and clients that lack one are not recovered. Default 64 MiB.
	RecoveryBytes int
	// ReplayBytes limits what a client that comes back is sent of what it has missed, by Message.Size; who missed more gets a new session. It
	// all goes to the Sink at once: half of what that can queue leaves room for what comes live. Default 512 KiB.
	ReplayBytes int
	// UnsentReplays limits what all who come back have missed and not got yet, in bytes with some for the queues: beyond it the next ones
	// wait until there is half as much. A client counts for 5 s at most. 128 MiB.
	UnsentReplays int
	// PresenceGrace is for how long a user whose last socket in a room has lost its connection may come
	// back, on any node, before presence has it leave. Default 2 s.
	PresenceGrace time.Duration
	Logger        *slog.Logger
}

// MaxRoomName is the longest name of a room, in bytes.
const MaxRoomName = 255

// MaxNamespace is the longest name of a namespace, in bytes.
const MaxNamespace = 255

// Node is the hub of one process.
type Node struct {
	cfg       Config
	log       *slog.Logger
	cluster   *cluster.Cluster
	shards    []*shard
	next      atomic.Uint32 // shard for the next connection
	asks      atomic.Uint64 // the last ack id
	passing   atomic.Int64  // answers on their way to other nodes
	stats     counters
	servers   servers
	keys      *keys
	copyWaits atomic.Int64 // repeated publishes that wait for copies
	started   time.Time

	histories histories

	recovery  *recoverer // nil: off
	presences presences

	// mu guards what follows and the membership of sessions. Under it a change
	// is made, told to the peers (cluster's lock is below) and put on a shard's
	// inbox, so that all three see changes and messages in one order. Nothing
	// under it blocks, and no handler and no Sink is called.
	mu         sync.Mutex
	namespaces map[string]*Namespace
	dynamic    []dynamic
	sessions   map[wire.SessionID]*Session
	rooms      map[wire.Topic]*room
	asksFor    asksFor
	lingering  map[wire.SessionID]*Session // that have moved, and owe an answer
	recount    []wire.Topic                // whose members have changed, see changedLocked
	uncounted  chan struct{}               // capacity one: there are such
	protocols  map[string]RequestHandler   // by method
	closed     bool
	quietUntil time.Time // no line about Config.MaxRooms before that

	telling    sync.Mutex     // held around mu while counts are told
	background sync.WaitGroup // what is told to other nodes beside the rest
	done       chan struct{}  // closed when Run has ended
}

// room is a topic with local members.
type room struct {
	members int
	only    *shard // has all members; nil when several shards may have some
	changed bool   // is in Node.recount
	version uint64 // of the interest that its first member raised
}

// shards are those with members of r, which is nil when there are none.
func (r *room) shards(n *Node) (to []*shard, members int) {
	switch {
	case r == nil:
		return nil, 0
	case r.only != nil:
		return n.only(r.only), r.members
	}
	return n.shards, r.members
}

type counters struct {
	published, received, refused, useless   atomic.Uint64
	events, unhandled, panics               atomic.Uint64
	opened, closed, roomLimit               atomic.Uint64
	acksIgnored, acksRefused, serverDropped atomic.Uint64
	movedIn, movedOut                       atomic.Uint64
}

// New makes a node and its place in the cluster. Nothing runs before Run.
func New(cfg Config) (*Node, error) {
	if cfg.Shards <= 0 {
		cfg.Shards = runtime.GOMAXPROCS(0)
	}
	if cfg.MaxRooms <= 0 {
		cfg.MaxRooms = 1000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{cfg: cfg, log: cfg.Logger, uncounted: make(chan struct{}, 1), namespaces: map[string]*Namespace{},
		sessions: map[wire.SessionID]*Session{}, rooms: map[wire.Topic]*room{}, asksFor: asksFor{},
		lingering: map[wire.SessionID]*Session{}, protocols: map[string]RequestHandler{}, done: make(chan struct{})}
	if cfg.Recovery > 0 {
		n.cfg.SessionsMove = false // there is one way to own a session
	}
	if cfg.Cluster.ID == 0 {
		cfg.Cluster.ID = wire.NewNodeID()
	}
	if n.recovery = newRecoverer(n, cfg); n.recovery != nil {
		cfg.Cluster.Recovery = machine{n.recovery}
	}
	n.servers.queue = make(chan *ServerEvent, maxServerEvents)
	for i := range cfg.Shards {
		s := newShard(i, &n.stats)
		if n.recovery != nil {
			s.quiet = n.recovery.quiet
		}
		n.shards = append(n.shards, s)
	}
	c, err := cluster.New(cfg.Cluster, remote{n})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n.histories.init()
	n.cluster, n.keys, n.started = c, newKeys(c.ID(), cfg.Recovery), time.Now()
	n.presences.init(n)
	return n, nil
}

// Run delivers and takes part in the cluster until ctx ends; it returns when
// every goroutine has ended. The protocols' servers should have ended before,
// so that their clients' last words are heard. With Config.Recovery it goes on for drainPatience at most when
// ctx has ended, until other nodes have all that its clients come back for.
func (n *Node) Run(ctx context.Context) error {
	run, cancel := ctx, func() {}
	if n.recovery != nil {
		run, cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	defer cancel()
	g, gctx := errgroup.WithContext(run)
	for _, s := range n.shards {
		g.Go(func() error { s.run(gctx); return nil })
	}
	g.Go(func() error { n.runServerEvents(gctx); return nil })
	g.Go(func() error { n.runCounts(gctx); return nil })
	present, toldAll := context.WithCancel(context.WithoutCancel(gctx))
	g.Go(func() error { defer toldAll(); n.runPresence(gctx); return nil }) // then the cluster says goodbye
	g.Go(func() error { return n.cluster.Run(present) })
	if n.recovery != nil {
		g.Go(func() error { n.runRecovery(gctx); return nil })
		g.Go(func() error { n.drain(ctx, gctx); cancel(); return nil })
	}
	err := g.Wait()
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	close(n.done)
	if n.recovery != nil {
		n.recovery.stop()
	}
	n.background.Wait()
	return err
}

// ID is this run of the node.
func (n *Node) ID() wire.NodeID { return n.cluster.ID() }

// Name is the operator's name of the node.
func (n *Node) Name() string { return n.cluster.Name() }

// Cluster tells of the other nodes.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

// Stats are counters since New and the state of now.
type Stats struct {
	Sessions, Rooms   int
	Published         uint64 // messages of this node's clients, API and code
	Received          uint64 // messages of other nodes
	Useless           uint64 // of those, for nobody here any more
	Delivered         uint64 // references handed to a client's queue
	Refused           uint64 // not taken by a client's queue: full or closed
	Events, Unhandled uint64 // events of clients; those without a handler
	Panics            uint64 // of handlers
	Opened, Closed    uint64 // sessions
	RoomLimit         uint64 // joins refused for Config.MaxRooms
	AcksIgnored       uint64 // answers that nobody waited for: late, twice, unasked
	AcksRefused       uint64 // answers given up for a limit, see MaxAcks
	ServerDropped     uint64 // server events that came faster than their handlers are
	MovedIn, MovedOut uint64 // sessions from and to other nodes
	Watchers          int    // sessions that watch rooms, once for each room
	Presence          presence.Stats
	Lists             ListStats
	Keyed             KeyedStats
	InboxItems        int // waiting in all shards
	Recovery          RecoveryStats
	History           HistoryStats
}

// ListStats are of the lists of members that are told whole.
type ListStats struct {
	Made, Shared uint64 // for somebody who asked; given to somebody else, too
	Bytes        int    // of their texts that are kept, roughly
}

// Stats is a snapshot.
func (n *Node) Stats() Stats {
	c := &n.stats
	s := Stats{Published: c.published.Load(), Received: c.received.Load(), Useless: c.useless.Load(),
		Refused: c.refused.Load(), Events: c.events.Load(), Unhandled: c.unhandled.Load(),
		Panics: c.panics.Load(), Opened: c.opened.Load(), Closed: c.closed.Load(), RoomLimit: c.roomLimit.Load(),
		AcksIgnored: c.acksIgnored.Load(), AcksRefused: c.acksRefused.Load(), ServerDropped: c.serverDropped.Load(),
		MovedIn: c.movedIn.Load(), MovedOut: c.movedOut.Load(), Keyed: n.keys.stats(), History: n.histories.stats()}
	for _, sh := range n.shards {
		s.InboxItems += sh.waiting()
		s.Delivered += sh.delivered.Load()
	}
	n.presences.stats(&s)
	n.mu.Lock()
	defer n.mu.Unlock()
	s.Sessions, s.Rooms = len(n.sessions), len(n.rooms)
	if n.recovery != nil {
		s.Recovery = n.recovery.statsLocked()
	}
	return s
}
