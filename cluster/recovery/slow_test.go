package recovery

import (
	"testing"
	"time"
)

// Busy nodes answer late. Nobody is refused for that, and nobody makes them busier by asking again and again.
func TestWhoAnswersLateIsWaitedFor(t *testing.T) {
	for name, broken := range map[string]Rule{"": 0, "whoever is late is asked anew": BreakLate} {
		x := newTrio(t, 3, Config{Broken: broken})
		x.open(1, 3000)
		x.pass(100 * time.Millisecond)
		x.nodes[1].Lost("pid0")
		x.delay, x.frames = 600*time.Millisecond, 0
		x.nodes[3].Recover("pid0", x.last["pid0"])
		x.pass(15 * time.Second)
		switch got := x.answers["recovered"]; {
		case broken == 0 && (got != 1 || x.frames > 150):
			t.Errorf("%d are recovered with %d frames: %v", got, x.frames, x.answers)
		case broken != 0 && got != 0:
			t.Errorf("%s, and it is recovered", name)
		}
	}
}

// A session that began before its place was known is recovered from behind that place, and from no record of before.
func TestASessionThatBeginsEarly(t *testing.T) {
	for _, tt := range []struct {
		name        string
		begun, join bool
		cursor      func(place uint64) Cursor
		want        string
	}{
		{"it waited for its place", false, true, func(uint64) Cursor { return Cursor{} }, "recovered"},
		{"it did not, and has got what has a place", true, true, func(place uint64) Cursor { return Cursor{Node: 1, D: place} }, "recovered"},
		{"it did not, and has got nothing", true, true, func(uint64) Cursor { return Cursor{} }, "the cursor is too old"},
		{"it has got nothing that has a place", true, true, func(place uint64) Cursor { return Cursor{Node: 1, D: place - 1} }, "the cursor is too old"},
		{"mirrors know no place", true, false, func(place uint64) Cursor { return Cursor{Node: 1, D: place} }, "the cursor is too old"},
	} {
		x := newTrio(t, 3, Config{})
		m := x.nodes[1]
		x.publish(2, "other")
		m.Open("p", "s", "/", "")
		if tt.begun {
			m.Begin("p")
		}
		x.publish(1, "s")
		if tt.join {
			m.Join("p", "")
			m.Join("p", "s")
		}
		x.pass(100 * time.Millisecond)
		c := tt.cursor(max(m.sessions["p"].rec.Rooms[""], m.sessions["p"].rec.Rooms["s"]))
		x.kill(1)
		x.publish(2, "s")
		x.settle()
		x.nodes[3].Recover("p", c)
		x.pass(2 * time.Second)
		if x.answers[tt.want] != 1 || tt.want == "recovered" && x.replayed != 1 {
			t.Errorf("%s: %v, %d replayed", tt.name, x.answers, x.replayed)
		}
	}
}
