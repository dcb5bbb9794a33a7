package node_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// G1: messages of one publisher reach each member in order, on every node.
func TestG1OrderPerPublisher(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		var members []*client
		for _, n := range b.nodes {
			members = append(members, connect(t, n, "/"), connect(t, n, "/"))
		}
		for _, m := range members {
			m.join("room")
		}
		done := make(chan struct{})
		for i, m := range members {
			go func() {
				for k := range 200 {
					m.session.To("room").Emit(fmt.Sprint("p", i), k)
				}
				done <- struct{}{}
			}()
		}
		for range members {
			<-done
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, m := range members {
			got := m.take()
			for p := range members {
				want := numbered(fmt.Sprint("p", p), 0, 200)
				if p == i {
					want = nil // the sender gets none of its own
				}
				if got := only(got, fmt.Sprint("p", p)); !slices.Equal(got, want) {
					t.Errorf("member %d got %d messages of publisher %d, want %d in order", i, len(got), p, len(want))
				}
			}
		}
	})
}

// G2: after a join is acknowledged no later message of any node is missed.
func TestG2AcknowledgedJoinMissesNothing(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		b.net.SetDelay(b.hosts[1], b.hosts[2], 20*time.Millisecond)
		a := connect(t, b.nodes[1], "/")
		for i := range 200 {
			room := fmt.Sprint("r", i)
			a.join(room)
			b.nodes[2].In("/").To(room).Emit("e", i)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		expect(t, a, numbered("e", 0, 200)...)
	})
}

func TestJoinAckWaitsForInterestThatIsHeldBack(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[1], "/")
		b.net.SetDelay(b.hosts[1], b.hosts[2], 200*time.Millisecond)
		start := time.Now()
		acked := make(chan time.Duration, 1)
		a.session.JoinFunc([]string{"room"}, func(error) { acked <- time.Since(start) })
		time.Sleep(150 * time.Millisecond)
		b.nodes[2].In("/").To("room").Emit("early") // node 2 has not heard of the room
		if took := <-acked; took < 200*time.Millisecond || took > 205*time.Millisecond {
			t.Errorf("acknowledged after %v, want 200 ms and a way back", took)
		}
		b.nodes[2].In("/").To("room").Emit("late")
		time.Sleep(time.Second)
		expect(t, a, `["late"]`)
	})
}

func TestJoinOfAKnownRoomCostsNothing(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[0], "/")
		a.join("room")
		before := b.nodes[0].Cluster().Stats().Mesh.FramesOut[wire.KindInterest]
		start := time.Now()
		c.join("room")
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		if after := b.nodes[0].Cluster().Stats().Mesh.FramesOut[wire.KindInterest]; after != before {
			t.Errorf("%d interest frames", after-before)
		}
	})
}

func TestMessagesGoOnlyToNodesWithMembers(t *testing.T) {
	together(t, 4, root, func(t *testing.T, b *lab) {
		for _, n := range b.nodes[:3] {
			connect(t, n, "/").join("room")
		}
		for i := range 100 {
			b.nodes[i%3].In("/").To("room").Emit("e", i)
		}
		time.Sleep(time.Second)
		for i, n := range b.nodes {
			want := uint64(66)
			if i == 0 {
				want = 66
			}
			if i == 3 {
				want = 0
			}
			if got := n.Cluster().Stats().Mesh.FramesIn[wire.KindData]; got < want || got > want+1 || i == 3 && got != 0 {
				t.Errorf("node %d received %d messages, want %d", i, got, want)
			}
		}
	})
}

func TestKilledNodeStopsNobody(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		a.join("room")
		c.join("room")
		b.hosts[2].Kill()
		start := time.Now()
		for i := range 50 {
			a.session.To("room").Emit("e", i)
			time.Sleep(10 * time.Millisecond)
		}
		a.join("another") // the dead node was promised a second of trust
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("a join waited %v for a dead node", took)
		}
		expect(t, c, numbered("e", 0, 50)...)
		time.Sleep(10 * time.Second)
		if nodes := b.nodes[0].Cluster().Nodes(); len(nodes) != 2 {
			t.Errorf("nodes %v", nodes)
		}
	})
}

func TestRoomThatIsLeftGetsNoFrames(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[0], "/")
		a.join("room")
		c.join("room")
		a.session.Leave("room")
		c.session.Close("gone")
		time.Sleep(time.Second)
		b.nodes[1].In("/").To("room").Emit("e")
		time.Sleep(time.Second)
		if got := b.nodes[0].Cluster().Stats().Mesh.FramesIn[wire.KindData]; got != 0 {
			t.Errorf("%d messages for a room without members", got)
		}
	})
}

// TestOpenSessionMissesNoBroadcast: a namespace is a room that connecting joins.
func TestOpenSessionMissesNoBroadcast(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		b.net.SetDelay(b.hosts[0], b.hosts[1], 100*time.Millisecond)
		a := connect(t, b.nodes[0], "/")
		b.nodes[1].In("/").Emit("e")
		time.Sleep(time.Second)
		expect(t, a, `["e"]`)
	})
}

func TestSecondJoinWaitsForTheFirst(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[1], 100*time.Millisecond)
		start := time.Now()
		a.session.JoinFunc([]string{"room"}, func(error) {})
		a.join("room")
		if took := time.Since(start); took < 100*time.Millisecond {
			t.Errorf("acknowledged after %v, before the other node knew", took)
		}
	})
}

func TestDirectReachesASessionAnywhere(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		if err := a.session.Direct(c.session.ID(), "e", wire.Args{[]byte("1")}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect(t, c, `["e",1]`)
		expect(t, a)
	})
}

// TestNodeThatJoinsLaterGetsWhatItsClientsWant: a join that is acknowledged on
// a node that has just started covers the nodes that it started into.
func TestNodeThatJoinsLaterGetsWhatItsClientsWant(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		n := b.start(root)
		a := &client{t: t}
		s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: a}) // at once, before any link
		if err != nil {
			t.Fatal(err)
		}
		a.session = s
		a.join("room")
		for i, other := range b.nodes[:2] {
			other.In("/").To("room").Emit("e", i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := only(a.take(), "e")
		slices.Sort(got)
		if want := numbered("e", 0, 2); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
