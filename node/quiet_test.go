package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// chatter publishes to rooms of others for some time, so that the order goes on.
func chatter(t *testing.T, n *node.Node, d time.Duration) {
	t.Helper()
	for range d / time.Second {
		emit(t, n.In("/").To("other"), "chatter", 0, 1)
		time.Sleep(time.Second)
	}
}

// A client that got nothing for longer than messages are kept, or never anything, is recovered, and gets
// what came since: on its node, and on another one when that is dead.
func TestQuietClientIsRecovered(t *testing.T) {
	for _, ends := range []string{"the connection", "the node"} {
		t.Run(ends, func(t *testing.T) {
			togetherWith(t, 3, recovering, root, func(t *testing.T, b *lab) {
				noise := connect(t, b.nodes[0], "/")
				noise.join("other")
				var quiet []*client
				for i := range 150 { // more than a look
					c := connect(t, b.nodes[0], "/")
					c.join("room")
					if i%2 > 0 {
						emit(t, b.nodes[0].In("/").To(c.session.ID()), "e", 0, 1)
						expect(t, c, `["e",0]`)
					}
					quiet = append(quiet, c)
				}
				chatter(t, b.nodes[1], 3*window)
				to, want := b.nodes[0], []string{"connect"}
				if ends == "the node" {
					b.kill(0)
					to = b.nodes[2]
				} else {
					for _, c := range quiet {
						c.session.Lost("transport close")
					}
				}
				emit(t, b.nodes[1].In("/").To("room"), "missed", 0, 3)
				want = append(want, numbered("missed", 0, 3)...)
				chatter(t, b.nodes[1], window-10*time.Second)
				for _, c := range quiet {
					expect(t, recovered(t, to, c), want...)
				}
			})
		})
	}
}

// What a Sink has not taken is missing, though its session is quiet.
func TestWhoDidNotTakeAMessageIsNotTakenForQuiet(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("room")
		emit(t, n.In("/").To("room"), "e", 0, 1)
		expect(t, a, `["e",0]`)
		a.full = true // and the protocol does not say so yet
		emit(t, n.In("/").To("room"), "e", 1, 2)
		chatter(t, n, window/2)
		a.session.Lost("transport close")
		b := back(t, n, a)
		got := b.take()
		if b.session.Recovered() != slices.Equal(got, []string{"connect", `["e",1]`}) {
			t.Errorf("recovered is %v, got %q", b.session.Recovered(), got)
		}
	})
}

// Sessions that come and go while all are looked at miss no look.
func TestEveryQuietSessionIsLookedAt(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		var stay []*client
		noise := connect(t, n, "/")
		noise.join("other")
		for range 300 {
			stay = append(stay, connect(t, n, "/"))
		}
		for i := range 4 * int(window/time.Second) {
			c := connect(t, n, "/")
			emit(t, n.In("/").To("other"), fmt.Sprint("e", i), 0, 1)
			time.Sleep(500 * time.Millisecond)
			c.session.Close("client namespace disconnect")
			time.Sleep(500 * time.Millisecond)
		}
		for _, c := range stay {
			c.session.Lost("transport close")
		}
		for _, c := range stay {
			expect(t, recovered(t, n, c), "connect")
		}
	})
}

// A node that falls silent has said all there is to say before.
func TestClientOfASilentNodeIsRecovered(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a, noise := connect(t, n, "/"), connect(t, n, "/")
		noise.join("other")
		chatter(t, n, window/2)
		emit(t, n.In("/").To(a.session.ID()), "e", 0, 1)
		expect(t, a, `["e",0]`)
		chatter(t, n, time.Second)
		time.Sleep(3 * window)
		a.session.Lost("transport close")
		expect(t, recovered(t, n, a), "connect")
	})
}
