package recovery

import "github.com/meshrt/meshrt/wire"

// mirror is what this node keeps of another one.
type mirror struct {
	gen      uint64                         // highest generation of buddies that this node is one of; 0 it may lack something
	met      map[wire.NodeID]wire.Frontiers // see peer
	state    State
	log      history
	order    order
	sessions map[PID]*Record
	held     map[PID]hold
	moved    map[PID]Claim // who else has a session of which the owner has not said that it has ended: what he says of before is late
	closed   bool          // since there was a link
}

// hold is a session of a dead node that somebody has claimed here. He may die before it
// is mirrored elsewhere, and then others may claim it.
type hold struct {
	to      wire.NodeID
	granted Granted
}

// keep takes a part of what another node mirrors here.
func (m *Machine) keep(from wire.NodeID, f Mirror) {
	x := m.mirrors[from]
	switch {
	case x == nil && f.Reset && m.living() >= m.cfg.Mirrors:
		m.stats.Full++
		m.send(from, Mirrored{Epoch: f.Epoch, Full: true})
		return
	case f.Reset:
		x = m.newMirror(f)
		m.mirrors[from] = x
	case x == nil || !x.state.has(f.From) && f.Base == nil:
		m.send(from, Mirrored{Epoch: f.Epoch, Lost: true})
		return
	}
	m.store(x, f)
	m.send(from, Mirrored{Epoch: f.Epoch, State: x.state})
}

// newMirror begins with the first part.
func (m *Machine) newMirror(f Mirror) *mirror {
	x := &mirror{sessions: map[PID]*Record{}, held: map[PID]hold{}, moved: map[PID]Claim{}, order: newOrder(), state: f.From}
	for k, d := range f.Dropped {
		s := &x.log.streams[k]
		s.head, s.dropped, s.droppedAt = d.Seq, d.Seq, m.awake()-d.Age
	}
	return x
}

// store adds a part that x lacks nothing before.
func (m *Machine) store(x *mirror, f Mirror) {
	if f.Base != nil && f.From.D >= x.order.last() {
		x.order = orderFrom(f.Base.clone(), m.now-f.BaseAge, f.From.D+1)
		x.state.D = f.From.D
	}
	if f.Met != nil {
		x.met = f.Met
	}
	for _, e := range f.Entries {
		x.log.add(e.Message, m.awake()-e.Age)
	}
	x.log.trim(m.awake()-m.gone(), m.cfg.LogBytes)
	for i, e := range f.Order {
		if f.From.D+uint64(i)+1 > x.order.last() {
			x.order.add(e.Ref, m.now-e.Age)
		}
	}
	if f.To.Version > x.state.Version {
		for i := range f.Sessions {
			x.save(&f.Sessions[i])
		}
	}
	x.state = x.state.most(f.To) // it may have had some before
}

func (s State) most(other State) State {
	s.Log = most(s.Log, other.Log)
	s.D, s.Version = max(s.D, other.D), max(s.Version, other.Version)
	return s
}

func most(f, g wire.Frontiers) wire.Frontiers {
	for k := range f {
		f[k] = max(f[k], g[k])
	}
	return f
}

func (x *mirror) save(s *Saved) {
	if !s.Ended && s.Claim.Less(x.moved[s.PID]) {
		return
	}
	delete(x.moved, s.PID)
	if h, held := x.held[s.PID]; held && (s.Ended || h.granted.Record.Claim.Less(s.Claim)) {
		delete(x.held, s.PID) // it was taken for dead, and is back: for whom it was held then has nothing to do with what comes of it now
	}
	if s.Ended {
		delete(x.sessions, s.PID)
		return
	}
	rec := s.Record.clone()
	x.sessions[s.PID] = &rec
}

// closeStream: from now on this node may speak for a dead one, and says so to those who have asked.
func (m *Machine) closeStream(id wire.NodeID) {
	if x := m.mirrors[id]; x != nil {
		x.closed = true
	}
	p := m.peers[id]
	for _, to := range sorted(p.asked) {
		m.tellTail(to, id, p.asked[to])
	}
	p.asked = nil
}

// reopen: the node is back.
func (m *Machine) reopen(id wire.NodeID) {
	if x := m.mirrors[id]; x != nil && x.closed {
		x.closed = false
		m.send(id, Reopened{x.log.heads()})
	}
}

// closed tells whether this node may speak for id.
func (m *Machine) closed(id wire.NodeID) bool {
	p := m.peers[id]
	return p != nil && p.down || m.breaks(BreakClose)
}

// speaksFor tells whether this node mirrors id, as far as it knows: one that has got everything, and that id has not
// replaced since.
func (m *Machine) speaksFor(id wire.NodeID) bool {
	x, p := m.mirrors[id], m.peers[id]
	return x != nil && x.gen > 0 && (p == nil || x.gen >= p.gen || m.breaks(BreakGen))
}

// Kept is how far this node is with what it mirrors of another one, and whether it may speak for it.
func (m *Machine) Kept(of wire.NodeID) (s State, whole bool) {
	x := m.mirrors[of]
	if x == nil {
		return s, false
	}
	return State{x.log.heads(), x.order.last(), x.state.Version}, m.speaksFor(of)
}

// living are how many nodes are mirrored here that are not dead.
func (m *Machine) living() (n int) {
	for id := range m.mirrors {
		if !m.closed(id) {
			n++
		}
	}
	return n
}

// evict forgets those that have died first, when there are too many dead ones.
func (m *Machine) evict() {
	for len(m.mirrors)-m.living() > m.cfg.Mirrors {
		var first wire.NodeID
		for _, id := range sorted(m.mirrors) {
			if m.closed(id) && (first == 0 || m.peers[id].since < m.peers[first].since) {
				first = id
			}
		}
		delete(m.mirrors, first)
		m.stats.Evicted++
	}
}
