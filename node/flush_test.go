package node_test

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// What is published goes out at once, not with the next heartbeat of a link.
func TestNothingPublishedWaitsForAHeartbeat(t *testing.T) {
	together(t, 2, func(n *node.Node) { n.Namespace("/") }, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		c.join("r")
		time.Sleep(time.Second)
		c.take()
		for range 20 {
			if err := b.nodes[0].Namespace("/").To("r").Emit("e"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			if got := c.take(); len(got) != 1 {
				t.Fatalf("after 20 ms %q has come", got)
			}
			time.Sleep(11 * time.Millisecond) // so that the heartbeats are at any distance
		}
	})
}
