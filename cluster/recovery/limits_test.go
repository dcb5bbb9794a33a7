package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func TestAFullMirrorSendsNodesToTheNext(t *testing.T) {
	x := newTrio(t, 12, Config{Mirrors: 2})
	full := uint64(0)
	for id, m := range x.nodes {
		if len(m.mirrors) > 2 {
			t.Errorf("node %v mirrors %d", id, len(m.mirrors))
		}
		if len(m.set) != 1 {
			t.Errorf("node %v has %v for buddies", id, m.set)
		}
		full += m.Stats().Full
	}
	if full == 0 {
		t.Error("nobody was refused: that tests nothing")
	}
	for _, m := range x.nodes { // all hear from it that it has room
		m.cfg.Mirrors = 5
	}
	x.pass(fullFor + 2*time.Second)
	for id, m := range x.nodes {
		best := wire.NodeID(0)
		for other := range x.nodes {
			if other != id && (best == 0 || rank(id, other) > rank(id, best)) {
				best = other
			}
		}
		if m.set[0] != best {
			t.Errorf("node %v is mirrored by %v, want %v, which is not full any more", id, m.set[0], best)
		}
	}
}

func TestTheMirrorsOfNodesThatDiedFirstAreForgotten(t *testing.T) {
	x := newTrio(t, 2, Config{Mirrors: 1})
	m := x.nodes[2]
	for id := wire.NodeID(10); id < 14; id++ {
		m.Member(id, wire.Frontiers{})
		m.Linked(id)
		m.mirrors[id] = &mirror{}
		m.Unlinked(id)
		m.Down(id)
		x.pass(TickEvery)
	}
	if m.mirrors[13] == nil || m.mirrors[1] == nil || len(m.mirrors) != 2 || m.Stats().Evicted != 3 {
		t.Errorf("%d are mirrored, %d went; want that of the living one and that of the last dead, 3", len(m.mirrors), m.Stats().Evicted)
	}
}

func TestASessionThatHasTooMuchIsNotKept(t *testing.T) {
	x := newTrio(t, 2, Config{RecordBytes: 1000})
	x.open(2, 0)
	m := x.nodes[1]
	x.answers = map[string]int{}
	for i := range 100 {
		m.Join("pid0", fmt.Sprint("room", i))
		x.settle()
	}
	m.Leave("pid0", "room1")
	m.SetData("pid0", []byte("x"))
	m.SetData("pid1", make([]byte, 900))
	x.pass(100 * time.Millisecond)
	if x.answers["joined"] != 100 || x.answers["left"] != 1 || m.Stats().Outgrown != 1 {
		t.Errorf("%v, %d have outgrown it; want 100, 1 and 1", x.answers, m.Stats().Outgrown)
	}
	of := x.nodes[2].mirrors[1].sessions
	if of["pid0"] != nil || of["pid1"] == nil || len(of["pid1"].Data) != 900 {
		t.Errorf("mirrored are %v", sorted(of))
	}
	m.Lost("pid0")
	if len(m.unkept)+len(m.rooms) != 3 { // the namespace, pid1, r1
		t.Errorf("left are %v, %v", m.unkept, m.rooms)
	}
}

// A client that gets nothing for longer than the order is kept lacks nothing: it is recovered when that was said.
func TestAQuietClientIsRecovered(t *testing.T) {
	for _, said := range []bool{true, false} {
		for _, owner := range []string{"lives", "is dead"} {
			x := newTrio(t, 3, Config{OrderEntries: 50})
			x.open(1, 0)
			x.publish(1, "r0")
			last := x.nodes[1].order.last()
			for i := range 500 {
				x.publish(wire.NodeID(1+i%3), "other")
				x.settle()
			}
			if said {
				x.nodes[1].Quiet("pid0", last, x.nodes[1].order.last())
			}
			x.pass(2 * time.Second)
			if owner == "is dead" {
				x.kill(1)
			} else {
				x.nodes[1].Lost("pid0")
			}
			x.publish(2, "r0")
			x.publish(3, "r0")
			x.nodes[3].Recover("pid0", Cursor{Node: 1, D: last})
			x.settle()
			x.pass(100 * time.Millisecond)
			if said != (x.answers["recovered"] == 1) || said && x.replayed != 2 {
				t.Errorf("said is %v, its node %s: %v, %d replayed", said, owner, x.answers, x.replayed)
			}
			x.nodes[3].Recover("pid0", Cursor{Node: 1, D: last - 1})
			x.settle()
			if x.answers["recovered"] > 1 {
				t.Error("who has not got its last message is taken for quiet")
			}
		}
	}
}

// A client that connects and is gone again, over and over, costs its node no more than AwayBytes.
func TestSessionsThatAreAwayAreForgottenWhenTheyAreTooMuch(t *testing.T) {
	x := newTrio(t, 2, Config{AwayBytes: 20_000})
	m := x.nodes[1]
	x.open(500, 0)
	for i := range 500 {
		m.Lost(PID(fmt.Sprint("pid", i)))
		if m.awayBytes > 20_000 {
			t.Fatalf("%d bytes of sessions are away", m.awayBytes)
		}
	}
	x.pass(time.Second)
	kept, forgotten := len(m.sessions), int(m.Stats().Forgotten)
	if kept+forgotten != 500 || kept < 40 || len(x.nodes[2].mirrors[1].sessions) != kept {
		t.Errorf("%d are kept, %d forgotten, %d mirrored", kept, forgotten, len(x.nodes[2].mirrors[1].sessions))
	}
	for pid, want := range map[PID]int{"pid499": 1, "pid0": 0} {
		x.answers = map[string]int{}
		m.Recover(pid, Cursor{})
		x.pass(time.Second)
		if x.answers["recovered"] != want {
			t.Errorf("%s: %v", pid, x.answers)
		}
	}
	x.pass(m.cfg.Window + 2*time.Second)
	if m.awayBytes != 0 || m.away.len() != 0 {
		t.Errorf("%d bytes, %d sessions are left", m.awayBytes, m.away.len())
	}
}

// A client that comes again and again while others have all places is in the line once.
func TestTheLineHasALimit(t *testing.T) {
	x := newTrio(t, 2, Config{Recoveries: 1, Waiting: 10})
	x.open(2, 0)
	m := x.nodes[1]
	var late []PID
	x.onArrive = func(pid PID) bool { late = append(late, pid); return false }
	m.Lost("pid0")
	m.Lost("pid1")
	m.Recover("pid0", x.last["pid0"])
	x.settle()
	for range 1000 {
		m.Recover("pid1", x.last["pid1"])
		x.settle()
		if m.line.len() > 22 {
			t.Fatalf("%d are in the line", m.line.len())
		}
	}
	m.Arrived(late[0])
	x.pass(100 * time.Millisecond)
	m.Arrived("pid1")
	x.pass(100 * time.Millisecond)
	if x.answers["recovered"] != 2 || m.line.len() > 0 {
		t.Errorf("%v, %d are in the line", x.answers, m.line.len())
	}
}
