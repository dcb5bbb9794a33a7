package port

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// fakeConn only remembers whether it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

// gateTest drives a gate with a clock of its own.
type gateTest struct {
	*testing.T
	gate
	now time.Time
}

func newGateTest(t *testing.T) *gateTest {
	return &gateTest{T: t, gate: gate{limits: limits{all: 8, unknown: 6, perAddr: 3, perKnown: 4}}}
}

func (g *gateTest) enter(from string, known bool, want reason) (*slot, *fakeConn) {
	g.Helper()
	c := &fakeConn{}
	s, why := g.gate.enter(c, netip.MustParseAddr(from), known, g.now)
	if why != want || (s == nil) != (want != 0) {
		g.Fatalf("enter(%s, known %v) = %v, %q; want %q", from, known, s, names[why], names[want])
	}
	return s, c
}

func TestGateCountsEachAddress(t *testing.T) {
	g := newGateTest(t)
	for range 3 {
		g.enter("10.0.0.1", false, 0)
	}
	g.enter("10.0.0.1", false, busyAddr)
	g.enter("::ffff:10.0.0.1", false, busyAddr)
	s, _ := g.enter("10.0.0.2", false, 0)
	g.enter("10.0.0.2", false, 0)
	g.enter("2001:db8::1", false, 0)
	g.leave(s)
	g.enter("2001:db8::2", false, 0)
	g.enter("2001:db8:1::1", false, busy)
}

func TestGateKeepsAReserveForKnownMembers(t *testing.T) {
	g := newGateTest(t)
	for i := range 6 {
		g.enter(fmt.Sprintf("10.0.0.%d", i), false, 0)
	}
	g.enter("10.0.1.1", false, busy)
	g.enter("10.0.2.1", true, 0)
	g.enter("10.0.2.2", true, 0)
	g.enter("10.0.2.3", true, busy)
	if got := g.len(); got != 8 {
		t.Errorf("%d slots taken, want 8", got)
	}
}

func TestGateLimitsKnownAddressesToo(t *testing.T) {
	g := newGateTest(t)
	for range 4 {
		g.enter("10.0.0.1", true, 0)
	}
	g.enter("10.0.0.1", true, busyAddr)
	g.enter("10.0.0.2", true, 0)
}

func TestGateEvictsTheOldestWhenItsTimeIsUp(t *testing.T) {
	g := newGateTest(t)
	first, a := g.enter("10.0.0.1", false, 0)
	g.now = g.now.Add(time.Millisecond)
	_, b := g.enter("10.0.0.1", false, 0)
	g.enter("10.0.0.1", false, 0)
	g.now = g.now.Add(evictAfter - 2*time.Millisecond)
	g.enter("10.0.0.1", false, busyAddr)
	g.now = g.now.Add(time.Millisecond)
	g.enter("10.0.0.1", false, 0)
	if !a.closed || b.closed {
		t.Errorf("closed: first %v, second %v", a.closed, b.closed)
	}
	if g.settle(first) || g.leave(first) {
		t.Error("the evicted one still has its slot")
	}
	if g.len() != 3 {
		t.Errorf("%d slots, want 3", g.len())
	}
}

func TestGateEvictsNeitherSettledNorKnown(t *testing.T) {
	g := newGateTest(t)
	for range 3 {
		s, _ := g.enter("10.0.0.1", false, 0)
		if !g.settle(s) {
			t.Fatal("lost its slot")
		}
	}
	for range 3 {
		g.enter("10.0.0.2", true, 0)
	}
	g.enter("10.0.0.3", false, 0)
	g.enter("10.0.0.4", false, 0)
	g.now = g.now.Add(time.Hour)
	g.enter("10.0.0.1", false, busyAddr) // all settled
	g.enter("10.0.0.5", false, 0)        // in the place of 10.0.0.3
	g.enter("10.0.0.6", true, 0)         // in the place of 10.0.0.4
	g.enter("10.0.0.7", true, busy)      // 10.0.0.5 is young
}

func TestClosedGateEndsHandshakesAndLetsNobodyIn(t *testing.T) {
	g := newGateTest(t)
	s, peer := g.enter("10.0.0.1", false, 0)
	g.settle(s)
	_, stranger := g.enter("10.0.0.1", false, 0)
	g.close()
	if !stranger.closed || peer.closed {
		t.Errorf("closed: stranger %v, peer %v", stranger.closed, peer.closed)
	}
	g.enter("10.0.0.2", false, busy)
}
