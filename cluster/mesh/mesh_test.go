package mesh

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func TestFramesArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		const count = 10_000
		for i := range uint64(count) {
			if err := x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, i), true); err != nil {
				t.Fatal(err)
			}
		}
		pass(5 * time.Second)
		got := y.got(1)
		if len(got) != count {
			t.Fatalf("got %d frames, want %d", len(got), count)
		}
		for i, v := range got {
			if v != uint64(i) {
				t.Fatalf("frame %d is %d", i, v)
			}
		}
	})
}

func TestSilentPeerIsNoticedAfterThreeSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		linked(t, x, y)
		b.net.Cut(y.host, x.host) // one way: x hears nothing, y still does
		pass(2900 * time.Millisecond)
		linked(t, x, y)
		pass(600 * time.Millisecond)
		if x.link(2) != nil {
			t.Error("x still takes the silent link for alive")
		}
		pass(3 * time.Second)
		if y.link(1) != nil {
			t.Error("y still takes the link for alive")
		}
		b.net.Heal(y.host, x.host)
		pass(5 * time.Second)
		linked(t, x, y)
	})
}

func TestKilledPeerIsNoticedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		y.host.Kill()
		pass(5 * time.Millisecond)
		if x.link(2) != nil {
			t.Error("the link of a killed node is alive after 5 ms")
		}
	})
}

func TestLeavingSaysGoodbyeAfterWhatIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 7), false)
		x.stop()
		<-x.done
		pass(100 * time.Millisecond)
		if got := y.got(1); len(got) != 1 || got[0] != 7 {
			t.Errorf("got %v before the goodbye, want 7", got)
		}
		if last := y.log[len(y.log)-1]; last != "down 1: peer says: node is leaving" {
			t.Errorf("last event %q", last)
		}
	})
}

func TestBrokenLinkIsDialledAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(time.Second)
		x.host.Reset(y.host)
		pass(200 * time.Millisecond)
		linked(t, x, y)
		if len(x.log) != 3 {
			t.Errorf("log %v, want up, down, up", x.log)
		}
	})
}

func TestAnotherNodeAtTheAddressIsNoLink(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		stale := y.peer()
		stale.ID = 9
		x.mesh.SetPeers([]Peer{stale})
		pass(10 * time.Second)
		for _, line := range x.log {
			if line == "up 9" || line == "up 2" {
				t.Errorf("log %v", x.log)
			}
		}
	})
}

func TestHelloMustMatchTheProvenIdentity(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		y.host.SetNode("n3@" + wire.NodeID(3).String()) // what y's certificate would say
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(3 * time.Second)
		if len(x.log)+len(y.log) != 0 {
			t.Errorf("linked: %v, %v", x.log, y.log)
		}
	})
}

func TestUnwantedPeerIsNotDialledButItsLinkIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.mesh.SetPeers(nil) // gossip says it is dead
		pass(10 * time.Second)
		linked(t, x, y)
		x.host.Reset(y.host)
		pass(10 * time.Second)
		if x.link(2) != nil {
			t.Error("dialled again")
		}
		if n := len(x.mesh.peers); n != 0 {
			t.Errorf("%d peers remembered", n)
		}
	})
}

func TestRoundTripIsMeasured(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		b.net.SetDelay(x.host, y.host, 30*time.Millisecond)
		b.net.SetDelay(y.host, x.host, 20*time.Millisecond)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(3 * time.Second)
		if got := x.link(2).RTT(); got < 50*time.Millisecond || got > 52*time.Millisecond {
			t.Errorf("RTT %v, want 50 ms", got)
		}
	})
}
