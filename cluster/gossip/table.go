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
	sorted []Member                       // the last answer of members; nil after a change
	news   bool                           // something changed since changed was asked
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
	t.touch()
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
	t.touch()
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
		t.touch()
		t.holder[e.at] = id
	}
}

// close empties the table for good.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.touch()
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

// members are those who hold their address, sorted by ID. The slice is the caller's;
// it is asked for at every change and for every connection that comes in, so the work
// is done once a change.
func (t *table) members() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sorted == nil {
		t.sorted = t.listLocked(true)
	}
	return slices.Clone(t.sorted)
}

// challengers are those whose address another one holds.
func (t *table) challengers() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.live) == len(t.holder) {
		return nil
	}
	return t.listLocked(false)
}

func (t *table) listLocked(holding bool) []Member {
	var ms []Member
	for id, e := range t.live {
		if (t.holder[e.at] == id) == holding {
			ms = append(ms, e.Member)
		}
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}

func (t *table) touch() { t.sorted, t.news = nil, true }

// changed tells whether anything did since it was last asked: where many nodes meet,
// most of what wakes the rejoin loop is about addresses that are known already.
func (t *table) changed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.news
	t.news = false
	return news
}

// has tells whether id is among the members.
func (t *table) has(id wire.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.live[id]
	return ok && t.holder[e.at] == id
}

// count is the number of members.
func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.holder)
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
