// Package mesh keeps one connection to each other node and carries frames over
// it in order. It knows who speaks HELLO, PING and BYE; every other frame is
// its Handler's affair.
//
// Reading order: mesh.go (Mesh: who is wanted, who is linked), peer.go (dialling
// one peer), turns.go, handshake.go (HELLO), link.go (one connection's life), write.go (its writer),
// direct.go (who sends writes), lane.go, beat.go (heartbeats), renew.go, backoff.go.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Network is where links come from: TLS in production (cluster/port), memory
// in tests (cluster/clustertest). Both ends are already authenticated; a
// connection with a method PeerName() string has its identity from there.
type Network interface {
	// AcceptLink blocks until a link comes, ctx ends or there will be no more
	// (net.ErrClosed).
	AcceptLink(ctx context.Context) (net.Conn, error)
	DialLink(ctx context.Context, addr string) (net.Conn, error)
}

// Handler receives what happens on links. The calls for one peer never
// overlap, and a link's LinkDown precedes the next LinkUp of its peer, also
// when the new connection came before the old one was seen dead. No lock of
// this package is held during a call.
type Handler interface {
	// LinkUp comes before any frame of l. What it sends goes first.
	LinkUp(l *Link)
	// HandleFrames gets every frame but those of this package, in order, those
	// together that have arrived together. fs and DATA frames are good until it returns, the bytes
	// of other frames for ever. An error ends the link.
	HandleFrames(l *Link, fs []wire.Frame) error
	// LinkReady comes when a lane that refused a droppable frame takes some again,
	// from the link's writer.
	LinkReady(l *Link, lane Lane)
	// LinkDown comes after the last frame of l, with what ended it.
	LinkDown(l *Link, err error)
}

// Config is what a Mesh needs. Zero durations and sizes mean the default.
type Config struct {
	ID   wire.NodeID
	Name string // the operator's name of this node
	Addr string // what others dial; told in HELLO
	Net  Network

	// Heartbeat is the interval of PINGs on every link that has nothing else to say. Default 250 ms.
	Heartbeat time.Duration
	// Silence ends a link on which nothing arrived for so long. Default 3 s;
	// 10 s suits a WAN. Shorter is noticed faster and breaks more healthy
	// links of paused or overloaded nodes.
	Silence time.Duration
	// HandshakeTimeout bounds dialling and HELLO, each. Default 3 s.
	HandshakeTimeout time.Duration
	// QueueBytes is what may wait for one peer in a lane before droppable frames are
	// refused. Default 1 MiB (cluster gives 256 KiB): what does not fit waits better at whoever keeps it.
	QueueBytes int
	// ControlBytes is what may wait in all. Default 64 MiB, which is the interest in
	// three million rooms. Beyond it the link ends: the peer does not read.
	ControlBytes int
	// BulkBytes is what may wait in LaneBulk, beside that; one frame, whatever its size, always may. Default 64 MiB. Beyond it the link ends.
	BulkBytes int
	// Features are told in HELLO: bits of wire.Hello.
	Features uint64
	Logger   *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Heartbeat <= 0 {
		c.Heartbeat = 250 * time.Millisecond
	}
	if c.Silence <= 0 {
		c.Silence = 3 * time.Second
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 3 * time.Second
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = 1 << 20
	}
	if c.ControlBytes <= 0 {
		c.ControlBytes = 64 << 20
	}
	if c.BulkBytes <= 0 {
		c.BulkBytes = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Peer is a node that this one wants to be linked to.
type Peer struct {
	ID   wire.NodeID
	Name string
	Addr string
}

// What ends a link, beside errors of the connection itself.
var (
	ErrReplaced   = errors.New("replaced by a newer connection")
	ErrDuplicate  = errors.New("already linked")
	ErrSilent     = errors.New("peer is silent")
	ErrFull       = errors.New("link queue is full")
	ErrClosed     = errors.New("link is closed")
	ErrLeaving    = errors.New("node is leaving")
	ErrOtherNode  = errors.New("another node answers at this address")
	ErrNoVersion  = errors.New("no protocol version in common")
	errUnexpected = errors.New("unexpected frame in the handshake")
)

// Mesh owns the links of one node.
type Mesh struct {
	cfg Config
	h   Handler

	mu     sync.Mutex
	peers  map[wire.NodeID]*peer // wanted or linked
	lastUp time.Time             // when a link was last registered
	closed bool                  // Run is ending: no new links
	wake   chan struct{}         // capacity one: the wanted peers changed
	turns  turns
	pulse  pulse

	counters counters
}

type counters struct {
	in, out         [wire.Kinds]atomic.Uint64
	bytesIn, bytesO atomic.Uint64
	refused         atomic.Uint64 // droppable frames refused by full queues
	up, down        atomic.Uint64
}

// New checks nothing but the presence of what it cannot do without; Run does
// the work.
func New(cfg Config, h Handler) *Mesh {
	cfg.setDefaults()
	return &Mesh{cfg: cfg, h: h, peers: map[wire.NodeID]*peer{}, wake: make(chan struct{}, 1), turns: newTurns()}
}

// SetPeers says which nodes to dial. A node that is no longer named is not
// dialled again, but a link that lives is kept: gossip has been wrong about
// healthy nodes (MESH §0.4).
func (m *Mesh) SetPeers(ps []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := make(map[wire.NodeID]bool, len(ps))
	for _, want := range ps {
		if want.ID != m.cfg.ID {
			wanted[want.ID] = true
			m.wantLocked(want)
		}
	}
	for id, p := range m.peers {
		if p.wanted && !wanted[id] {
			p.wanted = false
			m.changedLocked(p)
		}
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// wantLocked wakes the dialler of a peer only for news: SetPeers comes with every
// change of any peer.
func (m *Mesh) wantLocked(want Peer) {
	p := m.peerLocked(want.ID)
	if p.wanted && p.Peer == want {
		return
	}
	p.wanted, p.Peer = true, want
	m.changedLocked(p)
}

func (m *Mesh) peerLocked(id wire.NodeID) *peer {
	p := m.peers[id]
	if p == nil {
		p = &peer{Peer: Peer{ID: id}, changed: make(chan struct{})}
		m.peers[id] = p
	}
	return p
}

// changedLocked wakes who waits for p, and forgets p when there is nothing to know.
func (m *Mesh) changedLocked(p *peer) {
	if !p.wanted && p.link == nil && !p.dialling {
		delete(m.peers, p.ID)
	}
	p.poke()
}

// Run accepts and dials until ctx ends, then says BYE on every link, waits at
// most a second for what is queued to leave, and returns when all its
// goroutines have ended.
func (m *Mesh) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	linkCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	wg.Go(func() { m.acceptLoop(ctx, linkCtx, &wg) })
	wg.Go(func() { m.runBeats(linkCtx) })
	for ctx.Err() == nil {
		m.startDiallers(ctx, linkCtx, &wg)
		select {
		case <-m.wake:
		case <-ctx.Done():
		}
	}
	m.leave()
	cut()
	wg.Wait()
	return nil
}

func (m *Mesh) acceptLoop(ctx, linkCtx context.Context, wg *sync.WaitGroup) {
	for {
		c, err := m.cfg.Net.AcceptLink(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				m.cfg.Logger.Error("accepting links ended", "err", err)
			}
			return
		}
		wg.Go(func() { m.serveAccepted(linkCtx, c) })
	}
}

func (m *Mesh) startDiallers(ctx, linkCtx context.Context, wg *sync.WaitGroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.wanted && !p.dialling {
			p.dialling = true
			wg.Go(func() { m.keep(ctx, linkCtx, p) })
		}
	}
}

// leave announces the end on all links and gives their writers a second.
func (m *Mesh) leave() {
	m.mu.Lock()
	m.closed = true
	links := m.linksLocked()
	m.mu.Unlock()
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for _, l := range links {
		l.bye(ErrLeaving)
	}
	for _, l := range links {
		select {
		case <-l.done:
		case <-patience.C:
			return
		}
	}
}

func (m *Mesh) linksLocked() []*Link {
	var ls []*Link
	for _, p := range m.peers {
		if p.link != nil {
			ls = append(ls, p.link)
		}
	}
	slices.SortFunc(ls, func(a, b *Link) int {
		if a.peer.ID < b.peer.ID {
			return -1
		}
		return 1
	})
	return ls
}

// Links are the live links, by the ID of their peer.
func (m *Mesh) Links() []*Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.linksLocked()
}

// Stats are counters since New; indexes of Frames are wire.Kind.
type Stats struct {
	FramesIn, FramesOut [wire.Kinds]uint64
	BytesIn, BytesOut   uint64
	Refused             uint64 // droppable frames that met a full queue
	Up, Down            uint64 // links made and lost
}

// Stats is a snapshot.
func (m *Mesh) Stats() Stats {
	c := &m.counters
	s := Stats{BytesIn: c.bytesIn.Load(), BytesOut: c.bytesO.Load(), Refused: c.refused.Load(), Up: c.up.Load(), Down: c.down.Load()}
	for k := range wire.Kinds {
		s.FramesIn[k], s.FramesOut[k] = c.in[k].Load(), c.out[k].Load()
	}
	return s
}

// register makes l its peer's link. Of two connections the one dialled by the
// lower id stays, and of two dialled by the same node the newer: its dialler
// has seen the older one dead. The link that gives way has had its LinkDown
// when register returns.
func (m *Mesh) register(l *Link) error {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return ErrLeaving
		}
		p := m.peerLocked(l.peer.ID)
		old := p.link
		if old == nil {
			p.link, m.lastUp = l, time.Now()
			if p.Addr == "" {
				p.Peer = l.peer
			}
			p.poke()
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		if l.dialler != old.dialler && old.dialler == min(m.cfg.ID, l.peer.ID) {
			return fmt.Errorf("link to %v: %w", l.peer.ID, ErrDuplicate)
		}
		if l.dialler == old.dialler {
			old.end(ErrReplaced) // nobody reads the last words
		} else {
			old.bye(ErrReplaced)
		}
		<-old.done
	}
}

func (m *Mesh) unregister(l *Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[l.peer.ID]; p != nil && p.link == l {
		p.link = nil
		m.changedLocked(p)
	}
}
