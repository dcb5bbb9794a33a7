package gossip

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// maxMembers limits how many nodes are believed to be alive. More are refused.
const maxMembers = 4096

// table is who memberlist holds to be alive, other than this node.
//
// memberlist may hold two for one address: a node that was started again and
// its earlier run, until that is declared dead. Only one can be there: the one
// that came first, until a later one has answered a ping at that address.
type table struct {
	mu     sync.Mutex
	live   map[wire.NodeID]entry
	holder map[netip.AddrPort]wire.NodeID // who is at an address
	closed bool                           // Run has ended; memberlist's goroutines outlive it
}

type entry struct {
	Member
	at netip.AddrPort
}

func newTable() *table {
	return &table{live: make(map[wire.NodeID]entry), holder: make(map[netip.AddrPort]wire.NodeID)}
}

// set takes a member in, or replaces what was known of it.
func (t *table) set(m Member, at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	old, known := t.live[m.ID]
	m.Since = old.Since
	if !known {
		m.Since = time.Now()
	} else if old.at != at {
		t.release(old)
	}
	t.live[m.ID] = entry{m, at}
	if _, taken := t.holder[at]; !taken {
		t.holder[at] = m.ID
	}
}

func (t *table) remove(id wire.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.live[id]; ok {
		t.release(e)
	}
}

// release forgets e and gives its address to another that is said to be there.
func (t *table) release(e entry) {
	delete(t.live, e.ID)
	if t.holder[e.at] != e.ID {
		return
	}
	delete(t.holder, e.at)
	for id, other := range t.live {
		if other.at == e.at {
			t.holder[e.at] = id
			return
		}
	}
}

// settle gives id its address: it has answered there.
func (t *table) settle(id wire.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.live[id]; ok {
		t.holder[e.at] = id
	}
}

// close empties the table for good.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	clear(t.live)
	clear(t.holder)
}

// full tells whether id, as a new member, would be one too many.
func (t *table) full(id wire.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.live[id]
	return !known && len(t.live) >= maxMembers
}

// members are those who hold their address, sorted by ID.
func (t *table) members() []Member { return t.list(true) }

// challengers are those whose address another one holds.
func (t *table) challengers() []Member { return t.list(false) }

func (t *table) list(holding bool) []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ms []Member
	for id, e := range t.live {
		if (t.holder[e.at] == id) == holding {
			ms = append(ms, e.Member)
		}
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}

// addrs are the addresses where somebody is.
func (t *table) addrs() []netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	as := make([]netip.AddrPort, 0, len(t.holder))
	for at := range t.holder {
		as = append(as, at)
	}
	return as
}
