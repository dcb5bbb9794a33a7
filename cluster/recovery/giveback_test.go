package recovery

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// relink is a link that ends and comes up again.
func (t *trio) relink(a, b wire.NodeID) {
	for _, of := range [][2]wire.NodeID{{a, b}, {b, a}} {
		t.nodes[of[0]].Unlinked(of[1])
	}
	for _, of := range [][2]wire.NodeID{{a, b}, {b, a}} {
		t.nodes[of[0]].Linked(of[1])
	}
	t.settle()
	t.pass(time.Second)
}

// taken has node 3 hold the session of a client that has gone, at its owner or, when that is dead, its mirror.
func taken(t *testing.T, dead bool, lose func(Frame) bool) *trio {
	x := newTrio(t, 4, Config{})
	x.open(1, 5)
	x.nodes[1].Lost("pid0")
	x.pass(time.Second)
	if dead {
		x.kill(1)
		x.pass(time.Second)
	}
	x.lose = lose
	x.onArrive = func(PID) bool { return false }
	x.nodes[3].Recover("pid0", x.last["pid0"])
	x.settle()
	return x
}

// goes has the client go on to node 2.
func (t *trio) goes() (recovered bool) {
	t.onArrive, t.lose = nil, nil
	t.nodes[2].Recover("pid0", t.last["pid0"])
	t.settle()
	t.pass(2 * time.Second)
	return t.answers["recovered"] == 1
}

// A client that gives up at one node, and goes on to another, gets its session there, whatever was lost on the way.
func TestSessionThatNobodyWantsAnyMoreIsFree(t *testing.T) {
	released := func(f Frame) bool { _, is := f.(Release); return is }
	granted := func(f Frame) bool { _, is := f.(Granted); return is }
	for _, dead := range []bool{false, true} {
		for name, lose := range map[string]func(Frame) bool{"given": nil, "its answer is lost": granted, "the word is lost": released} {
			x := taken(t, dead, lose)
			x.nodes[3].Cancel("pid0")
			x.settle()
			if name == "the word is lost" {
				x.lose = nil
				for _, id := range []wire.NodeID{1, 2, 4} {
					if id != x.dead {
						x.relink(3, id)
					}
				}
			}
			if !x.goes() {
				t.Errorf("%s, dead %v: %v", name, dead, x.answers)
			}
		}
	}
}

// What was said of a try before does not take the session from the next one.
func TestSessionThatIsWantedAgainIsKept(t *testing.T) {
	x := taken(t, false, nil)
	x.nodes[3].Cancel("pid0")
	x.settle()
	x.nodes[3].Recover("pid0", x.last["pid0"])
	x.settle()
	x.relink(3, 1)
	if s := x.nodes[1].sessions["pid0"]; s.state != given || s.to.to != 3 {
		t.Errorf("state %d, given to %d, want 3", s.state, s.to.to)
	}
}

func TestSessionsThatWereGivenBackAreForgotten(t *testing.T) {
	x := taken(t, false, nil)
	m := x.nodes[3]
	m.cfg.Recoveries, m.cfg.Waiting = 1, 1
	a := m.attempts["pid0"]
	m.Cancel("pid0")
	for _, pid := range []PID{"a", "b", "c"} {
		m.giveBack(&attempt{pid: pid, target: a.target})
	}
	if n := len(m.back.of); n != 2 || m.back.row.len() != 2 {
		t.Errorf("%d and %d are remembered, want 2", n, m.back.row.len())
	}
	x.pass(m.gone() + 2*time.Second)
	if n := len(m.back.of) + m.back.row.len(); n > 0 {
		t.Errorf("%d are remembered", n)
	}
}

// TestASessionThatHasMovedIsNobodysWhoMirroredIt: its owner dies before he hears that another one has it. His mirror, which does not know of his
// death then, must not give it to its client when it has ended there.
func TestASessionThatHasMovedIsNobodysWhoMirroredIt(t *testing.T) {
	x := newTrio(t, 4, Config{})
	x.open(1, 5)
	x.nodes[1].Lost("pid0")
	x.pass(time.Second)
	x.lose = func(f Frame) bool { _, is := f.(Done); return is && x.dead == 0 }
	x.nodes[3].Recover("pid0", x.last["pid0"])
	x.pass(time.Second)
	for id := 2; id <= 4; id++ {
		x.nodes[wire.NodeID(id)].given(3, Done{"pid0", x.nodes[3].sessions["pid0"].rec.Claim})
	}
	c := x.handed[3]
	x.nodes[3].End("pid0")
	x.pass(time.Second)
	x.kill(1)
	x.pass(time.Second)
	x.nodes[4].Recover("pid0", c)
	x.pass(time.Second)
	if x.answers["recovered"] != 1 || x.answers["nobody knows the session"] != 1 {
		t.Errorf("%v, want that it is recovered once, and refused then", x.answers)
	}
}

// TestWhatAnOwnerOfBeforeSaysLateDoesNotCount: a record that was on its way to the mirror is not one to come back with.
func TestWhatAnOwnerOfBeforeSaysLateDoesNotCount(t *testing.T) {
	x := newTrio(t, 3, Config{}).nodes[2].newMirror(Mirror{})
	for _, pid := range []PID{"a", "b", "c"} {
		x.save(&Saved{Record: Record{PID: pid, Claim: Claim{1, 1}}})
		x.given(3, Done{pid, Claim{2, 3}})
	}
	x.save(&Saved{Record: Record{PID: "a", Claim: Claim{1, 1}}})
	x.save(&Saved{Record: Record{PID: "b", Claim: Claim{3, 1}}})
	x.save(&Saved{Record: Record{PID: "c", Claim: Claim{1, 1}}, Ended: true})
	if len(x.sessions) != 1 || x.sessions["b"] == nil || len(x.moved) != 1 || x.moved["a"] != (Claim{2, 3}) {
		t.Errorf("it has %v, of others %v, want the one that came back, and the one whose end is not said", x.sessions, x.moved)
	}
}

// TestASessionThatIsBackAtItsFirstOwnerHasItsMirror: its owner slept, his mirror held it for another node, and he had it back. What was
// held for the other one then is no reason to let go of what the owner mirrors since.
func TestASessionThatIsBackAtItsFirstOwnerHasItsMirror(t *testing.T) {
	x := newTrio(t, 4, Config{})
	x.open(1, 5)
	x.nodes[1].Lost("pid0")
	x.pass(time.Second)
	var mirror, other, last wire.NodeID
	for id := wire.NodeID(2); id <= 4; id++ {
		switch {
		case x.nodes[id].speaksFor(1):
			mirror = id
		case other == 0:
			other = id
		default:
			last = id
		}
	}
	back := func(at wire.NodeID, c Cursor) {
		t.Helper()
		before := x.answers["recovered"]
		x.nodes[at].Recover("pid0", c)
		x.pass(2 * time.Second)
		if x.answers["recovered"] != before+1 {
			t.Fatalf("at node %v: %v", at, x.answers)
		}
		x.publish(mirror, "r0")
		x.pass(time.Second)
	}
	x.kill(1)
	x.pass(time.Second)
	x.onArrive = func(PID) bool { return false }
	x.nodes[other].Recover("pid0", x.last["pid0"])
	x.settle()
	x.dead, x.onArrive = 0, nil
	for id := wire.NodeID(2); id <= 4; id++ {
		x.relink(1, id)
	}
	x.nodes[other].Arrived("pid0")
	x.pass(2 * time.Second)
	if x.answers["recovered"] != 1 {
		t.Fatalf("%v", x.answers)
	}
	x.publish(mirror, "r0")
	x.pass(time.Second)
	back(1, x.handed[other])
	x.kill(1)
	x.pass(time.Second)
	back(last, x.handed[1])
}

// TestWhatIsHeldIsNoReasonAgainstWhatIsNewer: the word of an owner of before may be later than the record of the next one.
func TestWhatIsHeldIsNoReasonAgainstWhatIsNewer(t *testing.T) {
	x := newTrio(t, 3, Config{}).nodes[2].newMirror(Mirror{})
	for pid, of := range map[PID]Claim{"a": {3, 1}, "b": {1, 1}, "c": {3, 1}} {
		x.sessions[pid] = &Record{PID: pid, Claim: Claim{1, 1}}
		x.held[pid] = hold{3, Granted{Record: Record{PID: pid, Claim: Claim{2, 3}}}}
		x.save(&Saved{Record: Record{PID: pid, Claim: of}})
	}
	x.given(3, Done{"a", Claim{2, 3}})
	x.given(1, Done{"c", Claim{3, 1}})
	if len(x.sessions) != 3 || len(x.held) != 1 || x.held["b"].to != 3 || len(x.moved) != 0 {
		t.Errorf("it has %v, held %v, of others %v; want all three, and one held", x.sessions, x.held, x.moved)
	}
	if x.given(3, Done{"b", Claim{2, 3}}); len(x.sessions) != 2 || len(x.held) != 0 {
		t.Errorf("it has %v, held %v; want the two that came back", x.sessions, x.held)
	}
}
