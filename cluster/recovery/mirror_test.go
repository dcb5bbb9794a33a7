package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// TestAMirrorThatHasMoreThanThereIs: what a peer says of itself is no reason to break.
func TestAMirrorThatHasMoreThanThereIs(t *testing.T) {
	x := newTrio(t, 2, Config{})
	m := x.nodes[1]
	b := m.buddies[2]
	for i := range 10_000 {
		m.Open(PID(fmt.Sprint("p", i)), fmt.Sprint("s", i), "/", "")
	}
	all := wire.Frontiers{1 << 63, 1 << 63, 1 << 63}
	m.Frame(2, Mirrored{Epoch: b.epoch, State: State{all, 1 << 63, 1 << 63}})
	x.pass(time.Second)
	if b.acked != m.whole() || b.sent != m.whole() {
		t.Errorf("acked is %v, sent %v, want %v", b.acked, b.sent, m.whole())
	}
	x.publish(1, "r")
	x.pass(100 * time.Millisecond)
	m.SetData("p0", []byte("x"))
	x.pass(100 * time.Millisecond)
	if of := x.nodes[2].mirrors[1]; of.sessions["p0"] == nil || of.log.heads() != m.log.heads() || m.log.heads()[0] == 0 {
		t.Error("what comes later does not go on")
	}
}

// TestARecordIsMirroredBehindItsPlaces: a mirror that takes a session over must know how far the places are that its record names, or the
// client gets twice what it got between.
func TestARecordIsMirroredBehindItsPlaces(t *testing.T) {
	x := newTrio(t, 2, Config{FrameEntries: 1}) // 4 places in a frame
	m := x.nodes[1]
	m.Open("p", "s", "/", "")
	last := uint64(0)
	x.framed = func(wire.NodeID) {
		of := x.nodes[2].mirrors[1]
		if rec := of.sessions["p"]; rec != nil && rec.lastPlace() > of.order.last() {
			t.Fatalf("the record is of place %d, and the order known to %d", rec.lastPlace(), of.order.last())
		} else if rec != nil {
			last = rec.lastPlace()
		}
	}
	for range 100 {
		m.Published(&wire.Message{Envelope: &wire.Envelope{Origin: 1, Namespace: "/"}, Seq: x.number(1, 1)})
		m.Handed(&wire.Message{Envelope: &wire.Envelope{Origin: 2, Namespace: "/"}, Seq: x.number(2, 1)})
	}
	m.Join("p", "s")
	x.pass(time.Second)
	if last < 100 {
		t.Errorf("the record is of place %d: that tests nothing", last)
	}
}
