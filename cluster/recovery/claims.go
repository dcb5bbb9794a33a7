package recovery

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// tellContested tells a peer that was not there before which sessions were claimed from nodes that were
// taken for dead. It may be one of those, or was on their side of a partition.
func (m *Machine) tellContested(to wire.NodeID) {
	of := map[PID]Claim{}
	for pid := range m.contested {
		of[pid] = m.sessions[pid].rec.Claim
	}
	m.tellClaims(to, of)
}

// claimsFrame are the most claims of a frame.
const claimsFrame = 1024

func (m *Machine) tellClaims(to wire.NodeID, of map[PID]Claim) {
	if m.breaks(BreakHeal) {
		return
	}
	for pids := range slices.Chunk(sorted(of), claimsFrame) {
		f := Claims{make(map[PID]Claim, len(pids))}
		for _, pid := range pids {
			f.Of[pid] = of[pid]
		}
		m.send(to, f)
	}
}

// takeClaims compares: the lower claim loses, and its client is closed.
func (m *Machine) takeClaims(from wire.NodeID, f Claims) {
	better := map[PID]Claim{}
	for _, pid := range sorted(f.Of) {
		s := m.sessions[pid]
		switch {
		case s == nil || s.state == ended || s.state == given:
		case s.rec.Claim.Less(f.Of[pid]):
			m.End(pid)
			m.do(Close{pid, "taken over"})
		case f.Of[pid].Less(s.rec.Claim):
			better[pid] = s.rec.Claim
		}
	}
	if len(better) > 0 {
		m.send(from, Claims{better})
	}
}

// lookup tells what this node has of a session.
func (m *Machine) lookup(from wire.NodeID, f Lookup) {
	found := m.find(from, f.PID)
	found.ID = f.ID
	m.send(from, found)
}

func (m *Machine) find(from wire.NodeID, pid PID) (f Found) {
	if a := m.attempts[pid]; a != nil && a.holds() {
		return Found{Kind: FoundAlive, Claim: a.granted.Record.Claim}
	}
	if s := m.sessions[pid]; s != nil {
		switch {
		case s.state == live || s.state == lost || s.state == given && m.free(s.to, from):
			f = Found{Kind: FoundOwner, Claim: s.rec.Claim}
		case s.state == given:
			f = Found{Kind: FoundAlive, Claim: s.rec.Claim}
		}
	}
	for _, id := range sorted(m.mirrors) {
		x := m.mirrors[id]
		rec := x.sessions[pid]
		if rec == nil || !m.speaksFor(id) {
			continue
		}
		k := FoundMirror
		if h, ok := x.held[pid]; ok && !m.free(h, from) || !m.closed(id) {
			k = FoundAlive
		}
		if f.Kind == FoundNothing || f.Claim.Less(rec.Claim) {
			f = Found{Kind: k, Claim: rec.Claim, Owner: id, Gen: x.gen}
		}
	}
	return f
}

// free tells whether somebody may have what another one holds: it is the same, or that one is dead.
func (m *Machine) free(h hold, by wire.NodeID) bool {
	p := m.peers[h.to]
	return h.to == by || h.to == 0 || p != nil && p.down || p == nil && h.to != m.id || m.breaks(BreakHeld)
}

// take gives a session away: that of this node, or of a dead one that it mirrors, whichever is newer.
func (m *Machine) take(from wire.NodeID, f Take) {
	best, claim := m.bestMirrored(f.PID)
	if s := m.sessions[f.PID]; s != nil && s.state != ended && (best == 0 || !s.rec.Claim.Less(claim)) {
		if s.state != given && m.now-f.Age < s.came {
			m.send(from, Denied{f.ID, true}) // the client went on to this node, and has messages of it
			return
		}
		if a := m.attempts[f.PID]; a != nil && a.phase == mirroring {
			m.refuse(f.PID, "taken over")
		}
		m.giveOwn(from, f, s)
		return
	}
	if best == 0 {
		m.send(from, Denied{ID: f.ID})
		return
	}
	m.giveMirrored(from, f, best)
}

// bestMirrored is the dead node of which this one has a session with the highest claim, 0 none.
func (m *Machine) bestMirrored(pid PID) (best wire.NodeID, claim Claim) {
	for _, id := range sorted(m.mirrors) {
		rec := m.mirrors[id].sessions[pid]
		if rec != nil && m.speaksFor(id) && m.closed(id) && (best == 0 || claim.Less(rec.Claim)) {
			best, claim = id, rec.Claim
		}
	}
	return best, claim
}

func (m *Machine) giveOwn(from wire.NodeID, f Take, s *session) {
	claim := s.rec.Claim
	if s.state == given {
		if s.to.to == from && s.to.granted.ID == f.ID {
			m.send(from, s.to.granted) // the answer was lost
			return
		}
		if !m.free(s.to, from) {
			m.send(from, Denied{ID: f.ID})
			return
		}
		claim = s.to.granted.Record.Claim
	}
	elsewhere := s.state == given && (s.to.to != 0 || s.to.granted.Record.Contested) // one to whom it was given may have it still
	c := f.Cursor
	if !elsewhere {
		c = s.rec.ofThis(c, m.id)
	}
	w, since, ok := m.resolve(&s.rec, m.id, &m.order, c)
	if s.state == live {
		m.do(Close{f.PID, "taken over"})
	}
	if !ok {
		m.send(from, Denied{f.ID, true})
		m.End(f.PID)
		return
	}
	rec := s.rec.clone()
	rec.Claim = Claim{claim.N + 1, from}
	rec.Contested = rec.Contested || elsewhere
	m.become(s, given)
	s.to = hold{from, Granted{f.ID, rec, w, m.now - since}}
	m.send(from, s.to.granted)
}

func (m *Machine) giveMirrored(from wire.NodeID, f Take, owner wire.NodeID) {
	x := m.mirrors[owner]
	rec := x.sessions[f.PID].clone()
	claim, c := rec.Claim, f.Cursor
	h, held := x.held[f.PID]
	if !held {
		c = rec.ofThis(c, owner)
	} else {
		if h.to == from && h.granted.ID == f.ID {
			m.send(from, h.granted)
			return
		}
		if !m.free(h, from) {
			m.send(from, Denied{ID: f.ID})
			return
		}
		claim = h.granted.Record.Claim
	}
	w, since, ok := m.resolve(&rec, owner, &x.order, c)
	if !ok {
		m.send(from, Denied{f.ID, true})
		return
	}
	rec.Claim, rec.Contested = Claim{claim.N + 1, from}, true
	x.held[f.PID] = hold{from, Granted{f.ID, rec, w, m.now - since}}
	m.send(from, x.held[f.PID].granted)
}

// given: whoever took a session has it, and its mirrors too. What is here is old now, also where another mirror was asked for it, or its owner
// died before he heard this: with that record the session would come back without all that it has been since.
func (m *Machine) given(to wire.NodeID, f Done) {
	if s := m.sessions[f.PID]; s != nil && s.state == given && s.to.old(to, f.Claim) {
		m.End(f.PID)
	}
	for _, x := range m.mirrors {
		x.given(to, f)
	}
	for _, t := range m.hands.taking {
		if t.x.given(to, f); t.x.moved[f.PID].Less(f.Claim) {
			t.x.moved[f.PID] = f.Claim // it may be in a part to come
		}
	}
}

func (x *mirror) given(to wire.NodeID, f Done) {
	rec := x.sessions[f.PID]
	if rec == nil || !rec.Claim.Less(f.Claim) {
		return
	}
	if h, held := x.held[f.PID]; !held || h.old(to, f.Claim) {
		delete(x.held, f.PID)
		delete(x.sessions, f.PID)
		if !x.closed {
			x.moved[f.PID] = f.Claim
		}
	}
}

// old tells whether somebody who has a session with that claim has what is held, or something newer.
func (h hold) old(to wire.NodeID, c Claim) bool { return h.to == to || h.granted.Record.Claim.Less(c) }

// released: he will not have it. Another one may.
func (m *Machine) released(to wire.NodeID, pid PID) {
	if s := m.sessions[pid]; s != nil && s.state == given && s.to.to == to {
		s.to.to = 0
	}
	for _, x := range m.mirrors {
		if h, ok := x.held[pid]; ok && h.to == to {
			h.to = 0
			x.held[pid] = h
		}
	}
}
