package mesh

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func pings(n *node) uint64 { return n.mesh.Stats().FramesOut[wire.KindPing] }

// A link with something to say four times a second needs no PING, and one without says it
// at least every half second, and some.
func TestOnlyAQuietLinkSaysPing(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		before := pings(x) + pings(y)
		for range 50 {
			x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 1), false)
			y.link(1).Send(wire.AppendNumber(nil, wire.KindIntAck, 1), false)
			pass(200 * time.Millisecond)
		}
		if n := pings(x) + pings(y) - before; n > 0 {
			t.Errorf("%d PINGs on a link that is not quiet", n)
		}
		before = pings(x) + pings(y)
		for range 40 {
			heard := x.link(2).in.bytes.Load()
			pass(510 * time.Millisecond)
			if x.link(2).in.bytes.Load() == heard {
				t.Fatal("nothing was heard for half a second")
			}
		}
		if n := pings(x) + pings(y) - before; n < 40 {
			t.Errorf("%d PINGs on a link that is quiet for 20 s", n)
		}
		linked(t, x, y)
	})
}

// Whoever beats instead of the mesh need not do it for ever.
func TestBeatsGoOnWhenOthersStopToBeat(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		for range 8 {
			x.mesh.Beat()
			pass(250 * time.Millisecond)
		}
		b.net.Cut(x.host, y.host)
		pass(4 * time.Second)
		if x.link(2) != nil {
			t.Error("a silent link lives after 4 s")
		}
	})
}
