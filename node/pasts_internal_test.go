package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func TestPastsAreMergedOnceInEachPublishersOrder(t *testing.T) {
	entry := func(origin wire.NodeID, flags wire.Flags, seq uint64, age int64) historyEntry {
		return historyEntry{Origin: origin, Flags: flags, Seq: seq, Age: age}
	}
	var p pasts
	// Of a dead node, at two mirrors whose links were not equally fast.
	p.add(historyPage{Entries: []historyEntry{entry(1, 0, 3, 10), entry(1, 0, 2, 30), entry(1, 0, 1, 20)}, Origins: []wire.NodeID{1}})
	p.add(historyPage{Entries: []historyEntry{entry(1, 0, 4, 15), entry(1, 0, 3, 12), entry(1, 0, 2, 11)}, More: true})
	p.add(historyPage{Entries: []historyEntry{entry(2, wire.High, 1, 14), entry(2, 0, 1, 14), entry(2, 0, 2, 14)}})
	var got []string
	for _, e := range p.merge() {
		got = append(got, fmt.Sprint(e.Origin.String() == wire.NodeID(1).String(), e.Flags.Stream(), e.Seq))
	}
	want := []string{"true normal 1", "true normal 2", "true normal 3", "true normal 4", "false normal 1", "false normal 2", "false high 1"}
	if !slices.Equal(got, want) || !p.more || !p.origins[1] {
		t.Errorf("got %q, want %q; more %v", got, want, p.more)
	}
}

func TestHistoryIDsAreRead(t *testing.T) {
	for range 100 {
		e := historyEntry{Origin: wire.NewNodeID(), Flags: wire.Low, Seq: 1<<64 - 1}
		if r, ok := parseHistoryID(historyID(e.ref())); !ok || r != e.ref() {
			t.Fatalf("%s is %v, %v", historyID(e.ref()), r, ok)
		}
	}
}

func FuzzHistoryID(f *testing.F) {
	f.Add(historyID(historyEntry{Origin: 1 << 40, Seq: 7}.ref()))
	f.Add("--")
	f.Fuzz(func(t *testing.T, id string) {
		if r, ok := parseHistoryID(id); ok {
			if again, ok := parseHistoryID(historyID(r)); !ok || again != r {
				t.Errorf("%q is %v, and then %v", id, r, again)
			}
		}
	})
}
