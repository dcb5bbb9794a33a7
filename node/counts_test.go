package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
)

// counted is what a node tells of the cluster without asking anybody.
func counted(t *testing.T, n *node.Node) (text string) {
	t.Helper()
	start := time.Now()
	rooms, _, missing := n.Rooms(node.Query{})
	for _, r := range rooms {
		text += fmt.Sprintf("%s=%d%v ", r.Room, r.Sockets, r.Nodes)
	}
	all, lost := n.Namespace("/").Count()
	if fmt.Sprint(lost) != fmt.Sprint(missing) {
		t.Errorf("missing %v of the rooms, %v of the count", missing, lost)
	}
	if time.Since(start) > 0 {
		t.Errorf("counts took %v", time.Since(start))
	}
	return fmt.Sprintf("%s%d%v", text, all, missing)
}

func countsAre(t *testing.T, want string, nodes ...*node.Node) {
	t.Helper()
	for _, n := range nodes {
		if got := counted(t, n); got != want {
			t.Errorf("at %s: %s\nwant %s", n.Name(), got, want)
		}
	}
}

func TestCountsFollowJoinsAndLeaves(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		countsAre(t, "0[]", b.nodes...)
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[2], "/")
		a.join("x")
		c.join("x")
		c.join("y")
		if own, _, _ := b.nodes[2].In("/").To("y").Local().Count(); own != 1 { // what is its own it knows at once
			t.Errorf("%d members here, want 1", own)
		}
		time.Sleep(time.Second)
		countsAre(t, "x=2[n0 n2] y=1[n2] 2[]", b.nodes...)
		c.session.Leave("x")
		d := connect(t, b.nodes[1], "/")
		for range 10 { // comes and goes
			d.join("z")
			d.session.Leave("z")
		}
		d.join("y")
		time.Sleep(time.Second)
		countsAre(t, "x=1[n0] y=2[n1 n2] 3[]", b.nodes...)
		a.session.Close("transport close")
		time.Sleep(time.Second)
		countsAre(t, "y=2[n1 n2] 2[]", b.nodes...)

		sockets, _ := b.nodes[0].SocketCounts()
		if sockets[b.nodes[0].ID()] != 0 || sockets[b.nodes[1].ID()] != 1 || sockets[b.nodes[2].ID()] != 1 || len(sockets) != 3 {
			t.Errorf("sockets %v", sockets)
		}
	})
}

func TestCountsOfOneRoomOrNone(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		a.join("x")
		c.join("x")
		connect(t, b.nodes[1], "/")
		time.Sleep(time.Second)
		all := b.nodes[0].In("/")
		for _, tt := range []struct {
			name string
			o    node.Operator
			want int
			code node.Code
		}{
			{"all", all, 3, ""},
			{"a room", all.To("x"), 2, ""},
			{"here", all.To("x").Local(), 1, ""},
			{"nobody", all.To("y"), 0, ""},
			{"two rooms", all.To("x", "y"), 0, node.CodeInvalid},
			{"all but", all.Except("x"), 0, node.CodeInvalid},
			{"a session", all.To(a.session.ID()), 0, node.CodeInvalid},
			{"no namespace", b.nodes[0].In("nowhere"), 0, node.CodeInvalid},
		} {
			got, missing, err := tt.o.Count()
			if got != tt.want || len(missing) > 0 || (err != nil) != (tt.code != "") || err != nil && node.CodeOf(err) != tt.code {
				t.Errorf("%s: %d, %v, %v; want %d, %q", tt.name, got, missing, err, tt.want, tt.code)
			}
		}
	})
}

func TestCountsAcrossFaults(t *testing.T) {
	setup := func(t *testing.T, b *lab) {
		for _, n := range b.nodes {
			connect(t, n, "/").join("x")
		}
		time.Sleep(time.Second)
		countsAre(t, "x=3[n0 n1 n2] 3[]", b.nodes...)
	}
	t.Run("kill", func(t *testing.T) {
		together(t, 3, root, func(t *testing.T, b *lab) {
			setup(t, b)
			b.hosts[2].Kill()
			time.Sleep(100 * time.Millisecond) // it may be back
			countsAre(t, "x=3[n0 n1 n2] 3[{n2 node is not linked}]", b.nodes[0], b.nodes[1])
			time.Sleep(700 * time.Millisecond)
			countsAre(t, "x=2[n0 n1] 2[]", b.nodes[0], b.nodes[1])
			n := b.start(root) // another run of it
			time.Sleep(3 * time.Second)
			connect(t, n, "/").join("x")
			time.Sleep(time.Second)
			countsAre(t, "x=3[n0 n1 n3] 3[]", b.nodes[0], b.nodes[1], n)
			time.Sleep(10 * time.Second) // gossip has noticed
			countsAre(t, "x=3[n0 n1 n3] 3[]", b.nodes[0], b.nodes[1], n)
		})
	})
	t.Run("stop", func(t *testing.T) {
		together(t, 3, root, func(t *testing.T, b *lab) {
			setup(t, b)
			b.stops[2]()
			countsAre(t, "x=2[n0 n1] 2[]", b.nodes[0], b.nodes[1])
		})
	})
	t.Run("flap", func(t *testing.T) {
		together(t, 3, root, func(t *testing.T, b *lab) {
			setup(t, b)
			c := connect(t, b.nodes[0], "/")
			for i := range 20 {
				c.join(fmt.Sprint("y", i))
				c.session.Leave(fmt.Sprint("y", i-1))
				b.hosts[0].Reset(b.hosts[1])
				time.Sleep(130 * time.Millisecond)
			}
			time.Sleep(4 * time.Second) // a link, and a second
			countsAre(t, "x=3[n0 n1 n2] y19=1[n0] 4[]", b.nodes...)
		})
	})
	t.Run("partition", func(t *testing.T) {
		together(t, 3, root, func(t *testing.T, b *lab) {
			setup(t, b)
			b.net.Partition(b.hosts[:2], b.hosts[2:])
			b.hosts[0].Reset(b.hosts[2])
			b.hosts[1].Reset(b.hosts[2])
			connect(t, b.nodes[0], "/").join("x")
			connect(t, b.nodes[2], "/").join("x")
			time.Sleep(time.Second)
			countsAre(t, "x=4[n0 n1 n2] 4[{n2 node is not linked}]", b.nodes[:2]...)
			time.Sleep(20 * time.Second)
			countsAre(t, "x=3[n0 n1] 3[]", b.nodes[:2]...)
			countsAre(t, "x=2[n2] 2[]", b.nodes[2])
			b.net.HealAll()
			time.Sleep(6 * time.Second)
			countsAre(t, "x=5[n0 n1 n2] 5[]", b.nodes...)
		})
	})
	t.Run("silence", func(t *testing.T) {
		together(t, 2, root, func(t *testing.T, b *lab) {
			connect(t, b.nodes[1], "/").join("x")
			time.Sleep(time.Second)
			b.net.Partition([]*clustertest.Host{b.hosts[0]}, []*clustertest.Host{b.hosts[1]})
			time.Sleep(500 * time.Millisecond)
			countsAre(t, "x=1[n1] 1[]", b.nodes[0]) // nobody is asked
		})
	})
}
