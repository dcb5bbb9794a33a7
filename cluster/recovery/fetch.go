package recovery

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// Arrived says that the interest in all rooms of the session is in force.
func (m *Machine) Arrived(pid PID) {
	a := m.attempts[pid]
	if a == nil || a.phase != arriving {
		return
	}
	m.nextID++
	a.round, a.phase, a.next = m.nextID, fetching, m.now+retryEvery
	a.sections, a.dead, a.members = map[wire.NodeID]Section{}, map[wire.NodeID]Section{}, map[wire.NodeID]map[wire.NodeID]Member{}
	for _, id := range m.able() {
		a.ask(id)
	}
}

func (a *attempt) ask(id wire.NodeID) {
	round := a.round
	if _, ok := a.sections[id]; ok {
		round = 0
	}
	a.m.send(id, Fetch{a.id, round, a.granted.Want, a.m.now - a.since})
}

// fetch gives what a session lacks of this node, and of the dead that it mirrors.
func (m *Machine) fetch(from wire.NodeID, f Fetch) {
	answer := Fetched{ID: f.ID, Members: map[wire.NodeID]Member{}}
	if f.Round > 0 {
		own := m.section(m.id, &m.log, f, m.metPeers())
		if from == m.id {
			own.Heads = m.order.current[m.id]
		}
		answer.Sections = append(answer.Sections, own)
	}
	for _, id := range sorted(m.peers) {
		p := m.peers[id]
		answer.Members[id] = Member{p.down, p.unable, p.gen}
		if m.closed(id) && m.speaksFor(id) {
			x := m.mirrors[id]
			s := m.section(id, &x.log, f, x.met)
			s.Gen = x.gen
			answer.Sections = append(answer.Sections, s)
		}
	}
	if from != m.id && f.Round > 0 {
		m.do(Barrier{from, f.Round})
	}
	m.send(from, answer)
}

// start is from where on messages of an origin are for a node, and for the sessions that begin there, which is at v. One that
// the origin did not know, and that has nothing of it, is owed nothing.
func (m *Machine) start(origin, at wire.NodeID, log *history, met map[wire.NodeID]wire.Frontiers, v wire.Frontiers) (f wire.Frontiers) {
	if m.breaks(BreakMet) || at == origin || at == 0 {
		return f
	}
	f, ok := met[at]
	if !ok && v == (wire.Frontiers{}) {
		return log.heads()
	}
	return f
}

func (m *Machine) section(origin wire.NodeID, log *history, f Fetch, met map[wire.NodeID]wire.Frontiers) Section {
	s := Section{Origin: origin, Heads: log.heads(), Start: m.start(origin, f.Want.Owner, log, met, f.Want.Base[origin])}
	w := f.Want.started([]Section{s})
	lowest := w.Base[origin]
	for _, floor := range w.Rooms {
		if floor != nil {
			for k := range lowest {
				lowest[k] = min(lowest[k], floor[origin][k])
			}
		}
	}
	s.Short = !log.covers(lowest, m.awake()-f.Since-m.cfg.Slack) && !m.breaks(BreakShort)
	for k := range lowest {
		for of, i := log.behind(k, lowest[k]); i < of.len(); i++ {
			if e := of.at(i); w.Due(e.m) || m.breaks(BreakFilter) {
				s.Entries = append(s.Entries, e.m)
			}
		}
	}
	return s
}

func (a *attempt) fetched(from wire.NodeID, f Fetched) {
	for _, s := range f.Sections {
		if s.Origin == from {
			if _, ok := a.sections[from]; !ok { // the first is the one before the barrier
				a.sections[from] = s
			}
		} else if old, ok := a.dead[s.Origin]; !ok || old.Gen < s.Gen {
			a.dead[s.Origin] = s
		}
	}
	a.members[from] = f.Members
	a.check(a.m)
}

// live keeps what comes while the session is on its way.
func (a *attempt) live(x *wire.Message) {
	if a.phase == fetching && a.granted.Record.member(x) {
		a.buffer = append(a.buffer, x)
	}
}

func (m *Machine) checkAttempts() {
	if len(m.attempts) == 0 {
		return
	}
	for _, pid := range sorted(m.attempts) {
		m.attempts[pid].check(m)
	}
}

// missing are the living that have not answered.
func (a *attempt) missing() (ids []wire.NodeID) {
	for _, id := range a.m.able() {
		if _, ok := a.sections[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// known are the nodes of which there may be messages, as far as anybody says. One is dead when all say so: where it
// is alive it may go on with other mirrors.
func (a *attempt) known() map[wire.NodeID]Member {
	all := map[wire.NodeID]Member{}
	for from, members := range a.members {
		if p := a.m.peers[from]; from != a.m.id && (p == nil || p.down) {
			continue
		}
		for id, k := range members {
			if old, ok := all[id]; ok {
				k = Member{k.Down && old.Down, k.Unable || old.Unable, max(k.Gen, old.Gen)}
			}
			all[id] = k
		}
	}
	delete(all, a.m.id)
	return all
}

// check begins when everything is there.
func (a *attempt) check(m *Machine) {
	if a.phase != fetching || m.attempts[a.pid] != a {
		return
	}
	if len(a.missing()) > 0 && !m.breaks(BreakSections) {
		return
	}
	parts := make([]Section, 0, len(a.sections)+len(a.dead))
	for _, id := range sorted(a.sections) {
		parts = append(parts, a.sections[id])
	}
	known := a.known()
	for id, k := range known {
		switch {
		case k.Unable && m.breaks(BreakUnable):
			delete(known, id)
		case k.Unable:
			m.refuse(a.pid, refusedUnable)
			return
		}
	}
	for _, id := range sorted(known) {
		if _, ok := a.sections[id]; ok {
			continue // it is alive and has answered; if it has died since, the rest comes with its tail
		}
		k := known[id]
		s, ok := a.dead[id]
		switch {
		case !k.Down && !m.breaks(BreakSections): // others have not noticed yet that it is dead, or it is new
			return
		case ok && (s.Gen >= k.Gen || m.breaks(BreakGen)):
			parts = append(parts, s)
		case k.Gen > 0 && !m.breaks(BreakSections):
			return
		}
	}
	for _, s := range parts {
		if s.Short {
			m.refuse(a.pid, "messages have left the log")
			return
		}
	}
	if !m.breaks(BreakLive) && slices.ContainsFunc(parts, func(s Section) bool { return !a.reached(s) }) {
		return
	}
	a.begin(parts)
}

// reached tells whether nothing more comes of what is replayed. Of a dead node another mirror may have had less,
// of what was not acknowledged.
func (a *attempt) reached(s Section) bool {
	p := a.m.peers[s.Origin]
	if p == nil && s.Origin != a.m.id {
		return true // this node has never heard of it
	}
	return a.m.order.current.reaches(s.Origin, s.Heads) || p != nil && p.tail != nil && p.tail.done
}

// begin makes the session live here, in one step: what is replayed ends where what comes live begins.
func (a *attempt) begin(parts []Section) {
	m := a.m
	heads := Vector{}
	var replay []*wire.Message
	for _, s := range parts {
		replay = append(replay, s.Entries...)
		heads[s.Origin] = s.Heads
	}
	for _, x := range a.buffer {
		if r := RefOf(x); !heads.Has(r) && !a.granted.Want.Base.Has(r) || m.breaks(BreakGate) {
			replay = append(replay, x)
		}
	}
	for _, s := range parts {
		if p := m.peers[s.Origin]; s.Origin != m.id && (p == nil || p.down) { // the client may have had more than the mirror
			heads := most(s.Heads, a.granted.Want.Base[s.Origin])
			m.reach(s.Origin, heads)
			m.do(Skip{s.Origin, heads})
		}
	}
	rec := a.granted.Record
	d := m.order.add(Ref{}, m.now)
	rec.Replay = Replay{Old: a.cursor, Want: a.granted.Want.started(parts), D: d}
	for _, x := range replay {
		m.order.add(Ref{}, m.now)
		rec.Replay.Refs = append(rec.Replay.Refs, RefOf(x))
	}
	if old := m.sessions[a.pid]; old != nil {
		m.become(old, ended)
	}
	rec.Rooms = make(map[string]uint64, len(a.granted.Record.Rooms))
	s := &session{rec: rec, came: a.began}
	for room := range a.granted.Record.Rooms {
		m.place(s, room, d)
	}
	m.sessions[a.pid] = s
	m.become(s, live)
	m.touch(s)
	a.phase = mirroring
	m.do(Admit{rec.clone(), d, replay})
	if rec.Contested {
		for _, id := range m.linked() { // whoever came back while the session was on its way has not heard
			m.tellClaim(id, a.pid, rec.Claim)
		}
	}
	version := s.version
	if m.breaks(BreakAnswer) {
		version = 0
	}
	m.afterMirrored(version, func() {
		if m.attempts[a.pid] == a {
			delete(m.attempts, a.pid)
			if a.target != m.id {
				m.send(a.target, Done{a.pid})
			}
			m.do(Recovered{a.pid})
		}
	})
}
