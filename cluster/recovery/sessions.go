package recovery

import (
	"slices"
	"time"
)

// session is one that this node owns, or has given away.
type session struct {
	rec     Record
	state   state
	since   time.Duration // of the state
	came    time.Duration // when its client did; 0 it began here
	version uint64        // of its last change
	to      hold          // given: to whom
}

type state uint8

const (
	live  state = iota // its client is here
	lost               // its client may come back
	given              // somebody takes it over: he may die before it is mirrored there
	ended              // mirrors have to hear of that
)

// Owned are the sessions whose client is here, or may come back here.
func (m *Machine) Owned() (pids []PID) {
	for _, pid := range sorted(m.sessions) {
		if s := m.sessions[pid]; s.state == live || s.state == lost {
			pids = append(pids, pid)
		}
	}
	return pids
}

// touch notes a change of s for its mirrors.
func (m *Machine) touch(s *session) {
	m.version++
	s.version = m.version
	m.changed = append(m.changed, s.rec.PID)
}

// forgetChanges lets go of what all mirrors know.
func (m *Machine) forgetChanges(version uint64) {
	for m.firstChange <= version && len(m.changed) > 0 {
		pid := m.changed[0]
		if s := m.sessions[pid]; s != nil && s.state == ended && s.version == m.firstChange {
			delete(m.sessions, pid)
		}
		m.changed = m.changed[1:]
		m.firstChange++
	}
}

// Open begins a new session, which is a member of its namespace and of its own id once it is Joined.
func (m *Machine) Open(pid PID, sid, namespace, user string) {
	s := &session{rec: Record{PID: pid, SID: sid, Namespace: namespace, User: user, Rooms: map[string]uint64{"": 0, sid: 0}, Claim: Claim{1, m.id}}}
	m.sessions[pid] = s
	m.touch(s)
}

// Join says that a session is a member of a room, and the node's interest in that is in force
// (whenInForce). Joined follows.
func (m *Machine) Join(pid PID, room string) {
	s := m.sessions[pid]
	if s == nil || s.state != live {
		return
	}
	if _, ok := s.rec.Rooms[room]; !ok {
		s.rec.Rooms[room] = 0
	}
	if m.fenced(s.rec.Namespace, room) {
		m.joined(pid, room)
		return
	}
	m.afterFence(func() { m.joined(pid, room) })
}

// fenced tells whether barriers have come since the node became interested in a room, and since the last link came up.
func (m *Machine) fenced(namespace, room string) bool {
	if len(m.fence.waiting)+len(m.fence.next) > 0 {
		return false
	}
	for _, s := range m.sessions {
		if s.state == live && s.rec.Namespace == namespace && s.rec.Rooms[room] > 0 {
			return true
		}
	}
	return false
}

func (m *Machine) joined(pid PID, room string) {
	s := m.sessions[pid]
	if s == nil || s.state != live {
		return
	}
	if at, ok := s.rec.Rooms[room]; !ok {
		return // left again
	} else if at == 0 {
		s.rec.Rooms[room] = max(1, m.order.last())
		m.touch(s)
	}
	m.wait(wait{version: s.version, done: func(int) {
		if m.sessions[pid] == s && s.state == live && s.rec.Rooms[room] > 0 {
			m.do(Joined{pid, room})
		}
	}})
}

// Leave says that a session is a member of a room no more. Left follows.
func (m *Machine) Leave(pid PID, room string) {
	s := m.sessions[pid]
	if s == nil || s.state != live {
		return
	}
	delete(s.rec.Rooms, room)
	m.touch(s)
	m.wait(wait{version: s.version, done: func(int) { m.do(Left{pid, room}) }})
}

// SetData changes what goes with a session. The change is lost with the node in the next TickEvery and
// the time on the way.
func (m *Machine) SetData(pid PID, data []byte) {
	if s := m.sessions[pid]; s != nil && s.state == live {
		s.rec.Data = slices.Clone(data)
		m.touch(s)
	}
}

// Lost says that the client's connection has ended without a goodbye: it has the Window to come back.
func (m *Machine) Lost(pid PID) {
	if s := m.sessions[pid]; s != nil && s.state == live {
		s.state, s.since = lost, m.now
		m.answered(pid)
	}
}

// End ends a session: nobody takes it back.
func (m *Machine) End(pid PID) {
	if s := m.sessions[pid]; s != nil && s.state != ended {
		m.answered(pid)
		s.state = ended
		m.touch(s)
	}
}

// endLost ends what nobody has come back for.
func (m *Machine) endLost() {
	for _, pid := range sorted(m.sessions) {
		if s := m.sessions[pid]; (s.state == lost || s.state == given) && m.now-s.since > m.cfg.Window {
			m.End(pid)
		}
	}
}
