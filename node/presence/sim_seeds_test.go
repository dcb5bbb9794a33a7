package presence

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestListsAndEventsAgreeWithWhatIs(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSim(t, seed, 3+int(seed%3))
			for round := range 4 {
				for range 120 {
					s.act()
				}
				s.mend()
				s.check()
				if s.t.Failed() {
					t.Fatal("round ", round)
				}
			}
		})
	}
}

// A link that is cut for less time than detection takes changes nothing for those who watch.
func TestEntriesOfACutNodeStay(t *testing.T) {
	s := newSim(t, 1, 3)
	room := s.rooms[0]
	s.joins(s.nodes[1], room)
	s.nodes[0].watch(room)
	s.mend()
	s.check()
	s.cut(s.nodes[0], s.nodes[1])
	for range 600 {
		s.step(100 * time.Millisecond)
	}
	if got := s.nodes[0].list(room); len(got) != 1 {
		t.Fatalf("lists %v of a node that is cut off, want one member", got)
	}
	if got := s.nodes[0].m.Missing(room); len(got) != 1 || got[0].Reason != "not linked" {
		t.Fatalf("missing %v, want the node that is cut off", got)
	}
	s.mend()
	s.check()
}

// What another node has told is known, without a word, when a break has lost messages.
func TestLostChangesAreFoundByTheDigest(t *testing.T) {
	s := newSim(t, 2, 2)
	a, b, room := s.nodes[0], s.nodes[1], s.rooms[0]
	a.watch(room)
	s.mend()
	s.joins(b, room)
	b.to[a.id].queue = nil // the log was too small
	for range 30 {
		s.step(100 * time.Millisecond)
	}
	if got := a.list(room); len(got) != 0 {
		t.Fatalf("lists %v, so nothing was lost", got)
	}
	for range 100 {
		s.step(100 * time.Millisecond)
	}
	s.check()
	if got := a.m.Stats().Repairs; got != 1 {
		t.Errorf("%d repairs, want 1", got)
	}
}

func TestNothingIsSentForRoomsThatNobodyWatches(t *testing.T) {
	s := newSim(t, 3, 3)
	for range 50 {
		s.joins(s.nodes[0], s.rooms[0])
	}
	s.mend()
	for _, n := range s.nodes {
		if x := n.m.Stats(); x.Bytes != 0 || x.Deltas != 0 || x.Snapshots != 0 || n.m.Due() != 0 {
			t.Errorf("n%d has done something: %+v", n.id, x)
		}
	}
	s.nodes[1].watch(s.rooms[0])
	s.mend()
	s.check()
	s.nodes[1].unwatch(s.rooms[0])
	for range 800 {
		s.step(100 * time.Millisecond)
	}
	for _, n := range s.nodes {
		if x := n.m.Stats(); x.Bytes != 0 || x.Rooms != 0 || x.Told != 0 || n.m.Due() != 0 || len(n.m.own) > 0 {
			t.Errorf("n%d still follows: %+v", n.id, x)
		}
	}
}

func TestALargeSetIsToldInPartsWhileItChanges(t *testing.T) {
	s := newSim(t, 4, 2)
	a, b, room := s.nodes[0], s.nodes[1], s.rooms[0]
	for range 4*partEntries + 1 {
		s.joins(b, room)
	}
	a.m.Now(s.now)
	a.m.Watch(room)
	a.do()
	for range 400 {
		s.joins(b, room)
		s.leavesAny(b)
		s.step(time.Millisecond)
	}
	a.watch(room)
	s.mend()
	s.check()
	if got := a.m.Stats().Repairs; got != 0 {
		t.Errorf("%d repairs, want none", got)
	}
	if a.m.Stats().Bytes == 0 || !strings.HasPrefix(a.list(room)[0].Key, "i:") {
		t.Error("no list")
	}
}
