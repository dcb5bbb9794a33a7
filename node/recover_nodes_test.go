package node_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// recoveringTogether is together with recovery.
func recoveringTogether(t *testing.T, count int, f func(t *testing.T, b *lab)) {
	togetherWith(t, count, recovering, root, f)
}

// kill ends node i as kill -9 does.
func (b *lab) kill(i int) { b.hosts[i].Kill() }

// noticed is after how long all have taken a killed node for dead.
const noticed = 9 * time.Second

func TestClientOfAKilledNodeGetsExactlyWhatItLacks(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("room")
		a.session.SetData(7)
		time.Sleep(50 * time.Millisecond) // or it may be lost
		for i := range 5 {
			for k, n := range b.nodes {
				if err := n.In("/").To("room").EmitSafe(t.Context(), fmt.Sprint("p", k), i); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if got := a.take(); len(got) != 15 {
			t.Fatalf("got %q", got)
		}
		cursor := a.cursor
		if err := b.nodes[0].In("/").To("room").EmitSafe(t.Context(), "p0", 5); err != nil {
			t.Fatal(err)
		}
		a.cursor = cursor // it was lost on the way
		b.kill(0)
		for i := 5; i < 1005; i++ {
			b.nodes[1].In("/").To("room").Emit("p1", i)
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		b.nodes[2].In("/").Emit("all", 0)
		b.nodes[2].In("/").To(a.session.ID()).Emit("direct", 0)
		b.nodes[2].In("/").To("room").Volatile().Emit("volatile", 0)
		b.nodes[2].In("/").To("room").Except(a.session.ID()).Emit("excepted", 0)
		c := recovered(t, b.nodes[2], a)
		b.nodes[1].In("/").To("room").Emit("p1", 1005)
		b.nodes[1].In("/").To(a.session.ID()).Emit("direct", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		got := c.take()
		want := map[string][]string{"p0": numbered("p0", 5, 6), "p1": numbered("p1", 5, 1006), "p2": nil,
			"all": numbered("all", 0, 1), "direct": numbered("direct", 0, 2), "volatile": nil, "excepted": nil}
		for event, want := range want {
			if got := only(got, event); !slices.Equal(got, want) {
				t.Errorf("%s: got %d, want %d in order", event, len(got), len(want))
			}
		}
		if string(c.session.Data()) != "7" || !slices.Equal(c.session.Rooms(), []string{"room"}) {
			t.Errorf("data %s, rooms %v", c.session.Data(), c.session.Rooms())
		}
		list, _, missing := b.nodes[1].Sockets(t.Context(), node.Query{Room: "room"})
		if len(list) != 1 || len(missing) > 0 || list[0].ID != a.session.ID() || list[0].Node != "n2" {
			t.Errorf("listed as %v, missing %v", list, missing)
		}
		if err := b.nodes[1].In("/").Direct(a.session.ID(), "e", wire.Args{[]byte("1")}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestClientThatGoesElsewhereIsRecovered(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"its node has noticed":     func(c *client) { c.session.Lost("transport close") },
		"its node has not noticed": func(*client) {},
	} {
		t.Run(name, func(t *testing.T) {
			ends := 0
			watch := func(n *node.Node) {
				n.Namespace("/").OnDisconnect(func(*node.Session, string) { ends++ })
			}
			togetherWith(t, 3, recovering, both(root, watch), func(t *testing.T, b *lab) {
				a := connect(t, b.nodes[0], "/")
				a.join("room")
				emit(t, b.nodes[1].In("/").To("room"), "e", 0, 3)
				time.Sleep(time.Second)
				expect(t, a, numbered("e", 0, 3)...)
				leave(a)
				cursor := a.cursor
				emit(t, b.nodes[1].In("/").To("room"), "e", 3, 6)
				time.Sleep(time.Second)
				a.take()
				a.cursor = cursor
				c := recovered(t, b.nodes[2], a)
				emit(t, b.nodes[1].In("/").To("room"), "e", 6, 8)
				time.Sleep(time.Second)
				expect(t, c, append([]string{"connect"}, numbered("e", 3, 8)...)...)
				a.session.Lost("ping timeout")
				if synctest.Wait(); ends != 1 {
					t.Errorf("OnDisconnect ran %d times, want once", ends)
				}
				if got := b.nodes[0].Stats().Sessions; got != 0 {
					t.Errorf("%d sessions at the old node", got)
				}
				d := recovered(t, b.nodes[0], c) // home again
				emit(t, b.nodes[1].In("/").To(a.session.ID()), "e", 8, 9)
				time.Sleep(time.Second)
				expect(t, d, "connect", `["e",8]`)
			})
		})
	}
}

func TestTwoNodesDoNotBothHaveASession(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		for round := range 20 {
			a := connect(t, b.nodes[0], "/")
			a.session.Lost("transport close")
			var wg sync.WaitGroup
			var comers [2]*client
			for i := range comers {
				b.net.SetDelay(b.hosts[0], b.hosts[i+1], time.Duration(1+(round*(i+3))%7)*time.Millisecond)
				wg.Go(func() { comers[i] = back(t, b.nodes[i+1], a) })
			}
			wg.Wait()
			time.Sleep(time.Second)
			open := 0
			for _, c := range comers {
				if got := c.take(); c.session.Recovered() && !slices.Contains(got, "cut") {
					open++
				}
			}
			list, _, _ := b.nodes[0].Sockets(t.Context(), node.Query{})
			listed := slices.DeleteFunc(list, func(s node.SocketInfo) bool { return s.ID != a.session.ID() })
			if open > 1 || len(listed) != open {
				t.Errorf("round %d: %d clients have the session, listed %v", round, open, listed)
			}
			for _, c := range comers {
				c.session.Close("over")
			}
		}
	})
}

func TestOwnerThatDiesDuringARecoveryLosesNothing(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Microsecond, 1500 * time.Microsecond, 2500 * time.Microsecond, 4 * time.Millisecond, 30 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			recoveringTogether(t, 3, func(t *testing.T, b *lab) {
				b.net.SetDelay(b.hosts[0], b.hosts[1], time.Millisecond)
				b.net.SetDelay(b.hosts[0], b.hosts[2], time.Millisecond)
				a := connect(t, b.nodes[0], "/")
				a.join("room")
				emit(t, b.nodes[1].In("/").To("room"), "e", 0, 3)
				time.Sleep(time.Second)
				expect(t, a, numbered("e", 0, 3)...)
				a.session.Lost("transport close")
				emit(t, b.nodes[1].In("/").To("room"), "e", 3, 6)
				time.AfterFunc(after, func() { b.kill(0) })
				c := recovered(t, b.nodes[2], a)
				emit(t, b.nodes[1].In("/").To("room"), "e", 6, 8)
				time.Sleep(10 * time.Second)
				expect(t, c, append([]string{"connect"}, numbered("e", 3, 8)...)...)
			})
		})
	}
}

// What a client was told of its rooms holds after the death of its node, a moment later.
func TestAcknowledgedJoinsAndLeavesOutliveTheNode(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("left")
		a.join("joined")
		left := make(chan error, 1)
		a.session.LeaveFunc([]string{"left"}, func(err error) { left <- err })
		if err := <-left; err != nil {
			t.Fatal(err)
		}
		b.kill(0)
		for _, room := range []string{"left", "joined"} {
			b.nodes[1].In("/").To(room).Emit("e", room)
		}
		c := recovered(t, b.nodes[1], a)
		expect(t, c, "connect", `["e","joined"]`)
		if rooms := c.session.Rooms(); !slices.Equal(rooms, []string{"joined"}) {
			t.Errorf("rooms %v", rooms)
		}
	})
}

func TestNodeWithoutRecoveryKeepsOthersFromIt(t *testing.T) {
	off := 0
	some := func(cfg *node.Config) {
		if off++; off < 3 {
			cfg.Recovery = window
		}
	}
	togetherWith(t, 3, some, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("room")
		a.session.Lost("transport close")
		refused(t, b.nodes[1], a, "a node has no recovery")
		if err := b.nodes[0].In("/").EmitSafe(t.Context(), "e"); err != nil {
			t.Error(err)
		}
	})
}

// A publisher is told that a message is safe when a second node has it, and it arrives though the node dies then.
func TestSafeMessageArrivesThoughItsNodeDies(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		member := connect(t, b.nodes[2], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[2], 300*time.Millisecond)
		time.Sleep(time.Second)
		start := time.Now()
		if err := b.nodes[0].In("/").EmitSafe(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		b.kill(0)
		time.Sleep(noticed + 2*time.Second)
		expect(t, member, `["e"]`)
		if took == 0 {
			t.Error("nobody was waited for")
		}
	})
}

// A client that comes while mirrors do not answer is served all the same, and can come back once they have its session.
func TestNewClientsDoNotWaitLongForMirrors(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		for i := 1; i < 3; i++ {
			b.net.SetDelay(b.hosts[0], b.hosts[i], time.Second)
		}
		start := time.Now()
		c := connect(t, b.nodes[0], "/")
		if took := time.Since(start); c.session.PID() == "" || took > 4*time.Second || b.nodes[0].Stats().Recovery.Unkept != 1 {
			t.Errorf("after %v a secret %q, stats %+v", took, c.session.PID(), b.nodes[0].Stats().Recovery)
		}
		b.nodes[0].In("/").To(c.session.ID()).Emit("e", 0)
		synctest.Wait()
		expect(t, c, numbered("e", 0, 1)...)
		for i := 1; i < 3; i++ {
			b.net.SetDelay(b.hosts[0], b.hosts[i], 0)
		}
		time.Sleep(5 * time.Second)
		b.nodes[0].In("/").To(c.session.ID()).Emit("e", 1)
		synctest.Wait()
		expect(t, c, numbered("e", 1, 2)...)
		c.session.Lost("transport close")
		b.nodes[0].In("/").To(c.session.ID()).Emit("e", 2)
		b.nodes[0].In("/").Emit("e", 3)
		expect(t, recovered(t, b.nodes[1], c), append([]string{"connect"}, numbered("e", 2, 4)...)...)
		d := connect(t, b.nodes[0], "/")
		d.join("room")
		b.nodes[1].In("/").To("room").Emit("e", 4)
		time.Sleep(time.Second)
		expect(t, d, numbered("e", 4, 5)...)
		if stats := b.nodes[0].Stats().Recovery; stats.Unkept != 1 {
			t.Errorf("stats %+v", stats)
		}
	})
}

func TestNodeThatStopsHandsItsSessionsOn(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("room")
		time.Sleep(50 * time.Millisecond)
		emit(t, b.nodes[0].In("/").To("room"), "e", 0, 3)
		expect(t, a, numbered("e", 0, 3)...)
		a.session.SetData("last words")
		a.session.Lost("transport close")
		emit(t, b.nodes[0].In("/").To("room"), "e", 3, 5)
		start := time.Now()
		b.stops[0]()
		if took := time.Since(start); took > drainPatience+2*time.Second {
			t.Errorf("stopped after %v", took)
		}
		emit(t, b.nodes[1].In("/").To("room"), "later", 0, 2)
		start = time.Now()
		c := recovered(t, b.nodes[1], a)
		if took := time.Since(start); took > time.Second {
			t.Errorf("recovered after %v: nobody need wait to know that the node is gone", took)
		}
		synctest.Wait()
		got := c.take()
		if e, later := only(got, "e"), only(got, "later"); !slices.Equal(e, numbered("e", 3, 5)) || !slices.Equal(later, numbered("later", 0, 2)) {
			t.Errorf("got %q", got)
		}
		if got := string(c.session.Data()); got != `"last words"` {
			t.Errorf("data %s", got)
		}
	})
}

const drainPatience = 5 * time.Second

// A node that stops waits for nobody for long.
func TestNodeStopsThoughItsMirrorIsDead(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		b.kill(1)
		a.session.Lost("transport close")
		start := time.Now()
		b.stops[0]()
		if took := time.Since(start); took > drainPatience+3*time.Second {
			t.Errorf("stopped after %v", took)
		}
	})
}

// Who was on one side of a long partition lacks what the other side published, which no cursor tells.
func TestClientsThatAGapConcernsAreNotRecovered(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		b.net.Cut(b.hosts[0], b.hosts[1])
		for i := range 20 {
			b.nodes[1].In("/").Emit("e", i)
			time.Sleep(time.Second)
		}
		b.net.Heal(b.hosts[0], b.hosts[1])
		time.Sleep(40 * time.Second)
		b.nodes[1].In("/").Emit("e", 20)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := a.take(); slices.Equal(got, numbered("e", 0, 21)) || len(got) == 0 {
			t.Fatalf("got %q: that tests nothing", got)
		}
		a.session.Lost("transport close")
		refused(t, b.nodes[1], a, "nobody knows the session")
		if b.nodes[0].Stats().Recovery.Gapped == 0 {
			t.Error("not counted")
		}
		c := connect(t, b.nodes[0], "/")
		c.session.Lost("transport close")
		recovered(t, b.nodes[1], c)
	})
}

func TestPublisherHearsThatAMessageMayNotBeSafe(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		member := connect(t, b.nodes[1], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Second)
		o := b.nodes[0].In("/").Timeout(500 * time.Millisecond)
		if err := o.EmitSafe(t.Context(), "e", 0); node.CodeOf(err) != node.CodeUnavailable {
			t.Errorf("error %v, want one that says so", err)
		}
		b.net.SetDelay(b.hosts[0], b.hosts[1], 0)
		time.Sleep(2 * time.Second)
		if err := o.EmitArgsSafe(t.Context(), "e", wire.Args{[]byte("1")}, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		expect(t, member, numbered("e", 0, 2)...)
		if got := b.nodes[0].Stats().Recovery.Unacked; got != 0 {
			t.Errorf("%d wait still", got)
		}
	})
}
