package recovery

import (
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// A node that drains hands on what it mirrors of nodes that have died, so that clients of those, and who lacks their messages, find it when
// all nodes are replaced one after the other within the window. One origin after the other; the receiver speaks
// for it with the same generation once it has all, and so do both until the sender is gone: as two mirrors do with Copies of 3.

// HandOn is a part of what the sender mirrors of a dead node. Whole is what the receiver has when it has all; versions count sessions.
type HandOn struct {
	Origin wire.NodeID
	Gen    uint64        // of its buddies, of which the sender is one
	Dead   time.Duration // for how long it is
	Whole  State
	Part   Mirror
}

// HandedOn answers HandOn: the receiver has all up to State, or Speaks for the origin as well. Lost: not now, so begin anew. Full: it takes
// nothing, so ask another one.
type HandedOn struct {
	Origin wire.NodeID
	Epoch  uint64
	Speaks bool
	Lost   bool
	Full   bool
}

func (HandOn) frame()   {}
func (HandedOn) frame() {}

// handOn is the one that is under way.
type handOn struct {
	origin, to wire.NodeID
	epoch      uint64
	fresh      bool // nothing was sent
	pids       []PID
	sent       State // Version counts pids
	whole      State
	flight     int
	next       time.Duration // begin anew then, if nothing was answered
}

// inheriting is what is on its way here, by the sender. It is one at a time.
type inheriting struct {
	origin wire.NodeID
	x      *mirror
	epoch  uint64
}

// handsOn are the parts of a Machine that pass on what it mirrors, and take that.
type handsOn struct {
	now     *handOn
	done    map[wire.NodeID]wire.NodeID // by origin: who speaks for it since
	refused map[wire.NodeID][]wire.NodeID
	taking  map[wire.NodeID]*inheriting
}

// heir is who gets what is mirrored of a dead node: of those that live on and have not refused it, the one that ranks
// highest for it. 0 nobody.
func (m *Machine) heir(origin wire.NodeID) (best wire.NodeID) {
	for _, id := range m.linked() {
		if m.mayInherit(origin, id) && (best == 0 || rank(origin, id) > rank(origin, best)) {
			best = id
		}
	}
	return best
}

func (m *Machine) mayInherit(origin, id wire.NodeID) bool {
	p := m.peers[id]
	return p.linked && p.able() && !p.draining && !slices.Contains(m.hands.refused[origin], id)
}

// owesOn tells whether what this node mirrors of a dead one is still to be handed on, and can be.
func (m *Machine) owesOn(origin wire.NodeID) bool {
	p := m.peers[origin]
	if p == nil || !p.down || !m.speaksFor(origin) || m.breaks(BreakHandOn) {
		return false
	}
	to, done := m.hands.done[origin]
	if done && m.peers[to] != nil && m.peers[to].able() {
		return false
	}
	return m.heir(origin) != 0
}

// handOnNext goes on with the next, or with the one that is under way.
func (m *Machine) handOnNext() {
	if !m.draining {
		return
	}
	h := m.hands.now
	if h != nil && (m.now >= h.next || !m.owesOn(h.origin) || !m.mayInherit(h.origin, h.to)) {
		h = nil
	}
	for _, origin := range sorted(m.mirrors) {
		if h == nil && m.owesOn(origin) {
			h = m.beginHandOn(origin)
		}
	}
	if m.hands.now = h; h != nil {
		m.feedHandOn(h)
	}
}

func (m *Machine) beginHandOn(origin wire.NodeID) *handOn {
	m.nextID++
	x := m.mirrors[origin]
	h := &handOn{origin: origin, to: m.heir(origin), epoch: m.nextID, fresh: true, pids: sorted(x.sessions)}
	h.whole = State{x.log.heads(), x.order.last(), uint64(len(h.pids))}
	return h
}

// feedHandOn sends what may be on its way at a time.
func (m *Machine) feedHandOn(h *handOn) {
	x := m.mirrors[h.origin]
	for h.flight < maxFlight && (h.fresh || !h.sent.has(h.whole)) {
		f := Mirror{Epoch: h.epoch, Reset: h.fresh, From: h.sent}
		if h.fresh {
			m.beginMirror(&f, &x.log, &x.order)
			f.Met = x.met
			h.fresh = false
		}
		f.To = f.From
		m.fillEntries(&f, &x.log)
		m.fillOrder(&f, &x.order)
		h.fillSessions(&f, x)
		if f.To == f.From && !f.Reset {
			return
		}
		h.sent, h.next = f.To, m.now+4*retryEvery
		h.flight++
		m.send(h.to, HandOn{h.origin, x.gen, m.now - m.peers[h.origin].since, h.whole, f})
	}
}

func (h *handOn) fillSessions(f *Mirror, x *mirror) {
	bytes := 0
	for int(f.To.Version) < len(h.pids) && len(f.Sessions) < mirrorSessions && bytes < mirrorBytes {
		rec := x.sessions[h.pids[f.To.Version]]
		f.To.Version++
		if rec != nil { // it may have been given away
			f.Sessions = append(f.Sessions, Saved{rec.clone(), false})
			bytes += rec.size()
		}
	}
}

// handedOn: the receiver has more, or all.
func (m *Machine) handedOn(from wire.NodeID, f HandedOn) {
	h := m.hands.now
	if h == nil || h.origin != f.Origin || h.to != from || h.epoch != f.Epoch {
		return
	}
	h.flight = max(0, h.flight-1)
	h.next = m.now + 4*retryEvery
	switch {
	case f.Lost:
		h.sent, h.next = h.whole, m.now+retryEvery // what is left would be in vain
		return
	case f.Full:
		m.hands.refuse(f.Origin, from)
		m.hands.now = nil
	case f.Speaks:
		if m.hands.done == nil {
			m.hands.done = map[wire.NodeID]wire.NodeID{}
		}
		m.hands.done[f.Origin] = from
		m.hands.now = nil
	}
	m.handOnNext()
}

func (o *handsOn) refuse(origin, by wire.NodeID) {
	if o.refused == nil {
		o.refused = map[wire.NodeID][]wire.NodeID{}
	}
	o.refused[origin] = append(o.refused[origin], by)
}

// unlink forgets what was on its way on a link.
func (o *handsOn) unlink(id wire.NodeID) {
	if o.now != nil && o.now.to == id {
		o.now = nil
	}
	delete(o.taking, id)
}

// takeHandOn takes a part of what another node mirrors of a dead one.
func (m *Machine) takeHandOn(from wire.NodeID, f HandOn) {
	answer := HandedOn{Origin: f.Origin, Epoch: f.Part.Epoch}
	t, p := m.hands.taking[from], m.peers[f.Origin]
	switch {
	case m.speaksFor(f.Origin) && m.mirrors[f.Origin].gen >= f.Gen:
		answer.Speaks = true
	case f.Origin == m.id || m.draining || p != nil && p.gen > f.Gen:
		answer.Full = true
	case f.Part.Reset && m.fullOfDead(from):
		m.stats.Full++
		answer.Full = true
	case p != nil && !p.down: // it may be alive, and go on with other mirrors
		answer.Lost = true
	case f.Part.Reset:
		t = &inheriting{f.Origin, m.newMirror(f.Part), f.Part.Epoch}
		if m.hands.taking == nil {
			m.hands.taking = map[wire.NodeID]*inheriting{}
		}
		m.hands.taking[from] = t
	case t == nil || t.epoch != f.Part.Epoch || !t.x.state.has(f.Part.From) && f.Part.Base == nil:
		answer.Lost = true
	}
	if !answer.Speaks && !answer.Full && !answer.Lost {
		m.store(t.x, f.Part)
		if answer.Speaks = t.x.state.has(f.Whole) || m.breaks(BreakHandOnParts); answer.Speaks {
			delete(m.hands.taking, from)
			m.inherit(t.x, f)
		}
	}
	m.send(from, answer)
}

// fullOfDead tells whether this node mirrors as many dead ones as it may, those on their way here too.
func (m *Machine) fullOfDead(from wire.NodeID) bool {
	n := len(m.mirrors) - m.living() + len(m.hands.taking)
	if m.hands.taking[from] != nil {
		n--
	}
	return n >= m.cfg.Mirrors
}

// inherit: from now on this node speaks for a dead one, of which it may never have heard.
func (m *Machine) inherit(x *mirror, f HandOn) {
	p := m.peers[f.Origin]
	if p == nil {
		p = &peer{down: true, unmet: true, since: m.now - f.Dead}
		m.peers[f.Origin] = p
	}
	p.gen = max(p.gen, f.Gen)
	x.gen, x.closed = f.Gen, true
	clear(x.moved) // of whom nothing comes any more
	m.mirrors[f.Origin] = x
}
