package recovery

import (
	"strings"
	"testing"
	"time"
	"unsafe"
)

// The answer to one client is no answer to another one: its session would arrive twice there.
func TestAnotherSessionThanWasAskedForIsNotTaken(t *testing.T) {
	x := newTrio(t, 3, Config{})
	x.open(2, 5)
	x.nodes[1].Lost("pid0")
	x.nodes[1].Lost("pid1")
	var g *Granted
	x.lose = func(f Frame) bool {
		granted, is := f.(Granted)
		if is {
			g = &granted
		}
		return is
	}
	m := x.nodes[3]
	m.Recover("pid0", x.last["pid0"])
	x.settle()
	if g == nil {
		t.Fatal("nothing is granted: that tests nothing")
	}
	wrong := *g
	wrong.Record.PID, wrong.Record.Contested = "pid1", true
	m.Frame(1, wrong)
	for _, e := range m.Take() {
		if e, is := e.(Arrive); is {
			t.Errorf("%s arrives", e.Record.PID)
		}
	}
	x.lose = nil
	x.pass(time.Second)
	if x.answers["recovered"] != 1 || m.sessions["pid0"] == nil {
		t.Errorf("%v, want that pid0 is recovered all the same", x.answers)
	}
}

// What notes sessions for long does not hold the frames in which they came: each is as large as a record may be.
func TestFramesInWhichSessionsCameAreNotHeld(t *testing.T) {
	x := newTrio(t, 3, Config{})
	x.open(1, 0)
	c := Cursor{Node: 1, D: x.nodes[1].order.last()}
	x.publish(2, "r0")
	x.settle()
	pid := strings.Clone("pid0")
	m := x.nodes[3]
	m.Recover(PID(pid), c)
	x.pass(time.Second)
	if m.replays.len() != 1 || unsafe.StringData(string(m.replays.at(0).pid)) != unsafe.StringData(pid) {
		t.Errorf("%d replays are noted, want one, by the secret that the client came with", m.replays.len())
	}
}
