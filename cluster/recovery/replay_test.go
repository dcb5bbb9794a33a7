package recovery

import (
	"testing"
	"time"
)

// back has the client of pid0 come to node 3 with a cursor.
func (t *trio) back(c Cursor) (recovered bool) {
	n := t.answers["recovered"]
	t.nodes[3].Recover("pid0", c)
	t.settle()
	t.pass(time.Second)
	return t.answers["recovered"] == n+1
}

// What was replayed to a client is known, here and at the mirror, for as long as it may come back with a place in it, and no longer.
func TestReplayOfAClientThatStaysIsForgotten(t *testing.T) {
	x := newTrio(t, 3, Config{Window: 20 * time.Second, Slack: 10 * time.Second})
	x.open(1, 0)
	old := Cursor{Node: 1, D: x.nodes[1].order.last()}
	for range 10 {
		x.publish(2, "r0")
		x.settle()
	}
	if !x.back(old) || len(x.admitted.Replay) != 10 {
		t.Fatalf("%v, %d replayed", x.answers, len(x.admitted.Replay))
	}
	m := x.nodes[3]
	records := func() (all []*Record) {
		all = append(all, &m.sessions["pid0"].rec)
		for _, of := range x.nodes {
			if k := of.mirrors[3]; k != nil && k.sessions["pid0"] != nil {
				all = append(all, k.sessions["pid0"])
			}
		}
		return all
	}
	got := x.admitted.D + 10 // its cursor
	quiet := func(d time.Duration) {
		for end := x.now + d; x.now < end; x.pass(time.Second) {
			x.publish(2, "elsewhere")
			m.Quiet("pid0", got, m.Last())
		}
	}
	quiet(25 * time.Second)
	for _, r := range records() {
		if len(r.Replay.Refs) != 10 || len(r.Replay.Want.Rooms) == 0 {
			t.Errorf("after 25 s %+v", r.Replay)
		}
	}
	quiet(8 * time.Second)
	all := records()
	for _, r := range all {
		if len(r.Replay.Refs)+len(r.Replay.Want.Rooms)+len(r.Replay.Want.Base) > 0 {
			t.Errorf("after 33 s %+v", r.Replay)
		}
	}
	if len(all) != 2 || m.replays.len() > 0 {
		t.Errorf("%d have the record, want 2; %d wait", len(all), m.replays.len())
	}
	x.publish(2, "r0")
	x.settle()
	if !x.back(Cursor{Node: 3, D: got}) || len(x.admitted.Replay) != 1 {
		t.Errorf("who has got all of it: %v, %d replayed", x.answers, len(x.admitted.Replay))
	}
	x.back(Cursor{Node: 3, D: x.admitted.D + 1}) // nothing was missed
	if r := m.sessions["pid0"].rec.Replay; r.Want.Rooms != nil {
		t.Errorf("who lacked nothing has %+v", r)
	}
}

// Who comes back with a place of before when all of that is forgotten is refused, and never told that nothing is missing.
func TestPlaceInAReplayThatIsForgotten(t *testing.T) {
	for name, place := range map[string]func(old Cursor, first uint64) Cursor{
		"before it":        func(old Cursor, _ uint64) Cursor { return old },
		"behind the first": func(_ Cursor, first uint64) Cursor { return Cursor{Node: 3, D: first + 1} },
		"nothing":          func(_ Cursor, first uint64) Cursor { return Cursor{Node: 3, D: first} },
	} {
		x := newTrio(t, 3, Config{Window: 20 * time.Second, Slack: 10 * time.Second})
		x.open(1, 0)
		old := Cursor{Node: 1, D: x.nodes[1].order.last()}
		for range 10 {
			x.publish(2, "r0")
			x.settle()
		}
		x.back(old)
		for range 33 {
			x.pass(time.Second)
		}
		if x.back(place(old, x.admitted.D)) {
			t.Errorf("%s: recovered with %d messages", name, len(x.admitted.Replay))
		}
	}
}

// A place of before a session began says that its client has got nothing of it.
func TestPlaceOfASessionBefore(t *testing.T) {
	for name, c := range map[string]Cursor{"none": {}, "of another node": {Node: 2, D: 7}, "of a node of before": {Node: 99, D: 1},
		"of a replay here": {Node: 1, D: replayedFrom + 3}, "of a replay elsewhere": {Node: 2, D: replayedFrom}, "of the owner": {Node: 1, D: 2}} {
		for _, dead := range []bool{false, true} {
			x := newTrio(t, 3, Config{})
			for range 5 {
				x.publish(2, "r0")
				x.settle()
			}
			x.open(1, 0)
			x.publish(2, "r0")
			x.settle()
			x.pass(time.Second)
			if dead {
				x.kill(1)
			}
			if !x.back(c) || len(x.admitted.Replay) != 1 {
				t.Errorf("%s, owner dead %v: %v, %d replayed, want 1", name, dead, x.answers, len(x.admitted.Replay))
			}
		}
	}
}

// A place of who had the session since is no place of before it began.
func TestPlaceOfADeadNodeThatHadTheSession(t *testing.T) {
	x := newTrio(t, 4, Config{})
	x.open(1, 0)
	x.publish(2, "r0")
	x.settle()
	x.lose = func(f Frame) bool { // the owner does not hear that node 4 has it
		_, is := f.(Done)
		return is
	}
	x.nodes[4].Recover("pid0", x.last["pid0"])
	x.settle()
	x.pass(time.Second)
	if x.answers["recovered"] != 1 {
		t.Fatal(x.answers)
	}
	c := Cursor{Node: 4, D: x.admitted.D + 1}
	x.kill(4)
	x.nodes[1].take(3, Take{ID: 1, PID: "pid0", Cursor: c})
	for _, e := range x.nodes[1].Take() {
		if sent, is := e.(Send); is {
			if _, is := sent.Frame.(Granted); is {
				t.Errorf("given away with that cursor: %+v", sent.Frame)
			}
		}
	}
}
