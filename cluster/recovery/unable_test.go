package recovery

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// refusals are the reasons of the effects that refuse.
func refusals(m *Machine) (reasons []string) {
	for _, e := range m.Take() {
		if r, ok := e.(Refused); ok {
			reasons = append(reasons, r.Reason)
		}
	}
	return reasons
}

func TestNobodyIsRecoveredUntilANodeWithoutRecoveryIsForgotten(t *testing.T) {
	m := New(Config{ID: 1})
	m.At(time.Second)
	m.Member(2, wire.Frontiers{})
	m.Recover("early", Cursor{})
	m.Unable(2, true)
	m.Linked(2)
	m.Recover("late", Cursor{})
	if got := refusals(m); len(got) != 2 || got[0] != refusedUnable || got[1] != refusedUnable {
		t.Errorf("refused for %q", got)
	}
	m.Unlinked(2)
	m.Down(2)
	m.At(m.now + m.gone())
	m.Tick()
	m.Recover("too early", Cursor{})
	if got := refusals(m); len(got) != 1 {
		t.Errorf("%d are refused that may lack what the dead one published, want 1", len(got))
	}
	m.At(m.now + 2*sweepEvery)
	m.Tick()
	m.Recover("now", Cursor{})
	if got := refusals(m); len(got) != 1 || got[0] != "nobody knows the session" {
		t.Errorf("refused for %q", got)
	}
}

func TestNothingWaitsForANodeWithoutRecovery(t *testing.T) {
	m := New(Config{ID: 1})
	m.At(time.Second)
	m.Member(2, wire.Frontiers{})
	m.Linked(2)
	m.Published(message(1, 0))
	m.Open("p", "s", "/", "")
	m.Join("p", "")
	m.Tick()
	if got := m.Take(); len(got) == 0 {
		t.Fatal("nothing is asked of the peer")
	}
	m.Unable(2, true)
	m.Tick()
	var acked, joined int
	for _, e := range m.Take() {
		switch e := e.(type) {
		case Acked:
			acked++
		case Joined:
			joined++
		case Send:
			t.Errorf("it is sent %T", e.Frame)
		}
	}
	if acked != 1 || joined != 1 {
		t.Errorf("%d acks and %d joins, want 1 and 1", acked, joined)
	}
}
