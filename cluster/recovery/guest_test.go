package recovery

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// A client without a session gets what it has missed of the rooms that it says, from whichever node its cursor is.
func TestAClientWithoutASessionGetsWhatItMissed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cursor func(x *trio) Cursor
		kill   wire.NodeID
		want   string
		replay int
	}{
		{"its node lives", func(x *trio) Cursor { return Cursor{1, x.nodes[1].order.last() - 30} }, 0, "recovered", 10},
		{"it has all", func(x *trio) Cursor { return Cursor{1, x.nodes[1].order.last()} }, 0, "recovered", 0},
		{"its node is dead", func(x *trio) Cursor { return Cursor{1, x.nodes[1].order.last() - 30} }, 1, "recovered", 10},
		{"it comes to its node", func(x *trio) Cursor { return Cursor{3, x.nodes[3].order.last() - 30} }, 0, "recovered", 10},
		{"nobody knows its node", func(*trio) Cursor { return Cursor{99, 1} }, 0, "the place is not known", 0},
		{"its place is gone", func(*trio) Cursor { return Cursor{1, 1} }, 0, "the place is not known", 0},
		{"its place is gone at the mirror", func(*trio) Cursor { return Cursor{1, 1} }, 1, "the place is not known", 0},
		{"it was replayed to by a node that knows nothing of that", func(*trio) Cursor { return Cursor{1, replayedFrom + 5} }, 0, "the place is not known", 0},
	} {
		x := newTrio(t, 3, Config{OrderEntries: 100})
		for i := range 300 {
			x.publish(wire.NodeID(1+i%2), []string{"a", "b", "c"}[i%3])
			x.settle()
		}
		x.pass(2 * time.Second)
		c := tt.cursor(x)
		if tt.kill > 0 {
			x.kill(tt.kill)
		}
		x.nodes[3].RecoverRooms("key", "/", []string{"b"}, c)
		x.settle()
		if x.answers[tt.want] != 1 || x.replayed != tt.replay {
			t.Errorf("%s: %v, %d replayed; want %s, %d", tt.name, x.answers, x.replayed, tt.want, tt.replay)
		}
		if m := x.nodes[3]; len(m.attempts)+len(m.asking)+m.active+len(m.gathers)+len(m.sessions) > 0 {
			t.Errorf("%s: something of it is left", tt.name)
		}
	}
}

// A replay that was broken off goes on where it was, at the same node; the cursor of its last message is good at any.
func TestAReplayWithoutASessionGoesOn(t *testing.T) {
	x := newTrio(t, 3, Config{})
	begin := x.nodes[1].order.last()
	for range 20 {
		x.publish(2, "a")
		x.settle()
	}
	x.nodes[3].RecoverRooms("one", "/", []string{"a"}, Cursor{1, begin})
	x.settle()
	if x.replayed != 20 || x.admitted.Last == 0 {
		t.Fatalf("%d replayed, the last at %d", x.replayed, x.admitted.Last)
	}
	first := x.admitted
	x.replayed = 0
	x.nodes[3].RecoverRooms("two", "/", []string{"a"}, Cursor{3, first.D + 15})
	x.settle()
	if x.replayed != 5 || x.admitted.Replay[0].Seq != first.Replay[15].Seq {
		t.Errorf("%d are replayed to who got 15 of 20", x.replayed)
	}
	x.replayed = 0
	x.pass(100 * time.Millisecond)
	x.kill(3)
	x.publish(2, "a")
	x.nodes[2].RecoverRooms("three", "/", []string{"a"}, Cursor{3, first.Last})
	x.settle()
	if x.replayed != 1 || x.answers["recovered"] != 3 {
		t.Errorf("%d are replayed to who got all but one, %v", x.replayed, x.answers)
	}
	x.nodes[2].RecoverRooms("four", "/", []string{"a"}, Cursor{3, first.D + 15})
	x.settle()
	if x.answers["the place is not known"] != 1 {
		t.Errorf("%v: a place that nobody knows", x.answers)
	}
}

func TestReplaysWithoutASessionAreForgotten(t *testing.T) {
	m := New(Config{ID: 1})
	for i := range 10 {
		m.At(time.Duration(i+1) * time.Second)
		m.guests.push(guestReplay{first: replayedFrom + uint64(i)*100, refs: make([]Ref, 100), at: m.now})
		m.guestRefs += 100
	}
	m.forgetGuests(0, 700)
	if m.guests.len() != 7 || m.guestRefs != 700 {
		t.Errorf("%d are left with %d, want 7 with 700", m.guests.len(), m.guestRefs)
	}
	m.forgetGuests(9*time.Second, 700)
	if m.guests.len() != 2 || m.guestRefs != 200 {
		t.Errorf("%d are left with %d, want 2 with 200", m.guests.len(), m.guestRefs)
	}
	if v, _ := m.ownPlace(replayedFrom + 801); v == nil {
		t.Error("a place in a replay that is here is not known")
	}
	if v, _ := m.ownPlace(replayedFrom + 701); v != nil {
		t.Error("a place in a replay that is gone is known")
	}
}
