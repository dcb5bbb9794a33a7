package recovery

import (
	"cmp"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// proposal is a change of buddies on its way. First the new ones learn that they are, so that somebody can speak for
// this node whatever happens; then all that are linked, so that nobody listens to a buddy of before; then
// it takes effect. Meanwhile old and new ones must have what is acknowledged.
type proposal struct {
	set     []wire.NodeID
	waiting map[wire.NodeID]bool
	told    bool // all, not the new ones alone
}

// choose sees to it that the right nodes mirror this one. A new one gets everything first.
func (m *Machine) choose() {
	want := m.best()
	for _, id := range want {
		if m.buddies[id] == nil {
			m.startBuddy(id)
		}
	}
	for _, id := range sorted(m.buddies) {
		if !slices.Contains(want, id) && !m.relied(id) {
			m.setBuddy(id, nil)
			m.send(id, Drop{})
		}
	}
	if m.proposal != nil && slices.ContainsFunc(m.proposal.set, func(id wire.NodeID) bool { return !m.peers[id].able() }) {
		m.proposal, m.unsure = nil, true // it may speak for this node, but gets nothing more
	}
	if m.proposal != nil || slices.Equal(want, m.set) && m.members(want) && !m.unsure || !m.ready(want) {
		return
	}
	m.gen++
	m.proposal = &proposal{set: want}
	m.propose(want)
}

// propose tells some peers of the proposal.
func (m *Machine) propose(to []wire.NodeID) {
	p := m.proposal
	p.waiting = map[wire.NodeID]bool{}
	for _, id := range to {
		p.waiting[id] = true
		m.send(id, Buddies{m.gen, p.set})
	}
	m.proposed()
}

// best are the nodes that should mirror this one: those that rank highest for it among the
// linked ones. One without a link stays until it is dead.
func (m *Machine) best() []wire.NodeID {
	var ids []wire.NodeID
	for id, p := range m.peers {
		if p.draining || !p.able() || (!p.linked || m.now < p.full) && !slices.Contains(m.set, id) {
			continue
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b wire.NodeID) int {
		return cmp.Or(cmp.Compare(rank(m.id, b), rank(m.id, a)), cmp.Compare(a, b))
	})
	ids = ids[:min(len(ids), m.cfg.Copies-1)]
	slices.Sort(ids)
	return ids
}

// rank is the rendezvous hash of two nodes (splitmix64).
func rank(of, at wire.NodeID) uint64 {
	x := uint64(of)*0x9e3779b97f4a7c15 + uint64(at)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (m *Machine) relied(id wire.NodeID) bool {
	return slices.Contains(m.set, id) && m.peers[id].able() || m.proposal != nil && slices.Contains(m.proposal.set, id)
}

func (m *Machine) ready(want []wire.NodeID) bool {
	return !slices.ContainsFunc(want, func(id wire.NodeID) bool {
		b := m.buddies[id]
		return b == nil || !b.ready && !m.breaks(BreakHandover)
	})
}

// members tells whether all these have been of the set since they got everything.
func (m *Machine) members(set []wire.NodeID) bool {
	return !slices.ContainsFunc(set, func(id wire.NodeID) bool { b := m.buddies[id]; return b == nil || !b.member })
}

// startBuddy begins to mirror to a node, with everything.
func (m *Machine) startBuddy(id wire.NodeID) {
	m.nextID++
	b := &buddy{id: id, epoch: m.nextID, fresh: true, sent: State{Version: m.version}}
	m.touchAll()
	b.acked, b.mark = b.sent, m.whole()
	m.setBuddy(id, b)
	m.feed(b, true)
}

func (m *Machine) linkedBuddy(id wire.NodeID) {
	if m.draining {
		m.send(id, Draining{})
	}
	switch p := m.proposal; {
	case p != nil && (p.told || slices.Contains(p.set, id)):
		p.waiting[id] = true
		m.send(id, Buddies{m.gen, p.set})
	case p == nil && m.gen > 0:
		set := slices.DeleteFunc(slices.Clone(m.set), func(id wire.NodeID) bool { return !m.members([]wire.NodeID{id}) })
		m.send(id, Buddies{m.gen, set})
	}
	b := m.buddies[id]
	if b == nil {
		m.send(id, Drop{}) // it may have been one
		return
	}
	m.feed(b, true)
}

// buddiesKnown: a peer knows the proposal.
func (m *Machine) buddiesKnown(from wire.NodeID, gen uint64) {
	if gen == m.gen && m.proposal != nil {
		delete(m.proposal.waiting, from)
		m.proposed()
	}
}

// proposalLost: a peer is not linked any more. A new buddy has to know, the others will hear when they are back.
func (m *Machine) proposalLost(id wire.NodeID) {
	if p := m.proposal; p != nil && (p.told || !slices.Contains(p.set, id)) {
		delete(p.waiting, id)
		m.proposed()
	}
}

// proposed goes on when all know that must.
func (m *Machine) proposed() {
	p := m.proposal
	switch {
	case len(p.waiting) > 0:
		return
	case !p.told:
		p.told = true
		m.propose(m.linked())
		return
	}
	m.set, m.proposal, m.unsure = p.set, nil, false
	for _, id := range m.set {
		if b := m.buddies[id]; b != nil {
			b.member = b.ready
		}
	}
	m.confirmed()
	m.choose()
	m.progress()
}

// Changing are the buddies to be, while all that are linked are told of them.
func (m *Machine) Changing() []wire.NodeID {
	if m.proposal == nil || !m.proposal.told {
		return nil
	}
	return m.proposal.set
}

// takeBuddies: a peer tells who mirrors it. A mirror that is named has everything.
func (m *Machine) takeBuddies(from wire.NodeID, f Buddies) {
	p := m.peer(from)
	p.gen = max(p.gen, f.Gen)
	if x := m.mirrors[from]; x != nil && slices.Contains(f.Set, m.id) {
		x.gen = max(x.gen, f.Gen)
	}
	m.send(from, BuddiesKnown{f.Gen})
}

// Drain says that this node is about to leave: it mirrors nobody anew.
func (m *Machine) Drain() {
	m.draining = true
	for _, id := range m.linked() {
		m.send(id, Draining{})
	}
}

// Drained tells whether the node may leave: buddies have all that it has, those that it
// mirrors have found others, if there are any, and somebody else speaks for those that have died.
func (m *Machine) Drained() bool {
	have, ok := m.everywhere()
	if !ok || !have.has(m.whole()) || m.proposal != nil {
		return false
	}
	for id := range m.mirrors {
		if p := m.peers[id]; p != nil && !p.down || m.owesOn(id) {
			return false
		}
	}
	return true
}
