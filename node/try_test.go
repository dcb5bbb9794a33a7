package node_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/meshrt/meshrt/node"
)

// What is tried waits for nobody, runs in the order of all events, and what was refused
// has left nothing.
func TestTryReceiveRefusesWhatWouldWait(t *testing.T) {
	var said notes
	var hold chan struct{}
	setup := func(n *node.Node) {
		hold = make(chan struct{})
		n.Namespace("/").On("slow", func(*node.Event) { <-hold; said.add("slow") })
		n.Namespace("/").OnInline("e", func(*node.Event) { said.add("e") })
		n.Namespace("/checked").Use(func(*node.Event) error { <-hold; return nil })
		n.Namespace("/checked").OnInline("e", func(*node.Event) { said.add("checked") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c, checked := connect(t, n, "/"), connect(t, n, "/checked")
		try := func(c *client, event string) bool { return c.session.TryReceive(&node.Event{Name: event}) }
		if !try(c, "e") || !slices.Equal(said.take(), []string{"e"}) {
			t.Error("an inline event that may run now does not")
		}
		if !try(checked, "e") { // returns, though the check waits
			t.Error("an event with a check is not received")
		}
		taken := 0
		for synctest.Wait(); taken < 100 && try(c, "slow"); synctest.Wait() {
			taken++
		}
		if before := n.Stats().Events; taken != 65 || try(c, "e") || n.Stats().Events != before {
			t.Errorf("%d events were taken, want 65, and the next neither taken nor counted", taken)
		}
		close(hold)
		synctest.Wait()
		if got := said.take(); len(got) != 66 || slices.Contains(got, "e") {
			t.Errorf("ran %q, want 65 that are slow, and checked", got)
		}
		c.session.Gone()
		if try(c, "e") {
			t.Error("an event is received when the connection is over")
		}
		c.session.Close("bye")
		checked.session.Close("bye")
	})
}
