package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	leaveTimeout  = time.Second
	updateTimeout = time.Second
	maxRefusals   = 16  // that wait to be logged; more are only counted
	maxShownName  = 128 // bytes of a refused name
)

// Gossip keeps track of the live members of a cluster. All methods may be called
// at any time from any goroutine.
type Gossip struct {
	cfg    Config
	timing timing
	self   netip.AddrPort
	seeds  []*seed // belongs to Run
	log    *slog.Logger
	logs   *logs

	file     *peersFile
	recalled []peer // what was in it

	table    *table
	changed  chan struct{} // to the caller
	poked    chan struct{} // to the rejoin loop
	learned  learned
	refusals chan refusal
	update   chan struct{} // the metadata has to be told again
	draining atomic.Bool
	joined   atomic.Bool
	ran      atomic.Bool
	list     atomic.Pointer[memberlist.Memberlist] // nil before Run
	count    counters
}

// refusal is a member that was not believed.
type refusal struct {
	name string
	err  error
}

// New checks cfg. Its errors name the setting and say what it must be.
func New(cfg Config) (*Gossip, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	seeds, err := parseSeeds(cfg.Seeds)
	if err != nil {
		return nil, err
	}
	a := cfg.Net.Advertise()
	g := &Gossip{
		cfg: cfg, timing: timings[cfg.Profile], seeds: seeds, log: cfg.Logger,
		self:  netip.AddrPortFrom(a.Addr().Unmap(), a.Port()),
		table: newTable(), changed: make(chan struct{}, 1), poked: make(chan struct{}, 1),
		refusals: make(chan refusal, maxRefusals), update: make(chan struct{}, 1),
	}
	g.logs = &logs{log: cfg.Logger, count: &g.count}
	g.file = newPeersFile(&cfg, &g.count)
	g.recalled = g.file.load()
	g.joined.Store(len(seeds) == 0 && len(g.recalled) == 0)
	if _, err := g.metaNow().encode(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return g, nil
}

// Run takes part in gossip until ctx ends, then tells the others that this node
// leaves, for at most a second, so the Network has to outlive it. It can run
// once. An error means that it never started.
//
// Of memberlist's own goroutines a few end up to a probe timeout after Run; they
// change and log nothing any more.
func (g *Gossip) Run(ctx context.Context) error {
	if !g.ran.CompareAndSwap(false, true) {
		return errors.New("gossip: Run called twice")
	}
	k, err := newKeys(g.cfg.Net.GossipKeys())
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	t := newTransport(g.cfg.Net, &g.count)
	list, err := memberlist.Create(g.memberlistConfig(t, k))
	if err != nil {
		t.Shutdown()
		return fmt.Errorf("start gossip: %w", err)
	}
	g.list.Store(list)
	r := newRejoiner(g, list, t, k)
	var beside sync.WaitGroup
	beside.Go(func() { g.updates(ctx, list) })
	fileCtx, closeFile := context.WithCancel(context.WithoutCancel(ctx))
	defer closeFile()
	beside.Go(func() { g.file.run(fileCtx) })
	r.run(ctx)
	closeFile()
	beside.Wait()
	g.leave(list)
	r.work.Wait()
	return nil
}

// leave says goodbye. That nobody takes note of it is no error to tell: all
// nodes may be stopping together.
func (g *Gossip) leave(list *memberlist.Memberlist) {
	if err := list.Leave(leaveTimeout); err != nil {
		g.log.Debug("nobody took note that this node leaves", "err", err)
	}
	g.logs.closed.Store(true)
	g.table.close()
	if err := list.Shutdown(); err != nil {
		g.log.Debug("stop gossip", "err", err)
	}
}

// updates tells the others new metadata, one change at a time: UpdateNode must
// not run twice at once.
func (g *Gossip) updates(ctx context.Context, list *memberlist.Memberlist) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.update:
			if err := list.UpdateNode(updateTimeout); err != nil {
				g.log.Debug("metadata told to nobody yet", "err", err)
			}
		}
	}
}

// Members are the live members other than this node, sorted by ID. There are
// none before and after Run. The slice is the caller's.
func (g *Gossip) Members() []Member { return g.table.members() }

// Changed receives after the members changed: look again. Several changes may
// come as one.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Joined tells whether this node has been part of a cluster: a join succeeded,
// there is a member, or there is nobody to join but itself. It stays true.
func (g *Gossip) Joined() bool { return g.joined.Load() }

// SetDraining tells the others that this node sends its clients away, or that
// it takes some again.
func (g *Gossip) SetDraining(on bool) {
	if g.draining.Swap(on) != on {
		signal(g.update)
	}
}

func (g *Gossip) metaNow() meta {
	m := meta{
		Min: g.cfg.MinVersion, Max: g.cfg.MaxVersion, Boot: uint64(g.cfg.ID),
		Region: g.cfg.Region, Settings: g.cfg.Settings,
	}
	if g.draining.Load() {
		m.Flags |= flagDraining
	}
	return m
}

// meta cannot fail: New has tried it, and a flag changes no length.
func (g *Gossip) meta() []byte {
	b, _ := g.metaNow().encode()
	return b
}

// poke tells the caller and the rejoin loop to look again.
func (g *Gossip) poke() {
	signal(g.changed)
	signal(g.poked)
}

func (g *Gossip) refuse(name string, err error) {
	g.count.refused.Add(1)
	name = strings.ToValidUTF8(name[:min(len(name), maxShownName)], "?")
	select {
	case g.refusals <- refusal{name, err}:
		signal(g.poked)
	default:
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
