package gossip

import (
	"net/netip"
	"sync"

	"github.com/meshrt/meshrt/wire"
)

// maxLearned limits the addresses that wait for the rejoin loop to see them.
// More are dropped and counted; peers repeat what they say.
const maxLearned = 1024

// learned holds what Learn and Meet were given until the rejoin loop takes it.
type learned struct {
	mu    sync.Mutex
	addrs map[netip.AddrPort]bool // true: join it whoever is believed to be there
}

// add tells whether there was room for a.
func (l *learned) add(a netip.AddrPort, ask bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addrs == nil {
		l.addrs = make(map[netip.AddrPort]bool)
	}
	before, known := l.addrs[a]
	if !known && len(l.addrs) >= maxLearned {
		return false
	}
	l.addrs[a] = before || ask
	return true
}

func (l *learned) take() map[netip.AddrPort]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	as := l.addrs
	l.addrs = nil
	return as
}

// Learn is told where members are said to be, as ip:port, for instance by the
// other end of a link. The rejoin loop tries those that are nobody's at once, so
// that the nodes of a cluster know each other after a round trip. It never
// blocks and may be called at any time.
func (g *Gossip) Learn(addrs ...string) {
	for _, a := range addrs {
		g.learn(a, false)
	}
	signal(g.poked)
}

// Meet is told of one node and its address, for instance by its HELLO. Unless it
// is a member, it is joined at once, also when the address is held to be
// another's: a node that was started again is so known before its earlier run is
// declared dead. It never blocks and may be called at any time.
func (g *Gossip) Meet(id wire.NodeID, addr string) {
	if id == g.cfg.ID || g.table.has(id) {
		return
	}
	g.learn(addr, true)
	signal(g.poked)
}

func (g *Gossip) learn(addr string, ask bool) {
	a, err := netip.ParseAddrPort(addr)
	a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	if err != nil || a.Port() == 0 || !g.cfg.Net.Allows(a.Addr()) || !g.learned.add(a, ask) {
		g.count.learnDropped.Add(1)
	}
}
