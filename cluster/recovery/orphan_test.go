package recovery

import (
	"testing"

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
