package mesh

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func TestBothDialAndOneLinkStays(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(10 * time.Second)
		linked(t, x, y)
		if len(x.log) != 1 || len(y.log) != 1 {
			t.Errorf("more than one link: %v, %v", x.log, y.log)
		}
		if l := y.link(1); l.dialler != 1 {
			t.Errorf("the link of the higher id stays")
		}
	})
}

// TestLinkIsUpInTwoRoundTrips: nothing in the handshake waits for a timer.
func TestLinkIsUpInTwoRoundTrips(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		for _, p := range [][2]*node{{x, y}, {y, x}} {
			b.net.SetDelay(p[0].host, p[1].host, 10*time.Millisecond)
		}
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(41 * time.Millisecond)
		linked(t, x, y)
	})
}

func TestOnlyOneSideDials(t *testing.T) {
	for _, dialler := range []int{0, 1} {
		bubble(t, func(t *testing.T, b *lab) {
			n := []*node{b.start(1, nil), b.start(2, nil)}
			n[dialler].mesh.SetPeers([]Peer{n[1-dialler].peer()})
			pass(time.Second)
			linked(t, n[0], n[1])
		})
	}
}

// TestTheHigherIDWaitsWhileLinksComeUp: where many nodes meet, the others need longer
// than half a second to dial one of them all, and a second handshake with each helps nobody.
func TestTheHigherIDWaitsWhileLinksComeUp(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		dials := &dialCount{}
		last := b.start(9, func(c *Config) { dials.Network, c.Net = c.Net, dials })
		var others []*node
		var all []Peer
		for id := range wire.NodeID(5) {
			others = append(others, b.start(id+1, nil))
			all = append(all, others[id].peer())
		}
		last.mesh.SetPeers(all)
		for _, o := range others {
			o.mesh.SetPeers([]Peer{last.peer()})
			pass(400 * time.Millisecond)
		}
		for _, o := range others {
			linked(t, last, o)
		}
		if n := dials.all.Load(); n != 0 {
			t.Errorf("dialled %d of those that dialled it", n)
		}
	})
}

// TestTheHigherIDDialsInTheEnd: links that come up are no reason to wait for ever.
func TestTheHigherIDDialsInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		last, mute := b.start(99, nil), b.start(1, nil)
		last.mesh.SetPeers([]Peer{mute.peer()})
		for id := range wire.NodeID(20) {
			b.start(id+10, nil).mesh.SetPeers([]Peer{last.peer()})
			pass(200 * time.Millisecond)
		}
		linked(t, last, mute)
	})
}

// dialCount counts dials and how many are under way.
type dialCount struct {
	Network
	all, now, most atomic.Int32
}

func (d *dialCount) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	d.all.Add(1)
	d.most.Store(max(d.most.Load(), d.now.Add(1)))
	defer d.now.Add(-1)
	return d.Network.DialLink(ctx, addr)
}

// TestFewDialsAtATime: and those that answer do not wait for those that do not.
func TestFewDialsAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		dials := &dialCount{}
		x := b.start(1, func(c *Config) { dials.Network, c.Net = c.Net, dials })
		var all []Peer
		for id := range wire.NodeID(20) {
			dead := b.start(id+2, nil)
			b.net.Cut(x.host, dead.host)
			all = append(all, dead.peer())
		}
		x.mesh.SetPeers(all)
		pass(time.Minute)
		if n := dials.most.Load(); n != freshDials+failingDials {
			t.Errorf("%d dials at a time, want %d", n, freshDials+failingDials)
		}
		for range 10 { // more than there are turns
			live := b.start(wire.NodeID(100+len(all)), nil)
			b.net.SetDelay(x.host, live.host, 10*time.Millisecond)
			all = append(all, live.peer())
			x.mesh.SetPeers(all)
			pass(50 * time.Millisecond)
			linked(t, x, live)
		}
	})
}

func TestCrossingDialsAgreeOnOneLink(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		// The handshake takes longer than the higher id is polite for.
		b.net.SetDelay(x.host, y.host, 300*time.Millisecond)
		b.net.SetDelay(y.host, x.host, 300*time.Millisecond)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(20 * time.Second)
		linked(t, x, y)
		l := x.link(2)
		if l.dialler != 1 {
			t.Error("the link that the higher id dialled stays")
		}
		pass(10 * time.Second)
		if x.link(2) != l {
			t.Error("the link does not stay")
		}
		for _, n := range []*node{x, y} {
			for _, line := range n.log {
				if line[:2] != "up" && line[:4] != "down" {
					t.Errorf("log %v", n.log)
				}
			}
		}
	})
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000} {
		if got := backoffAt(i); got != want*time.Millisecond {
			t.Errorf("backoffAt(%d) = %v, want %v", i, got, want*time.Millisecond)
		}
	}
	if got := backoffAt(1 << 40); got != backoffMax {
		t.Errorf("after very many attempts: %v", got)
	}
	b := backoff{attempts: 20}
	for range 1000 {
		if d := b.next(); d < backoffMax/2 || d > backoffMax {
			t.Fatalf("pause %v", d)
		}
	}
}

// TestEndlessRefusalsAreDialledSlowly: two nodes that end each other's links for
// a reason must not make thousands of them.
func TestEndlessRefusalsAreDialledSlowly(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		for range 60 {
			pass(time.Second)
			if l := x.link(2); l != nil {
				l.Send(wire.AppendNumber(nil, wire.KindPeers, 1), false) // which y's handler refuses
			}
		}
		if got := x.mesh.Stats().Up; got > 60 {
			t.Errorf("%d links in a minute", got)
		}
	})
}
