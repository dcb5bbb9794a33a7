package recovery

import (
	"slices"
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
	retry  retry
	ended  bool

	found   map[wire.NodeID]Found // looking
	target  wire.NodeID           // taking
	granted Granted
	since   time.Duration // what it lacks was published later
	gather  *gather       // fetching
}

// retry is when one asks again who has not answered. A link loses nothing while it is up, so an answer that is late comes: to ask a busy
// node as often as an idle one makes it busier.
type retry struct{ next, wait time.Duration }

const (
	retryEvery = 250 * time.Millisecond // at first
	retryMost  = 2 * time.Second        // each time is twice as long as the one before, up to this
)

// asked says that somebody was asked just now.
func (r *retry) asked(now time.Duration) {
	r.wait = min(max(2*r.wait, retryEvery), retryMost)
	r.next = now + r.wait
}

type phase uint8

const (
	queued    phase = iota // until others have what they need
	looking                // for the owner
	taking                 // from the owner or a mirror
	arriving               // its rooms, until they are in force
	arrived                // it waits for a gather
	fetching               // what it lacks, and barriers
	mirroring              // admitted; its record is on its way
)

// Recover begins to take a session back for a client that has come with its secret and cursor.
// Admit and Recovered follow, or Refused.
func (m *Machine) Recover(pid PID, c Cursor) {
	if m.attempts[pid] != nil {
		m.refuse(pid, "came again")
	}
	switch {
	case m.unable():
		m.do(Refused{pid, refusedUnable})
		return
	case len(m.attempts) >= m.cfg.Recoveries+m.cfg.Waiting:
		m.stats.TooMany++
		m.do(Refused{pid, "too many come back at once"})
		return
	}
	a := &attempt{m: m, pid: pid, cursor: c, began: m.now}
	m.attempts[pid] = a
	m.coming = append(m.coming, a)
	m.line.push(a)
	m.nextInLine()
	if m.line.len() > 2*(m.cfg.Recoveries+m.cfg.Waiting) {
		m.shortenLine()
	}
}

// shortenLine lets go of those that gave up while they waited: a client that comes again and again is in it as often.
func (m *Machine) shortenLine() {
	var line row[*attempt]
	for i := range m.line.len() {
		if a := *m.line.at(i); !a.ended {
			line.push(a)
		}
	}
	m.line = line
}

// nextInLine lets those begin that there is room for.
func (m *Machine) nextInLine() {
	for m.active < m.cfg.Recoveries && m.line.len() > 0 {
		a := *m.line.at(0)
		m.line.drop()
		if !a.ended {
			m.active++
			a.look()
		}
	}
}

// over tells whether nobody waits for an attempt any more.
func (a *attempt) over() bool { return a.ended }

// drop forgets an attempt that has ended.
func (m *Machine) drop(a *attempt) {
	a.ended = true
	delete(m.attempts, a.pid)
	delete(m.asking, a.id)
	if a.phase > queued && a.phase < mirroring {
		m.active--
	}
	if g := a.gather; g != nil {
		a.gather = nil
		if g.left--; g.left == 0 {
			m.endGather(g)
		}
	}
	m.nextInLine()
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
	if a.phase == taking || a.holds() {
		m.giveBack(a)
	}
	m.drop(a)
}

// holds tells whether the session is given to this node, and not here yet.
func (a *attempt) holds() bool { return a.phase >= arriving && a.phase < mirroring }

// answered forgets the attempt of a session that is admitted.
func (m *Machine) answered(pid PID) {
	if a := m.attempts[pid]; a != nil && a.phase == mirroring {
		m.drop(a)
	}
}

// Gap says that messages of a peer are gone for this node. Sessions that are on their way
// here may lack them.
func (m *Machine) Gap(wire.NodeID) {
	for _, g := range slices.Clone(m.gathers) {
		g.refuse("messages were lost")
	}
}

// Reject says that a client may not have the session of Arrive.
func (m *Machine) Reject(pid PID) {
	if a := m.attempts[pid]; a != nil {
		m.refuse(pid, "not allowed")
	}
}

// Arrived says that the interest in all rooms of the session is in force.
func (m *Machine) Arrived(pid PID) {
	if a := m.attempts[pid]; a != nil && a.phase == arriving {
		a.phase = arrived
		m.arrived = append(m.arrived, a)
		m.gather()
	}
}

// tickAttempts does for them what time brings.
func (m *Machine) tickAttempts() {
	if len(m.coming) == 0 {
		return
	}
	for _, a := range m.coming {
		if !a.ended {
			a.tick(m)
		}
	}
	for _, g := range slices.Clone(m.gathers) {
		g.tick()
	}
	m.coming = slices.DeleteFunc(m.coming, (*attempt).over)
}

func (a *attempt) tick(m *Machine) {
	if m.now-a.began > m.cfg.Patience && a.phase != mirroring {
		m.refuse(a.pid, tooLong)
		return
	}
	if m.now < a.retry.next {
		return
	}
	switch a.phase {
	case looking:
		a.lookAgain()
	case taking:
		if p := m.peers[a.target]; p != nil && p.down {
			a.look()
			return
		}
		a.take()
	}
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

// ables are how many these are.
func (m *Machine) ables() int {
	n := 1
	for _, p := range m.peers {
		if p.able() {
			n++
		}
	}
	return n
}

// look asks everybody for the session.
func (a *attempt) look() {
	m := a.m
	a.phase, a.found, a.retry = looking, map[wire.NodeID]Found{}, retry{}
	m.nextID++
	delete(m.asking, a.id)
	a.id = m.nextID
	m.asking[a.id] = a
	a.lookAt(m.able())
}

func (a *attempt) lookAt(nodes []wire.NodeID) {
	a.retry.asked(a.m.now)
	for _, id := range nodes {
		a.m.send(id, Lookup{a.id, a.pid})
	}
}

// lookAgain asks those who have not answered. When all have, that has led nowhere, and all are asked anew: an owner that did not
// answer is found dead in time.
func (a *attempt) lookAgain() {
	late := slices.DeleteFunc(a.m.able(), func(id wire.NodeID) bool { _, has := a.found[id]; return has })
	if len(late) == 0 || a.m.breaks(BreakLate) {
		a.look()
		return
	}
	a.lookAt(late)
}

// take asks for the session whoever has it.
func (a *attempt) take() {
	a.retry.asked(a.m.now)
	a.m.send(a.target, Take{a.id, a.pid, a.cursor, a.m.now - a.began})
}

// found, granted and denied are answers. Those to what was asked before say nothing any more.

func (m *Machine) found(from wire.NodeID, f Found) {
	if a := m.asking[f.ID]; a != nil && a.phase == looking {
		a.found[from] = f
		a.decide()
	}
}

func (m *Machine) granted(f Granted) {
	if a := m.asking[f.ID]; a != nil && a.phase == taking && f.Record.PID == a.pid {
		a.arrive(f)
	}
}

func (m *Machine) denied(f Denied) {
	a := m.asking[f.ID]
	switch {
	case a == nil || a.phase != taking:
	case f.Final:
		m.refuse(a.pid, "the cursor is too old")
	default:
		a.phase, a.found = looking, map[wire.NodeID]Found{} // somebody else was faster: he is asked next
	}
}

// decide goes on when everybody has answered: one who has not may be the owner.
func (a *attempt) decide() {
	m := a.m
	if len(a.found) < m.ables() {
		return
	}
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
	a.phase, a.target, a.retry = taking, best, retry{}
	delete(m.back.of, a.pid)
	a.take()
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
	f.Record.PID = a.pid // lists that outlive the session hold this one, and not the frame
	a.phase, a.granted, a.since = arriving, f, m.now-f.Since
	m.do(Arrive{f.Record.clone()})
}
