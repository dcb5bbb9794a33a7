package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// attempt is the recovery of one session at this node.
type attempt struct {
	m      *Machine
	id     uint64
	pid    PID
	cursor Cursor
	phase  phase
	began  time.Duration
	next   time.Duration // when it asks again

	found    map[wire.NodeID]Found // looking
	target   wire.NodeID           // taking
	granted  Granted
	since    time.Duration // what it lacks was published later
	round    uint64
	sections map[wire.NodeID]Section                // of the living, by them
	dead     map[wire.NodeID]Section                // of the dead, by mirrors
	members  map[wire.NodeID]map[wire.NodeID]Member // by who told it last
	buffer   []*wire.Message                        // that came live
}

type phase uint8

const (
	looking   phase = iota // for the owner
	taking                 // from the owner or a mirror
	arriving               // its rooms, until they are in force
	fetching               // what it lacks, and barriers
	mirroring              // admitted; its record is on its way
)

// Recover begins to take a session back for a client that has come with its secret and cursor.
// Admit and Recovered follow, or Refused.
func (m *Machine) Recover(pid PID, c Cursor) {
	if m.attempts[pid] != nil {
		m.refuse(pid, "came again")
	}
	if m.unable() {
		m.do(Refused{pid, refusedUnable})
		return
	}
	m.nextID++
	a := &attempt{m: m, id: m.nextID, pid: pid, cursor: c, began: m.now}
	m.attempts[pid] = a
	a.look()
}

// refuse gives an attempt up. Its client begins anew.
func (m *Machine) refuse(pid PID, reason string) {
	m.Cancel(pid)
	m.do(Refused{pid, reason})
}

// Cancel says that a client that wanted a session back is gone before it got an answer.
func (m *Machine) Cancel(pid PID) {
	a := m.attempts[pid]
	if a == nil {
		return
	}
	delete(m.attempts, pid)
	if a.phase == arriving || a.phase == fetching {
		m.send(a.target, Release{pid})
	}
}

// answered forgets the attempt of a session that is admitted.
func (m *Machine) answered(pid PID) {
	if a := m.attempts[pid]; a != nil && a.phase == mirroring {
		delete(m.attempts, pid)
	}
}

// Gap says that messages of a peer are gone for this node. Sessions that are on their way
// here may lack them.
func (m *Machine) Gap(wire.NodeID) {
	for _, pid := range sorted(m.attempts) {
		if m.attempts[pid].phase == fetching {
			m.refuse(pid, "messages were lost")
		}
	}
}

// Reject says that a client may not have the session of Arrive.
func (m *Machine) Reject(pid PID) {
	if a := m.attempts[pid]; a != nil {
		m.refuse(pid, "not allowed")
	}
}

func (a *attempt) tick(m *Machine) {
	if m.now-a.began > m.cfg.Patience && a.phase != mirroring {
		m.refuse(a.pid, "it took too long")
		return
	}
	if m.now < a.next {
		return
	}
	a.next = m.now + retryEvery
	switch a.phase {
	case looking:
		a.look()
	case taking:
		if p := m.peers[a.target]; p != nil && p.down {
			a.look()
			return
		}
		m.send(a.target, Take{a.id, a.pid, a.cursor, m.now - a.began})
	case fetching:
		for _, id := range m.able() {
			a.ask(id)
		}
		a.check(m)
	}
}

// linked: what was on the way to a peer may be lost.
func (a *attempt) linked(id wire.NodeID) {
	delete(a.dead, id)
	a.next = 0
}

// able are the nodes that must be asked: all that are not dead and can answer, the own one too.
func (m *Machine) able() []wire.NodeID {
	ids := []wire.NodeID{m.id}
	for _, id := range sorted(m.peers) {
		if m.peers[id].able() {
			ids = append(ids, id)
		}
	}
	return ids
}

// look asks everybody for the session.
func (a *attempt) look() {
	m := a.m
	a.phase, a.found, a.next = looking, map[wire.NodeID]Found{}, m.now+retryEvery
	m.nextID++
	a.id = m.nextID
	for _, id := range m.able() {
		m.send(id, Lookup{a.id, a.pid})
	}
}

// attemptFrame finds the attempt that an answer is for.
func (m *Machine) attemptFrame(from wire.NodeID, f Frame) {
	for _, a := range m.attempts {
		switch f := f.(type) {
		case Found:
			if a.phase == looking && a.id == f.ID {
				a.found[from] = f
				a.decide()
				return
			}
		case Granted:
			if a.phase == taking && a.id == f.ID {
				a.arrive(f)
				return
			}
		case Denied:
			if a.phase == taking && a.id == f.ID {
				if f.Final {
					m.refuse(a.pid, "the cursor is too old")
				} else {
					a.phase, a.found = looking, map[wire.NodeID]Found{} // somebody else was faster: he is asked next
				}
				return
			}
		case Fetched:
			if a.phase == fetching && a.id == f.ID {
				a.fetched(from, f)
				return
			}
		}
	}
}

// decide goes on when everybody has answered: one who has not may be the owner.
func (a *attempt) decide() {
	m := a.m
	gens := map[wire.NodeID]uint64{}
	for _, id := range m.able() {
		f, ok := a.found[id]
		if !ok {
			return
		}
		gens[f.Owner] = max(gens[f.Owner], f.Gen)
		if p := m.peers[f.Owner]; p != nil {
			gens[f.Owner] = max(gens[f.Owner], p.gen)
		}
	}
	var best wire.NodeID
	for _, id := range m.able() {
		f := a.found[id]
		if f.Gen < gens[f.Owner] && f.Owner != 0 && !m.breaks(BreakGen) {
			continue // a mirror that was replaced
		}
		if f.Kind != FoundNothing && (best == 0 || a.better(f, a.found[best])) {
			best = id
		}
	}
	if best == 0 {
		m.refuse(a.pid, "nobody knows the session")
		return
	}
	if a.found[best].Kind == FoundAlive {
		return // its owner answers, or is found dead
	}
	a.phase, a.target, a.next = taking, best, m.now+retryEvery
	m.send(best, Take{a.id, a.pid, a.cursor, m.now - a.began})
}

// better: the higher claim, and of the same the owner.
func (a *attempt) better(f, g Found) bool {
	if a.m.breaks(BreakOwner) && (f.Kind == FoundOwner) != (g.Kind == FoundOwner) {
		return g.Kind == FoundOwner
	}
	if f.Claim != g.Claim {
		return g.Claim.Less(f.Claim)
	}
	return f.Kind == FoundOwner && g.Kind != FoundOwner
}

// arrive: the session is this node's.
func (a *attempt) arrive(f Granted) {
	m := a.m
	a.phase, a.granted, a.since = arriving, f, m.now-f.Since
	m.do(Arrive{f.Record.clone()})
}
