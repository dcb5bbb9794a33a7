package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// steady checks that the members do not change for that time.
func (l *lab) steady(d time.Duration, ns ...*node) {
	l.t.Helper()
	left := func() (n int) {
		for _, node := range ns {
			n += strings.Count(strings.Join(node.log.from(slog.LevelInfo), "\n"), "INFO member left")
		}
		return n
	}
	before := left()
	time.Sleep(d)
	if got := left() - before; got > 0 || !mesh(ns...) {
		l.t.Fatalf("%d members left:\n%s", got, l.state())
	}
}

func TestNobodyIsDeclaredDeadByLoss(t *testing.T) {
	for _, tt := range []struct {
		profile Profile
		loss    float64
		delay   time.Duration
	}{
		{LAN, 0.05, 0}, {LAN, 0.2, 20 * time.Millisecond}, {WAN, 0.05, 75 * time.Millisecond},
	} {
		t.Run(tt.profile.String(), func(t *testing.T) {
			bubble(t, func(l *lab) {
				l.tweak = func(c *Config) { c.Profile = tt.profile }
				ns := l.form(5)
				l.net.SetLoss(tt.loss)
				for _, a := range ns {
					for _, b := range ns {
						l.net.SetDelay(a.host, b.host, tt.delay)
					}
				}
				l.steady(time.Minute, ns...)
			})
		})
	}
}

func TestOnlyTCPGetsThrough(t *testing.T) {
	bubble(t, func(l *lab) {
		l.net.SetLoss(1)
		ns := []*node{l.start("n1"), l.start("n2", "n1"), l.start("n3", "n1")}
		l.within(40*time.Second, "all see all by push/pull", func() bool { return mesh(ns...) })
		l.steady(3*time.Minute, ns...)
		for _, n := range ns {
			got := n.log.from(slog.LevelWarn)
			if len(got) != 1 || !strings.Contains(got[0], "is UDP blocked") {
				t.Errorf("%s: %q, want one warning", n.cfg.Name, got)
			}
		}
	})
}

// mute cannot send packets to one address, as without a route.
type mute struct {
	*clustertest.Host
	to netip.AddrPort
}

type mutePackets struct {
	net.PacketConn
	to netip.AddrPort
}

func (m mute) PacketConn() net.PacketConn { return mutePackets{m.Host.PacketConn(), m.to} }

func (p mutePackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if to.String() == p.to.String() {
		return 0, fmt.Errorf("send: %w", syscall.ENETUNREACH)
	}
	return p.PacketConn.WriteTo(b, to)
}

func TestNodeWithoutARouteIsDeclaredDead(t *testing.T) {
	bubble(t, func(l *lab) {
		n1 := l.start("n1")
		l.tweak = func(c *Config) { c.Net = mute{c.Net.(*clustertest.Host), n1.host.Advertise()} }
		n2 := l.start("n2", "n1")
		l.within(time.Second, "n2 joins", func() bool { return n2.sees(n1) })
		n1.host.Kill()
		l.within(8*time.Second, "n1 is dead", func() bool { return !n2.sees(n1) })
	})
}

func TestOneWayCutHeals(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(4)
		for _, n := range ns[:3] {
			l.net.Cut(ns[3].host, n.host)
		}
		time.Sleep(25 * time.Second)
		if !mesh(ns[:3]...) {
			t.Errorf("who cannot speak is still a member:\n%s", l.state())
		}
		l.net.HealAll()
		l.within(5*time.Second, "heal", func() bool { return mesh(ns...) })
	})
}

func TestFirstNodeRestartsWithoutSeeds(t *testing.T) {
	for _, meet := range []bool{false, true} {
		bubble(t, func(l *lab) {
			n1 := l.start("n1")
			n2, n3 := l.start("n2", "n1"), l.start("n3", "n1")
			l.within(time.Second, "form", func() bool { return mesh(n1, n2, n3) })
			n1.host.Kill()
			again := l.start("n1")
			limit := 10 * time.Second // its earlier run has to be declared dead
			if meet {
				n2.Meet(again.cfg.ID, again.host.Advertise().String())
				n2.Meet(n2.cfg.ID, n2.host.Advertise().String()) // oneself and members
				n2.Meet(n3.cfg.ID, n3.host.Advertise().String()) // are nothing new
				limit = time.Second
			}
			joins := n2.Stats().Joins
			took := l.within(limit, "all see the new run only", func() bool { return mesh(again, n2, n3) })
			t.Log("after", took, "with Meet:", meet)
			if got := n2.Stats().Joins - joins; meet && got > 1 {
				t.Errorf("n2 joined %d times, want only the one it met", got)
			}
		})
	}
}

func TestSeedsOfOneNameMayPartlyBeDead(t *testing.T) {
	bubble(t, func(l *lab) {
		n1 := l.start("n1")
		l.tweak = func(c *Config) {
			c.Resolver = func(ctx, string) ([]netip.Addr, error) {
				return []netip.Addr{addr(1).Addr(), addr(2).Addr(), n1.host.Advertise().Addr()}, nil
			}
		}
		n2 := l.start("n2", "all.example")
		l.within(time.Second, "n2 joins", func() bool { return mesh(n1, n2) })
		time.Sleep(time.Minute)
		if got := n2.log.from(slog.LevelWarn); len(got) > 0 {
			t.Errorf("log: %q", got)
		}
	})
}

func TestKeysRotateWithoutALoss(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(4)
		old := ns[0].host.GossipKeys()[0]
		fresh := []byte(strings.Repeat("n", 32))
		for _, keys := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
			for _, n := range ns { // one after the other, as an operator does
				n.host.SetGossipKeys(keys...)
				l.steady(5*time.Second, ns...)
			}
		}
		for _, n := range ns {
			if s := n.Stats(); s.PacketsRefused > 0 {
				t.Errorf("%s refused %d packets", n.cfg.Name, s.PacketsRefused)
			}
		}
		late := l.start("n5", "n1")
		time.Sleep(5 * time.Second)
		if len(late.Members()) > 0 {
			t.Error("a node with the old key got in")
		}
		late.host.SetGossipKeys(fresh)
		l.within(5*time.Second, "it gets in with the new one", func() bool { return mesh(append(ns, late)...) })
	})
}

func TestUnusableKeysChangeNothing(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(2)
		ns[0].host.SetGossipKeys([]byte("short"))
		l.steady(10*time.Second, ns...)
		if got := ns[0].log.from(slog.LevelWarn); len(got) != 1 || !strings.Contains(got[0], "gossip keys not changed") {
			t.Errorf("log: %q", got)
		}
	})
}

// picky is a network that allows only some addresses.
type picky struct {
	*clustertest.Host
	not netip.Addr
}

func (p picky) Allows(a netip.Addr) bool { return a != p.not }

func TestMembersAtForbiddenAddressesAreNotBelieved(t *testing.T) {
	bubble(t, func(l *lab) {
		not := l.net.Host("n3").Advertise()
		l.tweak = func(c *Config) {
			if c.Name == "n1" {
				c.Net = picky{c.Net.(*clustertest.Host), not.Addr()}
			}
		}
		n1, n2, n3 := l.start("n1"), l.start("n2", "n1"), l.start("n3", "n2")
		n1.Learn(not.String())
		l.within(time.Second, "n2 sees both", func() bool { return len(n2.Members()) == 2 })
		time.Sleep(time.Minute)
		if n1.sees(n3) || !n1.sees(n2) {
			t.Errorf("n1 sees %v", n1.names())
		}
		got := n1.log.from(slog.LevelWarn)
		if len(got) != 1 || !strings.HasPrefix(got[0], "WARN member refused member=n3@") || !strings.HasSuffix(got[0], "err=address "+not.String()+" is not allowed") {
			t.Errorf("log: %q, want it said once", got)
		}
		if s := n1.Stats(); s.Refused == 0 || s.LearnDropped != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestLearnIsBounded(t *testing.T) {
	g, err := New(Config{ID: 1, Name: "a", Cluster: "c", Net: clustertest.NewNetwork(1).Host("a")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLearned + 2 {
		g.Learn(addr(i).String(), addr(0).String()) // one again and again
	}
	g.Learn("host:7946", "10.0.0.1", "10.0.0.1:0", "")
	if got := g.Stats().LearnDropped; got != 2+4 {
		t.Errorf("%d dropped, want 2 for which there was no room, and 4 malformed", got)
	}
	if got := len(g.learned.take()); got != maxLearned {
		t.Errorf("%d kept, want %d", got, maxLearned)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	g, err := New(Config{ID: 1, Name: "a", Cluster: "c", Net: clustertest.NewNetwork(1).Host("a")})
	if err != nil {
		t.Fatal(err)
	}
	for range maxRefusals + 5 {
		g.refuse(strings.Repeat("x", maxShownName+1)+"\xff", errMeta)
	}
	if got := g.Stats().Refused; got != maxRefusals+5 {
		t.Errorf("%d counted", got)
	}
	if f := <-g.refusals; len(f.name) != maxShownName {
		t.Errorf("a name of %d bytes is kept", len(f.name))
	}
}

func TestBelieve(t *testing.T) {
	host := clustertest.NewNetwork(1).Host("a")
	g, err := New(Config{ID: 1, Name: "a", Cluster: "c", Net: picky{host, addr(9).Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(id wire.NodeID, a netip.AddrPort) error {
		b, _ := meta{Boot: uint64(id)}.encode()
		return g.believe(strange(memberName("b", id), a.Addr().AsSlice(), a.Port(), b))
	}
	if err := at(2, addr(1)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if err := at(2, host.Advertise()); !errors.Is(err, errOwnAddress) {
		t.Errorf("at our own address: %v", err)
	}
	if err := at(1, addr(1)); err == nil {
		t.Error("our own id under another name was believed")
	}
	if err := at(2, addr(9)); err == nil {
		t.Error("a forbidden address was believed")
	}
	if err := g.believe(strange("x", nil, 0, nil)); err == nil {
		t.Error("nonsense was believed")
	}
	for i := range maxMembers {
		g.table.set(Member{ID: wire.NodeID(i + 10)}, addr(i))
	}
	if err := at(2, addr(1)); err == nil {
		t.Error("one member too many was believed")
	}
}

func TestRunTellsWhyItCannotStart(t *testing.T) {
	host := clustertest.NewNetwork(1).Host("a")
	g, _ := New(Config{ID: 1, Name: "a", Cluster: "c", Net: host})
	host.SetGossipKeys()
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no gossip key") {
		t.Errorf("without a key: %v", err)
	}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the second time: %v", err)
	}
	g, _ = New(Config{ID: 1, Name: "a", Cluster: "c", Net: nowhere{clustertest.NewNetwork(1).Host("a")}})
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be advertised") {
		t.Errorf("without an address: %v", err)
	}
}

type nowhere struct{ *clustertest.Host }

func (nowhere) Advertise() netip.AddrPort { return netip.AddrPort{} }

func TestConfigIsChecked(t *testing.T) {
	host := clustertest.NewNetwork(1).Host("a")
	good := func() Config {
		return Config{ID: 1, Name: "a", Cluster: "c", Net: host, Seeds: []string{"b"}, Region: strings.Repeat("r", maxRegion)}
	}
	for name, tt := range map[string]struct {
		change func(c *Config)
		want   string // of the error; empty: none
	}{
		"good":               {func(*Config) {}, ""},
		"longest name":       {func(c *Config) { c.Name = strings.Repeat("a", maxName) }, ""},
		"all characters":     {func(c *Config) { c.Name = "aZ09._-" }, ""},
		"most seeds":         {func(c *Config) { c.Seeds = slices.Repeat(c.Seeds, maxSeeds) }, ""},
		"no id":              {func(c *Config) { c.ID = 0 }, "no node id"},
		"no network":         {func(c *Config) { c.Net = nil }, "no network"},
		"no name":            {func(c *Config) { c.Name = "" }, "node name"},
		"name too long":      {func(c *Config) { c.Name = strings.Repeat("a", maxName+1) }, "node name"},
		"odd name":           {func(c *Config) { c.Name = "a@b" }, "node name"},
		"name not ASCII":     {func(c *Config) { c.Name = "é" }, "node name"},
		"no cluster":         {func(c *Config) { c.Cluster = "" }, "cluster name"},
		"cluster too long":   {func(c *Config) { c.Cluster = strings.Repeat("a", maxCluster+1) }, "cluster name"},
		"odd cluster":        {func(c *Config) { c.Cluster = "a/b" }, "cluster name"},
		"region too long":    {func(c *Config) { c.Region += "r" }, "region"},
		"region not UTF-8":   {func(c *Config) { c.Region = "\xff" }, "region"},
		"seed":               {func(c *Config) { c.Seeds = []string{"a:b"} }, `"a:b"`},
		"too many seeds":     {func(c *Config) { c.Seeds = slices.Repeat(c.Seeds, maxSeeds+1) }, "at most 64"},
		"profile":            {func(c *Config) { c.Profile = 3 }, "profile(3)"},
		"versions backwards": {func(c *Config) { c.MinVersion = 2 }, "versions 2 to 0"},
	} {
		c := good()
		tt.change(&c)
		_, err := New(c)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
