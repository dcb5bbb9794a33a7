package gossip

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	perTick  = 3    // addresses tried at a tick
	maxJoins = 6    // tried at the same time: a dead address takes the dial's timeout
	greeted  = 8    // members joined after the first in a small cluster, see askSome
	acquaint = 2    // and in one of ten or more
	bookSize = 4096 // addresses remembered; the longest unseen goes first

	firstTick = 250 * time.Millisecond // until a join succeeded, then doubling
	jitter    = 0.2                    // of a tick, up or down
)

// plan decides which addresses to join and when. It has no clock and does no
// I/O: every method is told the time.
type plan struct {
	self   netip.AddrPort
	every  time.Duration // the tick
	quick  time.Duration // the next tick while nothing was joined
	seeds  []*seed
	book   map[netip.AddrPort]*target
	live   map[netip.AddrPort]bool
	busy   int
	joined bool // some join succeeded, ever
	greet  bool // the first just did
	rand   *rand.Rand
	forgot uint64 // addresses that the full book lost
}

func newPlan(self netip.AddrPort, every time.Duration, seeds []*seed, r *rand.Rand) *plan {
	p := &plan{
		self: self, every: every, quick: firstTick, seeds: seeds, rand: r,
		book: make(map[netip.AddrPort]*target), live: make(map[netip.AddrPort]bool),
	}
	p.markSeeds()
	return p
}

// observe is told where members are now.
func (p *plan) observe(now time.Time, live []netip.AddrPort) {
	clear(p.live)
	for _, a := range live {
		p.live[a] = true
		if t := p.remember(now, a); t != nil {
			t.member, t.seen, t.tried, t.ok, t.err = true, now, now, false, nil
		}
	}
}

// learn is told of an address where a member is said to be. With ask it is tried
// whoever is believed to be there.
func (p *plan) learn(now time.Time, a netip.AddrPort, ask bool) {
	if t := p.remember(now, a); t != nil && ask {
		t.asked = true
	}
}

// recall is told of an address where a member was in an earlier run.
func (p *plan) recall(now time.Time, who peer) {
	if t := p.remember(now, who.addr); t != nil {
		t.member, t.recalled, t.seen = true, true, now.Add(-who.age)
	}
}

// peers are the addresses of the last 24 h, for the next run.
func (p *plan) peers(now time.Time) []peer {
	var ps []peer
	for a, t := range p.book {
		if age := now.Sub(t.seen); t.member && age < bookAge {
			ps = append(ps, peer{a, max(age, 0).Truncate(time.Second)})
		}
	}
	return ps
}

// found is told what a seed's name stands for.
func (p *plan) found(i int, ips []netip.Addr, err error) {
	p.seeds[i].found(ips, err)
	p.markSeeds()
}

// markSeeds keeps the seeds' addresses, and only those, in the book for ever.
func (p *plan) markSeeds() {
	for _, t := range p.book {
		t.seed = false
	}
	for _, s := range p.seeds {
		for _, a := range s.addrs {
			if t := p.remember(time.Time{}, a); t != nil {
				t.seed = true
			}
		}
	}
}

// remember finds or makes the entry of a; there is none for ourselves.
func (p *plan) remember(now time.Time, a netip.AddrPort) *target {
	if a == p.self {
		return nil
	}
	t := p.book[a]
	if t == nil {
		p.makeRoom()
		t = &target{seen: now}
		p.book[a] = t
	}
	return t
}

func (p *plan) makeRoom() {
	if len(p.book) < bookSize {
		return
	}
	var oldest netip.AddrPort
	var worst *target
	for a, t := range p.book {
		if !t.seed && !t.busy && !p.live[a] && (worst == nil || older(t, worst)) {
			oldest, worst = a, t
		}
	}
	if worst != nil {
		delete(p.book, oldest)
		p.forgot++
	}
}

// older puts hearsay before what was a member's.
func older(a, b *target) bool {
	if a.member != b.member {
		return b.member
	}
	return a.seen.Before(b.seen)
}

// expire forgets what has not been seen for long.
func (p *plan) expire(now time.Time) {
	maps.DeleteFunc(p.book, func(a netip.AddrPort, t *target) bool {
		return !p.live[a] && t.expired(now)
	})
}

// tick gives the addresses to try now, and expects done for each. The first is a
// seed's when one is due, so that a long book does not keep the seeds waiting.
func (p *plan) tick(now time.Time) []netip.AddrPort {
	return p.take(now, perTick, func(t *target) bool { return t.due(now) })
}

// news gives those that were never tried: they do not wait for a tick.
func (p *plan) news(now time.Time) []netip.AddrPort {
	if p.greet && len(p.live) > 1 {
		p.greet = false
		p.askSome()
	}
	return p.take(now, maxJoins, (*target).fresh)
}

// askSome joins some of the members that the first join made known. They know of
// us by gossip only, and below ten nodes memberlist sends a message just four
// times, which may all go to the dead; the next push/pull would repair it, up to
// 16 s later (MESH §2, measured). Beyond that it sends more, over more relays.
func (p *plan) askSome() {
	as := slices.SortedFunc(maps.Keys(p.live), netip.AddrPort.Compare)
	p.rand.Shuffle(len(as), func(i, j int) { as[i], as[j] = as[j], as[i] })
	n := greeted
	if len(as) > greeted {
		n = acquaint
	}
	for _, a := range as[:min(len(as), n)] {
		if t := p.book[a]; t != nil {
			t.asked = true
		}
	}
}

func (p *plan) take(now time.Time, n int, due func(*target) bool) []netip.AddrPort {
	var as []netip.AddrPort
	for a, t := range p.book {
		if (t.asked || !p.live[a]) && due(t) {
			as = append(as, a)
		}
	}
	p.sort(as)
	as = as[:min(len(as), n, maxJoins-p.busy)]
	for _, a := range as {
		t := p.book[a]
		t.busy, t.asked, t.tried = true, false, now
		p.busy++
	}
	return as
}

// sort puts the longest untried first, by lot where there is no difference, and
// the first seed in front.
func (p *plan) sort(as []netip.AddrPort) {
	slices.SortFunc(as, netip.AddrPort.Compare) // so that only the lot decides
	p.rand.Shuffle(len(as), func(i, j int) { as[i], as[j] = as[j], as[i] })
	slices.SortStableFunc(as, func(a, b netip.AddrPort) int {
		return p.book[a].tried.Compare(p.book[b].tried)
	})
	if i := slices.IndexFunc(as, func(a netip.AddrPort) bool { return p.book[a].seed }); i > 0 {
		s := as[i]
		copy(as[1:], as[:i])
		as[0] = s
	}
}

// done is told how a join ended.
func (p *plan) done(a netip.AddrPort, err error) {
	p.busy--
	if err == nil && !p.joined {
		p.joined, p.greet = true, true
	}
	if t := p.book[a]; t != nil {
		t.busy, t.recalled, t.ok, t.err = false, false, err == nil, err
	}
}

// wait is the time to the next tick.
func (p *plan) wait() time.Duration {
	d := p.every
	if !p.settled() {
		d = min(p.quick, p.every)
		p.quick = min(2*p.quick, p.every)
	}
	return time.Duration(float64(d) * (1 + jitter*(2*p.rand.Float64()-1)))
}

// settled tells whether this node is in its cluster: it has joined or been
// joined, or there is nobody to join. Of the addresses of an earlier run each is tried once.
func (p *plan) settled() bool {
	if p.joined || len(p.live) > 0 {
		return true
	}
	for _, s := range p.seeds {
		if len(s.addrs) == 0 || slices.ContainsFunc(s.addrs, func(a netip.AddrPort) bool { return a != p.self }) {
			return false
		}
	}
	for _, t := range p.book {
		if t.recalled {
			return false
		}
	}
	return true
}

// verdict is a change that the operator shall hear of: a seed cannot be joined,
// or, with a nil err, can again.
type verdict struct {
	seed string
	err  error
}

// verdicts gives each change once.
func (p *plan) verdicts() []verdict {
	var vs []verdict
	for _, s := range p.seeds {
		if err := p.trouble(s); err != nil && !s.failing {
			s.failing = true
			vs = append(vs, verdict{s.text, err})
		} else if s.failing && p.works(s) {
			s.failing = false
			vs = append(vs, verdict{s.text, nil})
		}
	}
	return vs
}

// works tells whether there is a node, maybe ourselves, at one of s's addresses.
func (p *plan) works(s *seed) bool {
	return slices.ContainsFunc(s.addrs, func(a netip.AddrPort) bool {
		t := p.book[a]
		return a == p.self || p.live[a] || t != nil && t.ok
	})
}

// trouble is why s cannot be joined: its name means nothing, or every one of its
// addresses failed. It is nil while that is not known.
func (p *plan) trouble(s *seed) error {
	if p.works(s) {
		return nil
	}
	err := s.err
	for _, a := range s.addrs {
		t := p.book[a]
		if t == nil || t.err == nil {
			return nil
		}
		err = t.err
	}
	return err
}
