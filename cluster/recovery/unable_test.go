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

// TestNobodyWaitsForEverForAMirror: gossip has a node as alive, and no link to it comes up.
func TestNobodyWaitsForEverForAMirror(t *testing.T) {
	m := New(Config{ID: 1})
	m.At(time.Second)
	m.Member(2, wire.Frontiers{})
	m.Open("p", "s", "/", "")
	m.Join("p", "r")
	m.Published(message(1, 0))
	at, acked, joined := time.Second, 0, 0
	run := func(d time.Duration) {
		for end := at + d; at < end; {
			at += TickEvery
			m.At(at)
			m.Tick()
			for _, e := range m.Take() {
				switch e := e.(type) {
				case Acked:
					acked++
					if !e.Doubted {
						t.Errorf("acknowledged with %d copies, want a doubt", e.Copies)
					}
				case Joined:
					joined++
				}
			}
		}
	}
	run(29 * time.Second)
	if acked != 0 || joined != 0 {
		t.Errorf("%d acks and %d joins, want none before AckPatience is over", acked, joined)
	}
	run(3 * time.Second)
	if acked != 1 || joined != 1 || m.Stats().Unmirrored != 2 {
		t.Errorf("%d acks and %d joins, %d given up, want 1, 1 and 2", acked, joined, m.Stats().Unmirrored)
	}
	if m.Join("p", "other"); len(m.Take()) != 1 {
		t.Error("a session that is kept no more waited")
	}
	m.Published(message(2, 0))
	run(10 * time.Second)
	if acked != 1 {
		t.Error("the next message had no patience of its own")
	}
}
