package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// A SYNC may take long: whatever changes meanwhile, the peer has the whole and
// nothing but the interest in the end.
func TestInterestThatChangesDuringItsSyncIsWhole(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		x := newFakeMesh(t, 2)
		c := x.cores[1]
		c.syncTopics = 1 + r.IntN(4)
		change := func() {
			topic := wire.Topic{Namespace: fmt.Sprint("/", r.IntN(2)), Room: fmt.Sprint(r.IntN(40))}
			_, on := c.own[topic]
			x.do(1, func(c *core) { c.setInterest(topic, !on) })
		}
		for range r.IntN(60) {
			change()
		}
		x.link(1, 2)
		for more := true; more; {
			for range r.IntN(4) {
				change()
			}
			for range r.IntN(3) {
				x.step(1, 2)
			}
			x.do(1, func(c *core) { more = c.open(func(wire.NodeID) bool { return true }) })
		}
		x.settle()
		p := x.cores[2].peers[1]
		if !p.synced || p.version != c.version || len(p.topics) != len(c.own) || c.openings != 0 {
			t.Fatalf("seed %d: synced %v, version %d of %d, %d topics of %d", seed, p.synced, p.version, c.version, len(p.topics), len(c.own))
		}
		for topic := range c.own {
			if _, ok := p.topics[topic]; !ok {
				t.Fatalf("seed %d: the peer does not know of %v", seed, topic)
			}
		}
		if got := c.peers[2].acked; got != c.version {
			t.Errorf("seed %d: version %d is in force, want %d", seed, got, c.version)
		}
	}
}

// Others' joins need the beginning of a SYNC only: from then on what is published
// is kept for them.
func TestJoinWaitsForTheBeginningOfASync(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.cores[2].syncTopics = 1
	for _, room := range []string{"a", "b", "c"} {
		x.join(2, room)
	}
	x.link(1, 2)
	in := x.join(1, "r")
	if *in {
		t.Fatal("in force before node 2 is heard")
	}
	x.settle()
	if p := x.cores[1].peers[2]; !*in || p.synced {
		t.Fatalf("in force: %v, the whole SYNC is there: %v", *in, p.synced)
	}
	x.publish(2, "r")
	for x.cores[2].openings > 0 {
		x.do(2, func(c *core) { c.open(func(wire.NodeID) bool { return true }) })
	}
	x.settle()
	x.sleep(lanTiming.ask)
	x.settle()
	if len(x.got[1]) != 1 {
		t.Errorf("got %d messages, want 1", len(x.got[1]))
	}
}

// What a break leaves of a SYNC is not sent on the next link.
func TestSyncBeginsAnewOnEveryLink(t *testing.T) {
	x := newFakeMesh(t, 2)
	c := x.cores[1]
	c.syncTopics = 1
	for _, room := range []string{"a", "b", "c"} {
		x.join(1, room)
	}
	for range 3 {
		x.link(1, 2)
		x.join(1, "d")
		x.settle()
		x.cut(1, 2)
	}
	if c.openings != 0 {
		t.Errorf("%d SYNCs are under way without a link", c.openings)
	}
	x.link(1, 2)
	for c.open(func(wire.NodeID) bool { return true }) {
	}
	x.do(1, func(*core) {})
	x.settle()
	if p := x.cores[2].peers[1]; !p.synced || len(p.topics) != 4 {
		t.Errorf("synced %v with %d topics, want 4", p.synced, len(p.topics))
	}
}
