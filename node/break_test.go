package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
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

// A node that starts with a name that is in use says so and ends; the one that has
// it is not disturbed. Of two that start, one stays.
func TestANameBelongsToOneNode(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("room")
		ctx, stop := context.WithCancel(t.Context())
		start := func(name string) (end func() error) {
			id := wire.NewNodeID()
			h := b.net.Host("double" + id.String())
			h.SetNode(name + "@" + id.String())
			n, err := node.New(node.Config{Cluster: cluster.Config{ID: id, Name: name, Cluster: "test", Net: h, Seeds: []string{b.hosts[0].Advertise().String()}}})
			if err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- n.Run(ctx) }()
			return func() error { return <-ran }
		}
		end := start("n1")
		began := time.Now()
		if err := end(); !errors.Is(err, cluster.ErrNameTaken) || !strings.Contains(err.Error(), b.hosts[1].Advertise().String()) {
			t.Errorf("ended with %v, want %v and the address", err, cluster.ErrNameTaken)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("that took %v", took)
		}
		time.Sleep(time.Minute)
		if nodes := b.nodes[0].Cluster().Nodes(); len(nodes) != 2 || nodes[1].State != "up" {
			t.Errorf("nodes %v", nodes)
		}

		one, other := start("twin"), start("twin")
		time.Sleep(time.Minute)
		if nodes := b.nodes[0].Cluster().Nodes(); len(nodes) != 3 {
			t.Errorf("of two that start, one must stay; nodes %v", nodes)
		}
		stop()
		if err := errors.Join(one(), other()); !errors.Is(err, cluster.ErrNameTaken) {
			t.Errorf("ended with %v", err)
		}
	})
}

// G7: a node that stops in order still sends what it has accepted.
func TestAStoppedNodeHasSentWhatItAccepted(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		c.join("room")
		c.take()
		const count = 5000
		padding := strings.Repeat("x", 1000)
		for i := range count { // 5 MB: more than a link takes at once
			if err := a.session.To("room").Emit("e", i, padding); err != nil {
				t.Fatal(err)
			}
		}
		b.stops[0]()
		time.Sleep(time.Second)
		if got := len(c.take()); got != count {
			t.Errorf("%d of %d messages arrived", got, count)
		}
	})
}
