package node_test

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
)

// G2, G3, G5 of MESH §6: what is published while links break arrives once and in
// order, also for who joins meanwhile.
func TestNothingIsLostWhileLinksBreak(t *testing.T) {
	for name, disturb := range map[string]func(b *lab){
		"a reset":              func(b *lab) { b.hosts[0].Reset(b.hosts[1]) },
		"many resets":          func(b *lab) { flap(b, 20) },
		"a cut of two seconds": func(b *lab) { cut(b, 2*time.Second, b.hosts[0], b.hosts[1]) },
		"one way":              func(b *lab) { cutOneWay(b, 2*time.Second) },
		"a slow link": func(b *lab) {
			b.net.SetDelay(b.hosts[0], b.hosts[1], time.Second)
			time.Sleep(3 * time.Second)
			b.net.SetDelay(b.hosts[0], b.hosts[1], 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 3, root, func(t *testing.T, b *lab) {
				a, c, late := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/"), connect(t, b.nodes[1], "/")
				c.join("room")
				c.take()
				done := make(chan struct{})
				go func() {
					defer close(done)
					disturb(b)
				}()
				const count = 300
				joined := 0
				for i := range count {
					if i == count/3 {
						late.join("another")
						late.take()
						joined = i
					}
					a.session.To("room").Emit("e", i)
					a.session.To("another").Emit("f", i)
					time.Sleep(10 * time.Millisecond)
				}
				<-done
				time.Sleep(10 * time.Second)
				expect(t, c, numbered("e", 0, count)...)
				got := late.take()
				want := numbered("f", joined, count)
				if len(got) < len(want) || len(got) > count {
					t.Fatalf("who joined meanwhile got %d messages, want the last %d", len(got), len(want))
				}
				got = got[len(got)-len(want):] // and maybe some of before
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("message %d is %s, want %s", i, got[i], want[i])
					}
				}
				if s := b.nodes[1].Cluster().Stats(); s.Gaps != 0 || s.Duplicates != 0 {
					t.Errorf("%d gaps, %d duplicates", s.Gaps, s.Duplicates)
				}
			})
		})
	}
}

func flap(b *lab, times int) {
	for range times {
		b.hosts[0].Reset(b.hosts[1])
		time.Sleep(150 * time.Millisecond)
	}
}

func cut(b *lab, d time.Duration, one, other *clustertest.Host) {
	b.net.Cut(one, other)
	b.net.Cut(other, one)
	time.Sleep(d)
	b.net.HealAll()
}

func cutOneWay(b *lab, d time.Duration) {
	b.net.Cut(b.hosts[0], b.hosts[1])
	time.Sleep(d)
	b.net.HealAll()
}

// A partition that outlasts detection loses what was published meanwhile, and the
// other side is told of that (G5).
func TestALongPartitionIsTold(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[2], "/")
		c.join("room")
		c.take()
		b.net.Partition(b.hosts[:2], b.hosts[2:])
		for i := range 60 {
			a.session.To("room").Emit("e", i)
			time.Sleep(time.Second)
		}
		b.net.HealAll()
		time.Sleep(5 * time.Second)
		a.session.To("room").Emit("after")
		time.Sleep(time.Second)
		got := c.take()
		if len(got) == 0 || got[len(got)-1] != `["after"]` {
			t.Errorf("5 s after the partition: %v", got)
		}
		if s := b.nodes[2].Cluster().Stats(); s.Gaps != 1 {
			t.Errorf("told of %d gaps, want 1", s.Gaps)
		}
	})
}
