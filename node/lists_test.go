package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

func TestListsCoverTheWholeCluster(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		var ids []string
		for i, n := range b.nodes {
			for k := range 3 {
				c := connect(t, n, "/")
				ids = append(ids, c.session.ID())
				c.join("all")
				c.join(fmt.Sprint("only-", i))
				c.join(fmt.Sprint("k-", k))
			}
		}
		slices.Sort(ids)
		time.Sleep(time.Second)
		for _, n := range b.nodes {
			rooms, next, missing := n.Rooms(node.Query{})
			got := ""
			for _, r := range rooms {
				got += fmt.Sprintf("%s%d%v ", r.Room, r.Sockets, r.Nodes)
			}
			want := "all9[n0 n1 n2] k-03[n0 n1 n2] k-13[n0 n1 n2] k-23[n0 n1 n2] only-03[n0] only-13[n1] only-23[n2] "
			if got != want || next != "" || len(missing) != 0 {
				t.Errorf("rooms %s, next %q, missing %v\nwant %s", got, next, missing, want)
			}
			sockets, _, missing := n.Sockets(t.Context(), node.Query{})
			var listed []string
			for _, s := range sockets {
				listed = append(listed, s.ID)
				if len(s.Rooms) != 3 || time.Since(s.Since) > time.Minute {
					t.Errorf("socket %+v", s)
				}
			}
			if !slices.Equal(listed, ids) || len(missing) != 0 {
				t.Errorf("sockets %q, missing %v, want %q", listed, missing, ids)
			}
			if members, _, _ := n.Sockets(t.Context(), node.Query{Room: "only-1"}); len(members) != 3 || members[0].Node != "n1" {
				t.Errorf("members of only-1: %+v", members)
			}
			counts, _ := n.SocketCounts()
			for _, other := range b.nodes {
				if counts[other.ID()] != 3 {
					t.Errorf("counts %v", counts)
				}
			}
		}
	})
}

func TestPagesAreCompleteAndDisjoint(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		var want []string
		for i := range 25 {
			room := fmt.Sprintf("r%02d", i)
			want = append(want, room)
			connect(t, b.nodes[i%2], "/").join(room)
		}
		time.Sleep(time.Second)
		for _, limit := range []int{1, 7, 24, 25, 26} {
			var rooms, sockets []string
			for q := (node.Query{Limit: limit}); ; {
				page, next, _ := b.nodes[0].Rooms(q)
				for _, r := range page {
					rooms = append(rooms, r.Room)
				}
				if len(page) > limit {
					t.Fatalf("page of %d", len(page))
				}
				if q.After = next; next == "" {
					break
				}
			}
			for q := (node.Query{Limit: limit}); ; {
				page, next, _ := b.nodes[1].Sockets(t.Context(), q)
				for _, s := range page {
					sockets = append(sockets, s.ID)
				}
				if q.After = next; next == "" {
					break
				}
			}
			slices.Sort(sockets)
			if !slices.Equal(rooms, want) || len(slices.Compact(sockets)) != 25 {
				t.Errorf("limit %d: rooms %q, %d sockets", limit, rooms, len(sockets))
			}
		}
	})
}

// G9: a node that does not answer is named and delays nobody for long.
func TestG9ListsEndWithWhatThereIs(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		connect(t, b.nodes[0], "/").join("x")
		connect(t, b.nodes[2], "/").join("x")
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Minute) // hangs, its link still lives
		start := time.Now()
		go func() {
			time.Sleep(500 * time.Millisecond)
			b.net.SetDelay(b.hosts[0], b.hosts[1], time.Millisecond)
			b.hosts[1].Kill()
		}()
		members, _, missing := b.nodes[0].Sockets(t.Context(), node.Query{Room: "x"})
		if took := time.Since(start); took < 500*time.Millisecond || took > 1300*time.Millisecond {
			t.Errorf("took %v, want until the node was known to be dead", took)
		}
		if len(members) != 2 || len(missing) != 1 || missing[0] != (node.Missing{Node: "n1", Reason: "node went away"}) {
			t.Errorf("members %+v, missing %+v", members, missing)
		}
		members, _, missing = b.nodes[0].Sockets(t.Context(), node.Query{Room: "x"}) // known to be dead by now
		if len(members) != 2 || len(missing) != 1 || missing[0].Reason != "node is not linked" {
			t.Errorf("members %+v, missing %+v", members, missing)
		}
	})
}

func TestG9ListsEndAtTheirTimeout(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		b.net.SetDelay(b.hosts[0], b.hosts[1], 2*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, _, missing := b.nodes[0].Sockets(ctx, node.Query{})
		if took := time.Since(start); took != time.Second || len(missing) != 1 || missing[0].Reason != "timeout" {
			t.Errorf("took %v, missing %v", took, missing)
		}
	})
}

// A link that breaks delays lists, answers and changes; nobody is missing.
func TestFlappingLinksDelayAndMissNobody(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		for i, n := range b.nodes {
			c := connect(t, n, "/")
			c.join("x")
			c.replies(50*time.Millisecond, i)
		}
		over := make(chan struct{})
		go func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(200 * time.Millisecond):
					b.hosts[0].Reset(b.hosts[1])
					b.hosts[0].Reset(b.hosts[2])
				}
			}
		}()
		defer close(over)
		all := b.nodes[0].In("/").Timeout(20 * time.Second)
		for i := range 20 {
			time.Sleep(130 * time.Millisecond)
			if list, missing, err := all.Sockets(t.Context()); len(list) != 3 || len(missing) > 0 || err != nil {
				t.Errorf("sockets %d, missing %v, %v", len(list), missing, err)
			}
			askAll(t.Context(), all.To("x")).wants(t, []string{"[0]", "[1]", "[2]"}, nil, nil)
			got, err := all.Join(t.Context(), fmt.Sprint("y", i))
			change(t, got, err, 3)
		}
	})
}
