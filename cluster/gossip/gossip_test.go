package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
)

func TestFiveNodesForm(t *testing.T) {
	bubble(t, func(l *lab) {
		start := time.Now()
		ns := l.form(5)
		if took := time.Since(start); took > 600*time.Millisecond {
			t.Errorf("five nodes took %v to form", took)
		}
		for _, n := range ns {
			if !n.Joined() || n.Stats().Members != 4 {
				t.Errorf("%s: Joined %v, stats %+v", n.cfg.Name, n.Joined(), n.Stats())
			}
			lines := n.log.from(slog.LevelInfo)
			if len(lines) != 4 || strings.Count(strings.Join(lines, "\n"), "INFO member joined") != 4 {
				t.Errorf("%s logs %q, want each of the others once", n.cfg.Name, lines)
			}
		}
	})
}

func TestMembersAreDescribed(t *testing.T) {
	bubble(t, func(l *lab) {
		l.tweak = func(c *Config) { c.Region, c.Settings = "eu-"+c.Name, 1<<63 }
		ns := l.form(3)
		got := ns[0].Members()
		slices.SortFunc(got, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		for i, n := range ns[1:] {
			want := Member{
				ID: n.cfg.ID, Name: n.cfg.Name, Addr: n.host.Advertise().String(), Region: "eu-" + n.cfg.Name,
				MinVersion: 1, MaxVersion: 2, Settings: 1 << 63, Since: got[i].Since,
			}
			if got[i] != want || got[i].Since.IsZero() {
				t.Errorf("got %+v, want %+v", got[i], want)
			}
		}
		byID := ns[0].Members()
		if !slices.IsSortedFunc(byID, func(a, b Member) int { return int(min(1, max(-1, int64(a.ID>>1)-int64(b.ID>>1)))) }) {
			t.Errorf("members are not sorted: %v", byID)
		}
	})
}

func TestPartitionHeals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rejoin time.Duration
		heals  bool
	}{
		{"with the rejoin loop", 2 * time.Second, true},
		{"not without it", 24 * time.Hour, false}, // else this test shows nothing
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(l *lab) {
				var ns []*node
				for i := range 5 {
					ns = append(ns, l.startWith(fmt.Sprintf("n%d", i+1), tt.rejoin, "n1"))
				}
				l.within(5*time.Second, "all see all", func() bool { return mesh(ns...) })
				hosts := hostsOf(ns)
				l.net.Partition(hosts[:3], hosts[3:])
				time.Sleep(75 * time.Second)
				if !mesh(ns[:3]...) || !mesh(ns[3:]...) {
					t.Fatalf("the partition is not seen:\n%s", l.state())
				}
				l.net.HealAll()
				if tt.heals {
					took := l.within(5*time.Second, "heal", func() bool { return mesh(ns...) })
					t.Log("healed after", took)
					return
				}
				time.Sleep(time.Minute)
				if mesh(ns...) {
					t.Error("memberlist healed it alone: the rejoin loop is not what this test tests")
				}
			})
		})
	}
}

func hostsOf(ns []*node) []*clustertest.Host {
	var hs []*clustertest.Host
	for _, n := range ns {
		hs = append(hs, n.host)
	}
	return hs
}

func TestLeaveIsSeenAtOnce(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(5)
		start := time.Now()
		ns[2].quit()
		others := []*node{ns[0], ns[1], ns[3], ns[4]}
		took := l.within(time.Second, "all others see it leave", func() bool { return mesh(others...) })
		ns[2].stop()
		if stopped := time.Since(start); stopped > 2*time.Second {
			t.Errorf("Run took %v to return", stopped)
		}
		t.Log("seen after", took)
		if got := ns[2].Members(); len(got) != 0 {
			t.Errorf("members after Run: %v", got)
		}
		for _, n := range others {
			want := fmt.Sprintf("INFO member left member=n3 id=%v addr=10.0.0.3:7946", ns[2].cfg.ID)
			if got := n.log.from(slog.LevelInfo); got[len(got)-1] != want {
				t.Errorf("last log line is %q, want %q", got[len(got)-1], want)
			}
		}
	})
}

func TestNothingIsLoggedAfterRun(t *testing.T) {
	for i := range 5 { // whether a probe is under way at the end is chance
		bubble(t, func(l *lab) {
			ns := l.form(3)
			ns[2].host.Kill()
			time.Sleep(500*time.Millisecond + time.Duration(i)*100*time.Millisecond)
			ns[0].stop()
			lines := len(ns[0].log.from(slog.LevelDebug))
			time.Sleep(time.Minute)
			if got := ns[0].log.from(slog.LevelDebug)[lines:]; len(got) > 0 {
				t.Errorf("logged after Run: %q", got)
			}
		})
	}
}

func TestDeathIsNoticed(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(5)
		ns[4].host.Kill()
		took := l.within(6*time.Second, "all others see it dead", func() bool { return mesh(ns[:4]...) })
		t.Log("noticed after", took)
	})
}

func TestAllStopTogether(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(3)
		start := time.Now()
		for _, n := range ns {
			n.quit()
		}
		for _, n := range ns {
			n.stop()
			if lines := n.log.from(slog.LevelWarn); len(lines) > 0 {
				t.Errorf("%s: %q", n.cfg.Name, lines)
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestRestartUnderTheSameNameIsANewMember(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(4)
		ns[3].host.Kill()
		again := l.start("n4", "n1")
		all := []*node{ns[0], ns[1], ns[2], again}
		// mesh is exact: it holds only once the old run has disappeared.
		took := l.within(700*time.Millisecond, "all see the new run only", func() bool { return mesh(all...) })
		t.Log("seen after", took)
		l.steady(10*time.Second, all...) // until long after the old one was declared dead
		late := l.start("n5", "n1")
		l.within(time.Second, "a late node sees the new run only", func() bool { return mesh(append(all, late)...) })
	})
}

func TestLateNodeIsNotTakenInByAnOldRun(t *testing.T) {
	for range 10 { // which of the two a late node hears of first is chance
		bubble(t, func(l *lab) {
			ns := l.form(3)
			ns[2].host.Kill()
			again := l.start("n3", "n1")
			l.within(time.Second, "the restart is seen", func() bool { return ns[0].sees(again) })
			late := l.start("n4", "n1")
			all := []*node{ns[0], ns[1], again, late}
			l.within(time.Second, "the late node sees the new run only", func() bool { return mesh(all...) })
		})
	}
}

func TestUnresolvableSeedIsTriedUntilItAppears(t *testing.T) {
	bubble(t, func(l *lab) {
		n2 := l.start("n2", "n1")
		time.Sleep(time.Minute)
		if n2.Joined() {
			t.Error("joined nobody")
		}
		want := []string{`WARN cannot join "n1:7946": no such host; will keep trying`}
		if got := n2.log.from(slog.LevelInfo); !slices.Equal(got, want) {
			t.Errorf("log: %q, want %q", got, want)
		}
		n1 := l.start("n1", "n1")
		l.within(3*time.Second, "n2 joins", func() bool { return mesh(n1, n2) })
		if !n2.Joined() {
			t.Error("n2 does not count as joined")
		}
		time.Sleep(time.Second)
		if got := n2.log.from(slog.LevelInfo); len(got) != 3 || !slices.Contains(got, `INFO joined "n1:7946"`) {
			t.Errorf("log: %q, want one more line for the seed and one for the member", got)
		}
	})
}

func TestSeedTroubleIsToldOnceWithItsReason(t *testing.T) {
	for _, tt := range []struct {
		name string
		prep func(l *lab)
		want string
	}{
		{"refused", func(l *lab) { l.net.Host("n1") }, "connection refused"},
		{"no answer", func(l *lab) {
			l.net.Partition([]*clustertest.Host{l.net.Host("n1")}, []*clustertest.Host{l.net.Host("n2")})
		}, "no answer"},
		{"unknown address", func(*lab) {}, "no such host"},
		{"another secret", func(l *lab) {
			l.net.Host("n1").SetGossipKeys([]byte(strings.Repeat("k", 32)))
			l.start("n1")
		}, "another cluster secret or cluster name"},
		{"another cluster", func(l *lab) {
			l.tweak = func(c *Config) { c.Cluster = "other" }
			l.start("n1")
			l.tweak = func(*Config) {}
		}, "closed by the other side (another cluster name or secret?)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(l *lab) {
				tt.prep(l)
				n2 := l.start("n2", "n1")
				time.Sleep(time.Minute)
				want := []string{fmt.Sprintf("WARN cannot join %q: %s; will keep trying", "n1:7946", tt.want)}
				if got := n2.log.from(slog.LevelInfo); !slices.Equal(got, want) {
					t.Errorf("log: %q, want %q", got, want)
				}
				if s := n2.Stats(); len(n2.Members()) > 0 || s.JoinErrors+s.LookupErrors < 5 || s.Joins > s.JoinErrors+1 {
					t.Errorf("members %v, stats %+v", n2.names(), s)
				}
			})
		})
	}
}

func TestStrangersNeverMix(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(l *lab, host string)
	}{
		{"another cluster name", func(l *lab, _ string) { l.tweak = func(c *Config) { c.Cluster = "other" } }},
		{"another secret", func(l *lab, host string) {
			l.net.Host(host).SetGossipKeys([]byte(strings.Repeat("k", 32)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(l *lab) {
				ns := l.form(3)
				tt.make(l, "x")
				x := l.start("x", "n1", "n2", "n3")
				ns[0].Learn(x.host.Advertise().String())
				// packets of a stranger too, as after an address was used again
				for range 30 {
					time.Sleep(time.Second)
					x.host.PacketConn().WriteTo([]byte("garbage"), udp(ns[0].host.Advertise()))
					if !mesh(ns...) || len(x.Members()) > 0 {
						t.Fatalf("mixed:\n%s", l.state())
					}
				}
				time.Sleep(time.Second)
				if got := ns[0].Stats().PacketsRefused; got != 30 {
					t.Errorf("%d packets refused, want 30", got)
				}
			})
		})
	}
}

func TestLearnClosesTheMesh(t *testing.T) {
	bubble(t, func(l *lab) {
		a, b, c := l.start("a"), l.start("b"), l.start("c")
		if !a.Joined() {
			t.Error("a node without seeds waits to join")
		}
		time.Sleep(10 * time.Second) // ticks have passed, and nobody knows anybody
		a.Learn(b.host.Advertise().String(), c.host.Advertise().String(), a.host.Advertise().String())
		took := l.within(100*time.Millisecond, "a joins b and c", func() bool { return len(a.Members()) == 2 })
		if took > 10*time.Millisecond {
			t.Errorf("a took %v to join what it learned of, want a round trip or two", took)
		}
		l.within(time.Second, "all see all", func() bool { return mesh(a, b, c) })
	})
}

func TestNodeAmongItsSeedsIsNoTrouble(t *testing.T) {
	bubble(t, func(l *lab) {
		l.tweak = func(c *Config) { // one name for all nodes, as a headless service has
			c.Resolver = func(ctx ctx, host string) ([]netip.Addr, error) {
				return []netip.Addr{l.net.Host("n1").Advertise().Addr(), l.net.Host("n2").Advertise().Addr()}, nil
			}
		}
		n1 := l.start("n1", "all.example")
		n2 := l.start("n2", "all.example")
		l.within(time.Second, "both see both", func() bool { return mesh(n1, n2) })
		time.Sleep(time.Minute)
		for _, n := range []*node{n1, n2} {
			if got := n.log.from(slog.LevelWarn); len(got) > 0 {
				t.Errorf("%s: %q", n.cfg.Name, got)
			}
		}
	})
}

func TestDeadSeedsDelayNobody(t *testing.T) {
	bubble(t, func(l *lab) {
		n1 := l.start("n1")
		for _, name := range []string{"x1", "x2", "x3", "x4", "x5"} {
			l.net.Partition([]*clustertest.Host{l.net.Host(name)}, []*clustertest.Host{l.net.Host("n2")})
		}
		slow := func(ctx ctx, host string) ([]netip.Addr, error) {
			if host == "slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return l.net.Lookup(ctx, host)
		}
		l.tweak = func(c *Config) { c.Resolver = slow }
		n2 := l.start("n2", "slow", "x1", "x2", "x3", "x4", "x5", "n1")
		l.within(100*time.Millisecond, "n2 joins n1", func() bool { return mesh(n1, n2) })
	})
}

func TestDrainingIsTold(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(3)
		draining := func() int {
			count := 0
			for _, n := range ns[1:] {
				for _, m := range n.Members() {
					if m.Draining && m.ID == ns[0].cfg.ID {
						count++
					}
				}
			}
			return count
		}
		drain(ns[1].Changed())
		ns[0].SetDraining(true)
		l.within(time.Second, "both see it", func() bool { return draining() == 2 })
		if !drain(ns[1].Changed()) {
			t.Error("Changed said nothing")
		}
		ns[0].SetDraining(false)
		l.within(time.Second, "both see the end of it", func() bool { return draining() == 0 })
	})
}

func TestChangedFollowsMembers(t *testing.T) {
	bubble(t, func(l *lab) {
		ns := l.form(2)
		time.Sleep(time.Second)
		drain(ns[0].Changed())
		n3 := l.start("n3", "n1")
		<-ns[0].Changed()
		l.within(time.Second, "n1 sees n3", func() bool { return ns[0].sees(n3) })
		time.Sleep(time.Second)
		drain(ns[0].Changed())
		n3.stop()
		<-ns[0].Changed()
		if ns[0].sees(n3) {
			t.Error("n3 has left and is still a member")
		}
	})
}

func drain(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
