package port

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// evictAfter is how long a connection may hold its slot when others want it. An
// honest handshake is over after one round trip, so under pressure a silent
// connection gives way long before its deadline, and 1,000 of them do not make
// a new node wait.
const evictAfter = 500 * time.Millisecond

// slot is the place of one connection between accept and hand-over.
type slot struct {
	conn    net.Conn
	from    netip.Prefix // see site
	known   bool         // from the address of a known member
	since   time.Time
	settled bool // authenticated: not evicted any more
}

// limits of a gate, counted in connections.
type limits struct {
	all      int // in handshake at one time
	unknown  int // of these, from addresses of no member; the rest is the reserve
	perAddr  int // from one site
	perKnown int // from one site of a known member: several nodes may share it
}

// gate hands out slots. There are few (256 by default), so counting is a walk
// over all of them: no index has to be kept true.
type gate struct {
	limits
	mu     sync.Mutex
	slots  []*slot // oldest first
	closed bool
}

// enter asks for a slot. It gives the slot, or nil and why not. When the new
// one takes the place of an older one, that one's connection is closed.
func (g *gate) enter(conn net.Conn, from netip.Addr, known bool, now time.Time) (*slot, reason) {
	s := &slot{conn: conn, from: site(from), known: known, since: now}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, busy
	}
	if full, why := g.full(s); full != nil && !g.evict(full, now) {
		return nil, why
	}
	g.slots = append(g.slots, s)
	return s, 0
}

// full tells which slots stand against s: nil when there is room.
func (g *gate) full(s *slot) (among func(*slot) bool, why reason) {
	same := func(o *slot) bool { return o.from == s.from }
	unknown := func(o *slot) bool { return !o.known }
	perAddr := g.perAddr
	if s.known {
		perAddr = g.perKnown
	}
	switch {
	case g.count(same) >= perAddr:
		return same, busyAddr
	case len(g.slots) >= g.all, !s.known && g.count(unknown) >= g.unknown:
		return unknown, busy
	}
	return nil, 0
}

func (g *gate) count(among func(*slot) bool) (n int) {
	for _, s := range g.slots {
		if among(s) {
			n++
		}
	}
	return n
}

// evict closes the oldest of the given connections if its time is up.
func (g *gate) evict(among func(*slot) bool, now time.Time) bool {
	i := slices.IndexFunc(g.slots, func(s *slot) bool { return !s.settled && among(s) })
	if i < 0 || now.Sub(g.slots[i].since) < evictAfter {
		return false
	}
	g.slots[i].conn.Close()
	g.slots = slices.Delete(g.slots, i, i+1)
	return true
}

// settle keeps s from being evicted. It is false when that already happened.
func (g *gate) settle(s *slot) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.settled = true
	return slices.Contains(g.slots, s)
}

// leave gives the slot back. It is false when s had lost it before.
func (g *gate) leave(s *slot) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.slots, s)
	if i < 0 {
		return false
	}
	g.slots = slices.Delete(g.slots, i, i+1)
	return true
}

// close ends all handshakes and lets nobody in any more. A settled connection
// may have its next owner already.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, s := range g.slots {
		if !s.settled {
			s.conn.Close()
		}
	}
}

func (g *gate) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.slots)
}
