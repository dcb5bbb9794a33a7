package node_test

import (
	"testing"
	"time"
)

// Who recovers is there all the time: after a lost connection, and after the death of its node.
func TestRecoveryIsNoLeaveAndJoin(t *testing.T) {
	togetherWith(t, 3, recovering, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		w, c, gone := connect(t, n[1], "/"), connect(t, n[0], "/"), connect(t, n[0], "/")
		c.join("lobby")
		gone.join("lobby")
		w.emit(1, "presence", "lobby")
		time.Sleep(100 * time.Millisecond)
		w.expectTold([]string{"list #0 #1"}, c, gone)
		c.session.Lost("ping timeout")
		time.Sleep(1500 * time.Millisecond)
		c = recovered(t, n[0], c)
		time.Sleep(5 * time.Second)
		c.session.Lost("transport close") // it comes to another node while there is the old one
		c = recovered(t, n[2], c)
		time.Sleep(5 * time.Second)
		c.session.Lost("transport close")
		c = recovered(t, n[0], c)
		time.Sleep(5 * time.Second)
		w.expectTold(nil)
		b.kill(0)
		x := recovered(t, n[2], c) // waits for the end of the old node
		time.Sleep(10 * time.Second)
		w.expectTold([]string{"-#1 node_down"}, c, gone)
		lists(t, n[2], "lobby", []string{"#0"}, c)
		x.session.Lost("transport close")
		time.Sleep(5 * time.Second)
		x = recovered(t, n[1], x)
		time.Sleep(time.Second)
		w.expectTold([]string{"-#0 transport close", "+#0"}, c)
		x.session.Close("client namespace disconnect")
		w.expectTold([]string{"-#0 client namespace disconnect"}, c)
	})
}

// G7: a node that stops in order leaves no ghost, and nobody is told twice.
func TestNodeThatStopsTakesItsMembersAlong(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		w, c, ann := connect(t, b.nodes[0], "/"), connect(t, b.nodes[2], "/"), connectAs(t, b.nodes[2], "ann")
		w.emit(1, "presence", "lobby")
		time.Sleep(100 * time.Millisecond)
		c.join("lobby")
		ann.join("lobby")
		time.Sleep(100 * time.Millisecond)
		w.expectTold([]string{"list", "+#0", "+ann"}, c)
		c.session.Close("server shutting down")
		ann.session.Close("server shutting down")
		b.stops[2]()
		connectAs(t, b.nodes[1], "ann").join("lobby")
		time.Sleep(10 * time.Second)
		w.expectTold([]string{"-#0 server shutting down"}, c)
		lists(t, b.nodes[1], "lobby", []string{"ann"})
	})
}
