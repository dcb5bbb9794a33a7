package gossip

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func ids(ms []Member) []wire.NodeID {
	var is []wire.NodeID
	for _, m := range ms {
		is = append(is, m.ID)
	}
	return is
}

func TestTableShowsOneMemberPerAddress(t *testing.T) {
	type list = []wire.NodeID
	set := func(id wire.NodeID, a int) func(*table) {
		return func(t *table) { t.set(Member{ID: id, Addr: addr(a).String()}, addr(a)) }
	}
	remove := func(id wire.NodeID) func(*table) { return func(t *table) { t.remove(id) } }
	settle := func(id wire.NodeID) func(*table) { return func(t *table) { t.settle(id) } }
	for _, tt := range []struct {
		name        string
		steps       []func(*table)
		members     list
		challengers list
		addrs       int
	}{
		{"none", nil, nil, nil, 0},
		{"sorted by id", []func(*table){set(9, 1), set(3, 2), set(5, 3)}, list{3, 5, 9}, nil, 3},
		{"the first one holds an address", []func(*table){set(9, 1), set(3, 1)}, list{9}, list{3}, 1},
		{"until another has answered there", []func(*table){set(9, 1), set(3, 1), settle(3)}, list{3}, list{9}, 1},
		{"or it is dead", []func(*table){set(9, 1), set(3, 1), remove(9)}, list{3}, nil, 1},
		{"a challenger dies", []func(*table){set(9, 1), set(3, 1), remove(3)}, list{9}, nil, 1},
		{"who answered dies", []func(*table){set(9, 1), set(3, 1), settle(3), remove(3)}, list{9}, nil, 1},
		{"twice the same", []func(*table){set(9, 1), set(9, 1)}, list{9}, nil, 1},
		{"moves", []func(*table){set(9, 1), set(9, 2)}, list{9}, nil, 1},
		{"moves and leaves its place", []func(*table){set(9, 1), set(3, 1), set(9, 2)}, list{3, 9}, nil, 2},
		{"all leave", []func(*table){set(9, 1), set(3, 1), remove(9), remove(3), remove(3)}, nil, nil, 0},
		{"answers after its death", []func(*table){set(9, 1), remove(9), settle(9)}, nil, nil, 0},
		{"closed", []func(*table){set(9, 1), (*table).close, set(3, 1)}, nil, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab := newTable()
			for _, step := range tt.steps {
				step(tab)
			}
			if got := ids(tab.members()); !slices.Equal(got, tt.members) {
				t.Errorf("members %v, want %v", got, tt.members)
			}
			if got := ids(tab.challengers()); !slices.Equal(got, tt.challengers) {
				t.Errorf("challengers %v, want %v", got, tt.challengers)
			}
			if got := len(tab.addrs()); got != tt.addrs {
				t.Errorf("%d addresses, want %d", got, tt.addrs)
			}
		})
	}
}

func TestTableKeepsSinceOverUpdates(t *testing.T) {
	tab := newTable()
	tab.set(Member{ID: 1}, addr(1))
	since := tab.members()[0].Since
	tab.set(Member{ID: 1, Draining: true}, addr(1))
	if m := tab.members()[0]; m.Since != since || since.IsZero() || !m.Draining {
		t.Errorf("after an update: %+v, since was %v", m, since)
	}
}

func TestTableIsBounded(t *testing.T) {
	tab := newTable()
	for i := range maxMembers {
		if tab.full(wire.NodeID(i + 1)) {
			t.Fatalf("full with %d", i)
		}
		tab.set(Member{ID: wire.NodeID(i + 1), Name: fmt.Sprint(i)}, addr(i))
	}
	if !tab.full(maxMembers + 1) {
		t.Error("room for one more")
	}
	if tab.full(1) {
		t.Error("no room for one that is a member already")
	}
}
