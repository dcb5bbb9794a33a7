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
		for i := range 5 {
			for k, n := range b.nodes {
				if err := n.In("/").To("room").EmitSafe(t.Context(), fmt.Sprint("p", k), i); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(50 * time.Millisecond) // or what was handed out last comes twice
		if got := a.take(); len(got) != 15 {
			t.Fatalf("got %q", got)
		}
		if err := b.nodes[0].In("/").To("room").EmitSafe(t.Context(), "p0", 5); err != nil { // the client does not get this
			t.Fatal(err)
		}
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
