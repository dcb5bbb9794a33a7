package mesh

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// stuckNet dials connections that can be made to lose all bytes in both directions, as
// one does whose packets were lost and which waits to send them again.
type stuckNet struct {
	Network
	mu    sync.Mutex
	conns []*stuckConn
}

func (n *stuckNet) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	c, err := n.Network.DialLink(ctx, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &stuckConn{Conn: c}
	n.conns = append(n.conns, s)
	return s, nil
}

func (n *stuckNet) stick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.stuck.Store(true)
	}
}

type stuckConn struct {
	net.Conn
	stuck atomic.Bool
}

func (c *stuckConn) PeerName() string { return c.Conn.(interface{ PeerName() string }).PeerName() }

func (c *stuckConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.stuck.Load() {
			return n, err
		}
	}
}

func (c *stuckConn) Write(b []byte) (int, error) {
	if c.stuck.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func startStuck(b *lab, id wire.NodeID) (*node, *stuckNet) {
	var s *stuckNet
	n := b.start(id, func(c *Config) {
		s = &stuckNet{Network: c.Net}
		c.Net = s
	})
	return n, s
}

func TestSilentLinkIsDialledAnewBeforeItIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		y := b.start(2, nil)
		x, net := startStuck(b, 1)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(time.Second)
		linked(t, x, y)
		before := x.link(2)
		net.stick()
		pass(2100 * time.Millisecond) // half of Silence, and two heartbeats
		linked(t, x, y)
		if x.link(2) == before {
			t.Fatal("the silent link is still there")
		}
		x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 7), false)
		y.link(1).Send(wire.AppendNumber(nil, wire.KindIntAck, 8), false)
		pass(time.Second)
		if got := y.got(1); len(got) != 1 || got[0] != 7 {
			t.Errorf("y got %v", got)
		}
		if got := x.got(2); len(got) != 1 || got[0] != 8 {
			t.Errorf("x got %v", got)
		}
		pass(10 * time.Second)
		for _, n := range []*node{x, y} {
			if log := strings.Join(n.log, "; "); strings.Count(log, "up") != 2 || strings.Count(log, "down") != 1 {
				t.Errorf("not one link after the other: %s", log)
			}
		}
		if n := len(net.conns); n > 1+renewDials {
			t.Errorf("%d connections", n)
		}
	})
}

func TestLinkThatIsHeardAgainIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		before := x.link(2)
		b.net.Cut(x.host, y.host)
		b.net.Cut(y.host, x.host)
		pass(900 * time.Millisecond)
		b.net.Heal(x.host, y.host)
		b.net.Heal(y.host, x.host)
		pass(5 * time.Second)
		if x.link(2) != before || before == nil {
			t.Error("the link was dialled anew")
		}
	})
}

func TestSilentPeerThatCannotBeDialledIsGivenUpInTime(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		y := b.start(2, nil)
		x, net := startStuck(b, 1)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		linked(t, x, y)
		net.stick()
		b.net.Cut(x.host, y.host)
		b.net.Cut(y.host, x.host)
		pass(3600 * time.Millisecond)
		if x.link(2) != nil || y.link(1) != nil {
			t.Error("the silent link is still there")
		}
	})
}
