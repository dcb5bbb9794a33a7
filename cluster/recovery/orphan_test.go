package recovery

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// TestABarrierOfADeadNodeIsNoMessageThatAnybodyLacks: how far a dead node was is told by its mirror's log. One of its barriers that came to some
// nodes only, just before it died, is no reason to refuse those who were at others when the mirror has died as well.
func TestABarrierOfADeadNodeIsNoMessageThatAnybodyLacks(t *testing.T) {
	x := newTrio(t, 3, Config{})
	x.publish(1, "r")
	x.settle()
	want := x.nodes[1].log.heads()
	for k := range want {
		x.nodes[2].Passed(Ref{Origin: 1, Stream: 0, Seq: want[0] + 1 + uint64(k)}, 99)
	}
	x.kill(1)
	x.pass(retryEvery)
	for id := 2; id <= 3; id++ {
		if got := x.nodes[wire.NodeID(id)].seen()[1]; got.Dead == 0 || got.Heads != want {
			t.Errorf("node %d says that node 1, dead for %v, was at %v, want %v", id, got.Dead, got.Heads, want)
		}
	}
}

// TestANodeIsForgottenSomeTimeAfterItsTail: one node takes another one for dead long before the others do. What that one published until then comes to
// it late, so its place is kept for as long from then on: without it, who is recovered would get all that again.
func TestANodeIsForgottenSomeTimeAfterItsTail(t *testing.T) {
	x := newTrio(t, 3, Config{})
	m := x.nodes[2]
	m.Unlinked(1)
	m.Down(1)
	x.pass(m.gone() - 5*time.Second)
	x.publish(1, "r")
	x.settle()
	x.kill(1)
	x.pass(10 * time.Second)
	if want := (Ref{1, 0, x.seq[1][0]}); !m.order.current.Has(want) {
		t.Errorf("it has no place of %v any more", want)
	}
	x.pass(m.gone())
	if m.peers[1] != nil {
		t.Error("it is not forgotten")
	}
}
