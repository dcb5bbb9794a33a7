package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	noon    = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	errBoom = errors.New("boom")
)

// addr is 10.1.x.y:7946.
func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), defaultPort)
}

func addrs(is ...int) []netip.AddrPort {
	var as []netip.AddrPort
	for _, i := range is {
		as = append(as, addr(i))
	}
	return as
}

var self = addr(0)

func planOf(t testing.TB, seeds ...string) *plan {
	t.Helper()
	ss, err := parseSeeds(seeds)
	if err != nil {
		t.Fatal(err)
	}
	return newPlan(self, 2*time.Second, ss, rand.New(rand.NewPCG(1, 2)))
}

// step is one tick at which every address fails at once.
func step(p *plan, now time.Time) []netip.AddrPort {
	as := p.tick(now)
	for _, a := range as {
		p.done(a, errBoom)
	}
	slices.SortFunc(as, netip.AddrPort.Compare)
	return as
}

func TestPlanTriesWhoIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		seeds []string
		prep  func(p *plan)
		want  []netip.AddrPort // of the next tick
	}{
		{"nobody", nil, func(p *plan) {}, nil},
		{"seeds", []string{"10.1.0.1", "10.1.0.2:7946"}, func(p *plan) {}, addrs(1, 2)},
		{"not itself", []string{"10.1.0.0", "10.1.0.1"}, func(p *plan) {}, addrs(1)},
		{"not who is alive", []string{"10.1.0.1", "10.1.0.2"}, func(p *plan) { p.observe(noon, addrs(2)) }, addrs(1)},
		{"who was alive", nil, func(p *plan) { p.observe(noon, addrs(1, 2)); p.observe(noon, addrs(2)) }, addrs(1)},
		{"who was heard of", nil, func(p *plan) { p.learn(noon, addr(7), false) }, addrs(7)},
		{"not itself when heard of", nil, func(p *plan) { p.learn(noon, self, false) }, nil},
		{"what a name stands for", []string{"all"}, func(p *plan) {
			p.found(0, []netip.Addr{addr(0).Addr(), addr(1).Addr(), addr(2).Addr()}, nil)
		}, addrs(1, 2)},
		{"the last answer of a name", []string{"all"}, func(p *plan) {
			p.found(0, []netip.Addr{addr(1).Addr()}, nil)
			p.found(0, []netip.Addr{addr(2).Addr()}, nil)
			p.expire(noon)
		}, addrs(2)},
		{"the last answer when the next lookup fails", []string{"all"}, func(p *plan) {
			p.found(0, []netip.Addr{addr(1).Addr()}, nil)
			p.found(0, nil, errBoom)
		}, addrs(1)},
		{"not who is being tried", []string{"10.1.0.1"}, func(p *plan) { p.tick(noon) }, nil},
		{"who failed, again", []string{"10.1.0.1"}, func(p *plan) { step(p, noon) }, addrs(1)},
		{"not at once whom it joined at an address of nobody", []string{"10.1.0.1"}, func(p *plan) {
			p.tick(noon)
			p.done(addr(1), nil)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, tt.seeds...)
			tt.prep(p)
			if got := step(p, noon.Add(2*time.Second)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPlanTriesThreeAtATickInTurn(t *testing.T) {
	p := planOf(t)
	p.observe(noon, addrs(1, 2, 3, 4, 5, 6, 7))
	p.observe(noon, nil)
	count := make(map[netip.AddrPort]int)
	for i := range 7 {
		as := step(p, noon.Add(time.Duration(i+1)*2*time.Second))
		if len(as) != perTick {
			t.Fatalf("tick %d tries %d", i, len(as))
		}
		for _, a := range as {
			count[a]++
		}
	}
	for a, n := range count {
		if n != 3 {
			t.Errorf("%v was tried %d times in 7 ticks of 3 among 7, want 3", a, n)
		}
	}
}

func TestPlanTriesASeedAtEveryTick(t *testing.T) {
	p := planOf(t, "10.1.0.1", "10.1.0.2")
	var all []netip.AddrPort
	for i := 10; i < 100; i++ {
		all = append(all, addr(i))
	}
	p.observe(noon, all)
	p.observe(noon, nil)
	count := make(map[netip.AddrPort]int)
	for i := range 20 {
		for _, a := range step(p, noon.Add(time.Duration(i)*2*time.Second)) {
			count[a]++
		}
	}
	if count[addr(1)] < 10 || count[addr(2)] < 10 {
		t.Errorf("in 20 ticks the seeds were tried %d and %d times", count[addr(1)], count[addr(2)])
	}
}

func TestPlanNeverHasMoreThanSixUnderWay(t *testing.T) {
	p := planOf(t)
	for i := 1; i <= 20; i++ {
		p.learn(noon, addr(i), false)
	}
	first := p.news(noon)
	if len(first) != maxJoins || len(p.news(noon)) != 0 || len(p.tick(noon)) != 0 {
		t.Errorf("%d under way at once, want %d and no more", len(first), maxJoins)
	}
	p.done(first[0], errBoom)
	if got := p.news(noon); len(got) != 1 || got[0] == first[0] {
		t.Errorf("after one ended %v is tried, want another one", got)
	}
}

func TestPlanNewsAreOnlyWhatIsNew(t *testing.T) {
	p := planOf(t, "10.1.0.1")
	if got := p.news(noon); !slices.Equal(got, addrs(1)) {
		t.Errorf("a new seed: %v", got)
	}
	p.done(addr(1), errBoom)
	p.observe(noon, addrs(2))
	p.observe(noon, nil) // it died: that is for the next tick
	if got := p.news(noon.Add(time.Hour)); got != nil {
		t.Errorf("nothing is new, and yet %v", got)
	}
}

func TestPlanGreetsAFewAfterTheFirstJoin(t *testing.T) {
	for _, tt := range []struct{ members, want int }{{1, 0}, {5, 5}, {8, 8}, {9, 2}, {50, 2}} {
		p := planOf(t, "10.1.0.1")
		p.news(noon)
		var live []netip.AddrPort
		for i := range tt.members {
			live = append(live, addr(i+1))
		}
		p.observe(noon, live) // the join made them known
		p.done(addr(1), nil)
		met := make(map[netip.AddrPort]bool)
		for as := p.news(noon); len(as) > 0; as = p.news(noon) {
			for _, a := range as {
				met[a] = true
				p.done(a, nil)
			}
		}
		if len(met) != tt.want {
			t.Errorf("greets %d of %d members, want %d", len(met), tt.members, tt.want)
		}
	}
}

func TestRetrySlowsDownWithTime(t *testing.T) {
	for _, tt := range []struct {
		t    target
		want time.Duration
	}{
		{target{seen: noon}, 0},
		{target{seen: noon.Add(-recent + 1)}, 0},
		{target{seen: noon.Add(-recent)}, slowRetry},
		{target{seen: noon.Add(-thisHour + 1)}, slowRetry},
		{target{seen: noon.Add(-thisHour)}, staleRetry},
		{target{seen: noon.Add(-thisHour), seed: true}, 0},
		{target{seen: noon, ok: true}, aliasRetry},
		{target{seen: noon, ok: true, seed: true}, aliasRetry},
	} {
		if got := tt.t.retry(noon); got != tt.want {
			t.Errorf("%+v: again after %v, want %v", tt.t, got, tt.want)
		}
		tt.t.tried = noon.Add(-tt.want)
		if !tt.t.due(noon) {
			t.Errorf("%+v is not due", tt.t)
		}
		tt.t.tried = tt.t.tried.Add(1)
		if tt.want > 0 && tt.t.due(noon) {
			t.Errorf("%+v is due too early", tt.t)
		}
	}
}

func TestBookForgets(t *testing.T) {
	p := planOf(t, "10.1.0.1")
	p.observe(noon, addrs(2, 3))
	p.observe(noon, addrs(3))
	p.learn(noon, addr(4), false)
	has := func() (as []netip.AddrPort) {
		for a := range p.book {
			as = append(as, a)
		}
		slices.SortFunc(as, netip.AddrPort.Compare)
		return as
	}
	for _, tt := range []struct {
		after time.Duration
		want  []netip.AddrPort
	}{
		{hearsayAge - 1, addrs(1, 2, 3, 4)},
		{hearsayAge, addrs(1, 2, 3)},
		{bookAge - 1, addrs(1, 2, 3)},
		{bookAge, addrs(1, 3)}, // a seed, and one that is alive
	} {
		p.expire(noon.Add(tt.after))
		if got := has(); !slices.Equal(got, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.after, got, tt.want)
		}
	}
}

func TestFullBookForgetsTheLongestUnseen(t *testing.T) {
	p := planOf(t, "10.1.0.1")
	for i := 2; i <= bookSize; i++ {
		p.observe(noon.Add(time.Duration(i)*time.Second), addrs(i))
	}
	if len(p.book) != bookSize || p.forgot != 0 {
		t.Fatalf("the book has %d, forgot %d", len(p.book), p.forgot)
	}
	p.learn(noon, addr(5000), false) // takes the place of the first member
	p.learn(noon, addr(5001), false) // takes that of the hearsay
	for a, want := range map[int]bool{1: true, 2: false, 3: true, 5000: false, 5001: true} {
		if _, got := p.book[addr(a)]; got != want {
			t.Errorf("%v in the book: %v, want %v", addr(a), got, want)
		}
	}
	if len(p.book) != bookSize || p.forgot != 2 {
		t.Errorf("the book has %d, forgot %d", len(p.book), p.forgot)
	}
}

func TestVerdictsAreGivenOnce(t *testing.T) {
	ip1, ip2 := addr(1).Addr(), addr(2).Addr()
	for _, tt := range []struct {
		name  string
		seed  string
		steps []func(p *plan)
		want  []string // the verdicts after each step
	}{
		{"refused, then joined", "10.1.0.1", []func(*plan){
			func(p *plan) { p.news(noon) },
			func(p *plan) { p.done(addr(1), errBoom) },
			func(p *plan) { p.tick(noon) },
			func(p *plan) { p.done(addr(1), errBoom) },
			func(p *plan) { p.tick(noon) },
			func(p *plan) { p.done(addr(1), nil) },
			func(p *plan) { p.observe(noon, addrs(1)) },
			func(p *plan) { p.observe(noon, nil) }, // dead, not yet tried
			func(p *plan) { p.tick(noon); p.done(addr(1), errBoom) },
		}, []string{"", "boom", "", "", "", "ok", "", "", "boom"}},
		{"a name without meaning, then found", "all", []func(*plan){
			func(p *plan) { p.found(0, nil, errBoom) },
			func(p *plan) { p.found(0, nil, errBoom) },
			func(p *plan) { p.found(0, []netip.Addr{ip1}, nil) },
			func(p *plan) { p.observe(noon, addrs(1)) },
		}, []string{"boom", "", "", "ok"}},
		{"an empty answer", "all", []func(*plan){
			func(p *plan) { p.found(0, nil, nil) },
		}, []string{"lookup all: no such host"}},
		{"one of two addresses works", "all", []func(*plan){
			func(p *plan) { p.found(0, []netip.Addr{ip1, ip2}, nil); p.news(noon) },
			func(p *plan) { p.done(addr(1), errBoom) },
			func(p *plan) { p.done(addr(2), nil) },
		}, []string{"", "", ""}},
		{"both of two addresses fail", "all", []func(*plan){
			func(p *plan) { p.found(0, []netip.Addr{ip1, ip2}, nil); p.news(noon) },
			func(p *plan) { p.done(addr(1), errBoom) },
			func(p *plan) { p.done(addr(2), errBoom) },
		}, []string{"", "", "boom"}},
		{"itself among dead addresses", "all", []func(*plan){
			func(p *plan) { p.found(0, []netip.Addr{self.Addr(), ip1}, nil); p.news(noon) },
			func(p *plan) { p.done(addr(1), errBoom) },
		}, []string{"", ""}},
		{"alive before it was tried", "10.1.0.1", []func(*plan){
			func(p *plan) { p.observe(noon, addrs(1)) },
		}, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, tt.seed)
			for i, step := range tt.steps {
				step(p)
				got := ""
				for _, v := range p.verdicts() {
					got += "ok"
					if v.err != nil {
						got = v.err.Error()
					}
				}
				if got != tt.want[i] {
					t.Errorf("step %d: %q, want %q", i, got, tt.want[i])
				}
			}
		})
	}
}

func TestSettled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		seeds []string
		prep  func(p *plan)
		want  bool
	}{
		{"no seeds", nil, func(*plan) {}, true},
		{"a seed not yet tried", []string{"10.1.0.1"}, func(*plan) {}, false},
		{"a seed that failed", []string{"10.1.0.1"}, func(p *plan) { step(p, noon) }, false},
		{"a seed joined", []string{"10.1.0.1"}, func(p *plan) { p.tick(noon); p.done(addr(1), nil) }, true},
		{"joined by another", []string{"10.1.0.1"}, func(p *plan) { p.observe(noon, addrs(2)) }, true},
		{"only itself", []string{"10.1.0.0"}, func(p *plan) {}, true},
		{"a name not yet looked up", []string{"all"}, func(p *plan) {}, false},
		{"a name for itself", []string{"all"}, func(p *plan) { p.found(0, []netip.Addr{self.Addr()}, nil) }, true},
	} {
		p := planOf(t, tt.seeds...)
		tt.prep(p)
		if got := p.settled(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTicksAreQuickUntilJoinedAndThenJittered(t *testing.T) {
	between := func(d, want time.Duration) bool { return d >= want*8/10 && d <= want*12/10 }
	p := planOf(t, "10.1.0.1")
	for _, want := range []time.Duration{250, 500, 1000, 2000, 2000} {
		if got := p.wait(); !between(got, want*time.Millisecond) {
			t.Errorf("wait %v, want about %v", got, want*time.Millisecond)
		}
	}
	p = planOf(t)
	seen := make(map[time.Duration]bool)
	for range 100 {
		got := p.wait()
		seen[got] = true
		if !between(got, 2*time.Second) {
			t.Errorf("wait %v, want about 2s", got)
		}
	}
	if len(seen) < 90 {
		t.Errorf("100 ticks have %d lengths", len(seen))
	}
}

// Whatever happens, in whatever order: the plan tries nobody who is alive unless
// it was asked to (or, a few times, to greet), nor itself, nor one twice at a
// time, and never too many.
func TestPlanKeepsItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seeds, _ := parseSeeds([]string{"10.1.0.0", "10.1.0.1", "all"})
		p := newPlan(self, 2*time.Second, seeds, rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))))
		some := rapid.Custom(func(t *rapid.T) netip.AddrPort { return addr(rapid.IntRange(0, 12).Draw(t, "addr")) })
		now, busy := noon, []netip.AddrPort(nil)
		asked, greetings := make(map[netip.AddrPort]bool), 0
		start := func(as []netip.AddrPort, most int) {
			for _, a := range as {
				if p.live[a] && !asked[a] {
					greetings++
				}
				if a == self || greetings > greeted || slices.Contains(busy, a) {
					t.Fatalf("tries %v; alive %v, busy %v", a, p.live, busy)
				}
				delete(asked, a)
				busy = append(busy, a)
			}
			if len(as) > most || len(busy) > maxJoins || p.busy != len(busy) {
				t.Fatalf("tries %v, with %d under way", as, len(busy))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time":    func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "s")) * time.Second) },
			"observe": func(t *rapid.T) { p.observe(now, rapid.SliceOf(some).Draw(t, "live")) },
			"learn": func(t *rapid.T) {
				a, ask := some.Draw(t, "a"), rapid.Bool().Draw(t, "ask")
				asked[a] = asked[a] || ask
				p.learn(now, a, ask)
			},
			"found":   func(t *rapid.T) { p.found(2, []netip.Addr{some.Draw(t, "a").Addr()}, nil) },
			"expire":  func(t *rapid.T) { p.expire(now) },
			"tick":    func(t *rapid.T) { start(p.tick(now), perTick) },
			"news":    func(t *rapid.T) { start(p.news(now), maxJoins) },
			"verdict": func(t *rapid.T) { p.verdicts() },
			"done": func(t *rapid.T) {
				if len(busy) > 0 {
					p.done(busy[0], rapid.SampledFrom([]error{nil, errBoom}).Draw(t, "err"))
					busy = busy[1:]
				}
			},
		})
	})
}

func ExampleParseProfile() {
	p, err := ParseProfile("wan")
	fmt.Println(p, err)
	_, err = ParseProfile("fast")
	fmt.Println(err)
	// Output:
	// wan <nil>
	// profile "fast" must be lan, wan or local
}
