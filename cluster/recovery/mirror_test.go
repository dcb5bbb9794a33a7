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
