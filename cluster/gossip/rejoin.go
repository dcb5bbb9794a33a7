package gossip

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/meshrt/meshrt/wire"
)

const (
	// maxPings limits how many challengers are asked in one tick whether they are
	// where they are said to be. The others are asked in the next.
	maxPings = 16
	// maxWarned limits how many refused members are told of. All are counted.
	maxWarned = 256
)

// rejoiner runs the plan: memberlist forgets the dead after a minute and never
// finds them again (MESH §0.5, measured). All of it but the goroutines that wait
// for the network runs in one goroutine, which never waits for them.
type rejoiner struct {
	g    *Gossip
	list *memberlist.Memberlist
	net  *transport
	keys *keys
	plan *plan

	work    sync.WaitGroup
	joins   chan joinResult
	lookups chan lookupResult
	pings   chan wire.NodeID       // done, answered or not
	asked   map[wire.NodeID]bool   // pinged in this tick; true while that lasts
	shown   map[wire.NodeID]Member // who was logged as joined
	warned  map[string]bool        // who was logged as refused
}

type joinResult struct {
	addr netip.AddrPort
	err  error
}

type lookupResult struct {
	seed int
	ips  []netip.Addr
	err  error
}

func newRejoiner(g *Gossip, list *memberlist.Memberlist, t *transport, k *keys) *rejoiner {
	return &rejoiner{
		g: g, list: list, net: t, keys: k,
		plan:    newPlan(g.self, g.timing.rejoin, g.seeds, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		joins:   make(chan joinResult, maxJoins),
		lookups: make(chan lookupResult, len(g.seeds)),
		pings:   make(chan wire.NodeID, maxPings),
		asked:   make(map[wire.NodeID]bool),
		shown:   make(map[wire.NodeID]Member),
		warned:  make(map[string]bool),
	}
}

// run returns when ctx ends. Its goroutines may still wait for the network: wait
// for them after the transport's Shutdown.
func (r *rejoiner) run(ctx context.Context) {
	r.recall()
	r.tick(ctx)
	r.look()
	timer := time.NewTimer(r.plan.wait())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.g.file.offer(time.Now(), r.plan.peers(time.Now()), true)
			return
		case <-timer.C:
			r.tick(ctx)
			timer.Reset(r.plan.wait())
		case <-r.g.poked: // members changed, addresses were learned, somebody was refused
		case j := <-r.joins:
			r.plan.done(j.addr, j.err)
		case l := <-r.lookups:
			r.plan.found(l.seed, l.ips, l.err)
		case id := <-r.pings:
			r.asked[id] = false
		}
		r.look()
	}
}

func (r *rejoiner) tick(ctx context.Context) {
	if err := r.keys.follow(r.g.cfg.Net.GossipKeys()); err != nil {
		r.g.log.Warn("gossip keys not changed", "err", err)
	}
	now := time.Now()
	r.plan.expire(now)
	r.plan.observe(now, r.g.table.addrs())
	r.join(r.plan.tick(now))
	r.lookup(ctx)
	r.g.file.offer(now, r.plan.peers(now), false)
	maps.DeleteFunc(r.asked, func(_ wire.NodeID, busy bool) bool { return !busy })
}

// recall takes the addresses of the last run into the plan, those that may be dialled.
func (r *rejoiner) recall() {
	now := time.Now()
	for _, p := range r.g.recalled {
		if r.g.cfg.Net.Allows(p.addr.Addr()) {
			r.plan.recall(now, p)
		} else {
			r.g.count.learnDropped.Add(1)
		}
	}
}

// look takes in what is new and acts on what must not wait for a tick.
func (r *rejoiner) look() {
	now := time.Now()
	changed := r.g.table.changed()
	if changed {
		r.plan.observe(now, r.g.table.addrs())
	}
	for a, ask := range r.g.learned.take() {
		r.plan.learn(now, a, ask)
	}
	r.join(r.plan.news(now))
	r.ping()
	if changed {
		r.reportMembers()
	}
	r.reportSeeds()
	r.reportRefused()
	if r.plan.settled() {
		r.g.joined.Store(true)
	}
	r.g.count.forgottenAddrs.Store(r.plan.forgot)
}

func (r *rejoiner) join(addrs []netip.AddrPort) {
	for _, a := range addrs {
		r.g.count.joins.Add(1)
		r.work.Go(func() { r.joins <- joinResult{a, r.tryJoin(a.String())} })
	}
}

// tryJoin exchanges the state of both sides. It takes the dial's timeout when
// nobody answers.
func (r *rejoiner) tryJoin(addr string) error {
	r.net.watch(addr)
	_, err := r.list.Join([]string{addr})
	dialErr := r.net.unwatch(addr)
	if err == nil {
		r.g.log.Debug("joined", "addr", addr)
		return nil
	}
	if dialErr != nil {
		err = dialErr
	}
	r.g.count.joinErrors.Add(1)
	r.g.log.Debug("cannot join", "addr", addr, "err", err)
	return err
}

// lookup asks for the names among the seeds, each once at a time.
func (r *rejoiner) lookup(ctx context.Context) {
	for i, s := range r.plan.seeds {
		if s.host == "" || s.looking {
			continue
		}
		s.looking = true
		r.g.count.lookups.Add(1)
		r.work.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, r.g.timing.stream)
			defer cancel()
			ips, err := r.g.cfg.Resolver(ctx, s.host)
			if err != nil {
				r.g.count.lookupErrors.Add(1)
			}
			r.lookups <- lookupResult{i, ips, err}
		})
	}
}

// ping asks those who are said to be at another member's address.
func (r *rejoiner) ping() {
	for _, m := range r.g.table.challengers() {
		if _, ok := r.asked[m.ID]; ok || len(r.asked) >= maxPings {
			continue
		}
		r.asked[m.ID] = true
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(m.Addr))
		r.work.Go(func() {
			if _, err := r.list.Ping(memberName(m.Name, m.ID), to); err == nil {
				r.g.table.settle(m.ID)
				r.g.poke()
			}
			r.pings <- m.ID
		})
	}
}

// reportMembers logs who came and went since it was last called.
func (r *rejoiner) reportMembers() {
	now := make(map[wire.NodeID]Member)
	for _, m := range r.g.Members() {
		now[m.ID] = m
		if _, ok := r.shown[m.ID]; !ok {
			r.g.log.Info("member joined", attrs(m)...)
		}
	}
	for id, m := range r.shown {
		if _, ok := now[id]; !ok {
			r.g.log.Info("member left", attrs(m)...)
		}
	}
	r.shown = now
}

func (r *rejoiner) reportSeeds() {
	for _, v := range r.plan.verdicts() {
		if v.err == nil {
			r.g.log.Info("joined " + strconv.Quote(v.seed))
			continue
		}
		r.g.log.Warn("cannot join " + strconv.Quote(v.seed) + ": " + reason(v.err) + "; will keep trying")
	}
}

func (r *rejoiner) reportRefused() {
	for {
		select {
		case f := <-r.g.refusals:
			if !r.warned[f.name] && len(r.warned) < maxWarned && !errors.Is(f.err, errOwnAddress) {
				r.warned[f.name] = true
				r.g.log.Warn("member refused", "member", f.name, "err", f.err)
			}
		default:
			return
		}
	}
}

func attrs(m Member) []any {
	return []any{slog.String("member", m.Name), slog.String("id", m.ID.String()), slog.String("addr", m.Addr)}
}
