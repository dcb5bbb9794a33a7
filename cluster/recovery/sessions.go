package recovery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// session is one that this node owns, or has given away.
type session struct {
	rec     Record
	state   state
	since   time.Duration // of the state
	came    time.Duration // when its client did; 0 it began here
	version uint64        // of its last change
	bytes   int           // of its rooms and data, about
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
	m.changed.push(s.rec.PID)
}

// touchAll has everything sent to a new buddy, in the order of the last changes.
func (m *Machine) touchAll() {
	all := slices.Collect(maps.Values(m.sessions))
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.version, b.version) })
	for _, s := range all {
		m.touch(s)
	}
}

// become changes whose a session is: this node's, or not any more.
func (m *Machine) become(s *session, to state) {
	if s.state == live && to != live {
		for room, at := range s.rec.Rooms {
			m.unfenced(s, room, at)
		}
	}
	s.state, s.since = to, m.now
	if to == lost || to == given {
		e := awaySince{s, m.now, s.rec.size()}
		m.away.push(e)
		m.awayBytes += e.bytes
	}
	if s.rec.Contested && (to == live || to == lost) {
		m.contested[s.rec.PID] = struct{}{}
	} else {
		delete(m.contested, s.rec.PID)
	}
}

// forgetChanges lets go of what all mirrors know.
func (m *Machine) forgetChanges(version uint64) {
	for ; m.firstChange <= version && m.changed.len() > 0; m.firstChange++ {
		pid := *m.changed.at(0)
		if s := m.sessions[pid]; s != nil && s.state == ended && s.version == m.firstChange {
			delete(m.sessions, pid)
		}
		m.changed.drop()
	}
}

// Open begins a new session, which is a member of its namespace and of its own id once it is Joined.
func (m *Machine) Open(pid PID, sid, namespace, user string) {
	s := &session{rec: Record{PID: pid, SID: sid, Namespace: namespace, User: user, Rooms: map[string]uint64{"": 0, sid: 0}, Claim: Claim{1, m.id}}, bytes: roomBytes("") + roomBytes(sid)}
	m.sessions[pid] = s
	m.touch(s)
}

// SetUser says who the client of a session is: whoever takes it back must be the same, and its owner to be sees to that. A Join of the
// namespace behind it is Joined when mirrors know.
func (m *Machine) SetUser(pid PID, user string) {
	if s := m.sessions[pid]; s != nil && s.state == live && s.rec.User != user {
		s.bytes += len(user) - len(s.rec.User)
		s.rec.User = user
		m.touch(s)
		m.outgrow(s)
	}
}

// Begin says that the client of a new session is served though it is not Joined: it is a member of its namespace and of its own id from now
// on. It is recovered when mirrors have it, if it comes with a cursor from behind the place that a barrier gives it then: what it got
// before has no place.
func (m *Machine) Begin(pid PID) {
	s := m.sessions[pid]
	if s != nil && s.state == live && (s.rec.Rooms[""] == 0 || s.rec.Rooms[s.rec.SID] == 0) {
		s.rec.Begun = true
		m.touch(s)
	}
}

// Join says that a session is a member of a room, and the node's interest in that is in force
// (whenInForce). Joined follows.
func (m *Machine) Join(pid PID, room string) {
	s := m.sessions[pid]
	switch {
	case m.isUnkept(pid):
		m.do(Joined{pid, room})
		return
	case s == nil || s.state != live:
		return
	}
	if _, ok := s.rec.Rooms[room]; !ok {
		s.rec.Rooms[room] = 0
		s.bytes += roomBytes(room)
		m.outgrow(s) // Joined follows as for all that are asked for until then
	}
	if m.fenced(s.rec.Namespace, room) {
		m.joined(pid, room)
		return
	}
	m.afterFence(func() { m.joined(pid, room) })
}

// fenced tells whether barriers have come since the node became interested in a room, and since the last link came up.
func (m *Machine) fenced(namespace, room string) bool {
	return len(m.fence.waiting)+len(m.fence.next) == 0 && m.rooms[wire.Topic{Namespace: namespace, Room: room}] > 0
}

// place says where a live session's membership of a room begins.
func (m *Machine) place(s *session, room string, at uint64) {
	if s.rec.Rooms[room] == 0 {
		m.rooms[wire.Topic{Namespace: s.rec.Namespace, Room: room}]++
	}
	s.rec.Rooms[room] = at
}

// unfenced: a session that was a member of a room from a place on is live or a member no more.
func (m *Machine) unfenced(s *session, room string, at uint64) {
	if at == 0 {
		return
	}
	t := wire.Topic{Namespace: s.rec.Namespace, Room: room}
	if m.rooms[t]--; m.rooms[t] == 0 {
		delete(m.rooms, t)
	}
}

func (m *Machine) joined(pid PID, room string) {
	s := m.sessions[pid]
	switch {
	case m.isUnkept(pid):
		m.do(Joined{pid, room})
		return
	case s == nil || s.state != live:
		return
	}
	if at, ok := s.rec.Rooms[room]; !ok {
		return // left again
	} else if at == 0 {
		if m.order.last() == 0 {
			m.order.add(Ref{}, m.now) // 0 is no place, and 1 is not the next message's
		}
		m.place(s, room, m.order.last())
		m.touch(s)
	}
	m.afterMirrored(pid, s.version, func() {
		if m.isUnkept(pid) || m.sessions[pid] == s && s.state == live && s.rec.Rooms[room] > 0 {
			m.do(Joined{pid, room})
		}
	})
}

// Leave says that a session is a member of a room no more. Left follows.
func (m *Machine) Leave(pid PID, room string) {
	s := m.sessions[pid]
	switch {
	case m.isUnkept(pid):
		m.do(Left{pid, room})
		return
	case s == nil || s.state != live:
		return
	}
	if at, ok := s.rec.Rooms[room]; ok {
		m.unfenced(s, room, at)
		s.bytes -= roomBytes(room)
		delete(s.rec.Rooms, room)
	}
	m.touch(s)
	m.afterMirrored(pid, s.version, func() { m.do(Left{pid, room}) })
}

// SetData changes what goes with a session. The change is lost with the node in the next TickEvery and
// the time on the way.
func (m *Machine) SetData(pid PID, data []byte) {
	if s := m.sessions[pid]; s != nil && s.state == live {
		s.bytes += len(data) - len(s.rec.Data)
		s.rec.Data = slices.Clone(data)
		m.touch(s)
		m.outgrow(s)
	}
}

// Last is the place of what was handed out last, or of what has one without being that; 0 nothing was.
func (m *Machine) Last() uint64 { return m.order.last() }

// Quiet says that a session got nothing behind its cursor last, 0 nothing here, of what was handed out up to place upto. A client that gets
// nothing for longer than the order is kept is not recovered unless this is said of it, every quarter of Window or so.
func (m *Machine) Quiet(pid PID, last, upto uint64) {
	if s := m.sessions[pid]; s != nil && s.state == live && s.rec.Quiet != (Quiet{last, upto}) {
		s.rec.Quiet = Quiet{last, upto}
		m.touch(s)
	}
}

// outgrow keeps a session no more that has too much. It goes on, and nothing that is asked of it waits for mirrors.
func (m *Machine) outgrow(s *session) {
	if s.bytes <= m.cfg.RecordBytes {
		return
	}
	m.stats.Outgrown++
	m.unkeep(s, tooMuch)
}

// unkeep has nobody take a session back any more. If its client is just coming back, that is refused.
func (m *Machine) unkeep(s *session, reason string) {
	if m.attempts[s.rec.PID] != nil {
		m.refuse(s.rec.PID, reason)
	}
	m.End(s.rec.PID)
	m.unkept[s.rec.PID] = struct{}{}
}

func (m *Machine) isUnkept(pid PID) bool { _, ok := m.unkept[pid]; return ok }

// Lost says that the client's connection has ended without a goodbye: it has the Window to come back.
func (m *Machine) Lost(pid PID) {
	delete(m.unkept, pid)
	if s := m.sessions[pid]; s != nil && s.state == live {
		m.become(s, lost)
		m.answered(pid)
		m.endLost()
	}
}

// End ends a session: nobody takes it back.
func (m *Machine) End(pid PID) {
	delete(m.unkept, pid)
	if s := m.sessions[pid]; s != nil && s.state != ended {
		m.answered(pid)
		m.become(s, ended)
		m.touch(s)
	}
}

// replayedTo is a session that was sent what it lacked.
type replayedTo struct {
	pid PID
	d   uint64 // Replay.D
	at  time.Duration
}

// remember has the replay of a session kept for as long as its client may come back with a place in it.
func (m *Machine) remember(s *session) {
	if len(s.rec.Replay.Refs) > 0 {
		m.replays.push(replayedTo{s.rec.PID, s.rec.Replay.D, m.now})
	}
}

// forgetReplays lets go, here and at mirrors, of the replays of sessions whose client has been here since: a connection that brings nothing
// ends much sooner, and cursors of before are too old by now.
func (m *Machine) forgetReplays() {
	for m.replays.len() > 0 && m.now-m.replays.at(0).at > m.gone() {
		of := *m.replays.at(0)
		m.replays.drop()
		if s := m.sessions[of.pid]; s != nil && s.state == live && s.rec.Replay.D == of.d {
			s.rec.Replay = s.rec.Replay.got(m.id)
			m.touch(s)
		}
	}
}

// awaySince is a session that was lost or given at a time.
type awaySince struct {
	s     *session
	since time.Duration
	bytes int // of its record, about
}

// endLost ends what nobody has come back for, and the oldest while they are too much: to connect and be gone again costs a
// client nothing.
func (m *Machine) endLost() {
	for m.away.len() > 0 {
		e := *m.away.at(0)
		early := m.now-e.since <= m.cfg.Window
		if early && m.awayBytes <= m.cfg.AwayBytes {
			return
		}
		m.away.drop()
		m.awayBytes -= e.bytes
		pid := e.s.rec.PID
		if m.sessions[pid] == e.s && (e.s.state == lost || e.s.state == given) && e.s.since == e.since {
			m.End(pid)
			if early {
				m.stats.Forgotten++
			}
		}
	}
}
