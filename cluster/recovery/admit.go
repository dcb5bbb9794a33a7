package recovery

import (
	"maps"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// replays finds, among the entries of sections, those for one session without a look at the others.
type replays struct {
	entries []Entry
	at      map[wire.Topic][]int // by room, rising
}

func indexed(parts []*section) *replays {
	r := &replays{at: map[wire.Topic][]int{}}
	for _, s := range parts {
		r.entries = append(r.entries, s.Entries...)
	}
	for i, e := range r.entries {
		if len(e.Message.Rooms) == 0 {
			t := wire.Topic{Namespace: e.Message.Namespace}
			r.at[t] = append(r.at[t], i)
		}
		for _, room := range e.Message.Rooms {
			t := wire.Topic{Namespace: e.Message.Namespace, Room: room}
			r.at[t] = append(r.at[t], i)
		}
	}
	return r
}

// of are the messages that a session lacks, in order.
func (r *replays) of(w *Want, all bool) (replay []*wire.Message) {
	var at []int
	for room := range w.Rooms {
		at = append(at, r.at[wire.Topic{Namespace: w.Namespace, Room: room}]...)
	}
	slices.Sort(at)
	if all {
		for _, e := range r.entries {
			replay = append(replay, e.Message)
		}
		return replay
	}
	for n, i := range at {
		if n > 0 && at[n-1] == i {
			continue
		}
		if x := r.entries[i].Message; w.Due(x) {
			replay = append(replay, x)
		}
	}
	return replay
}

// admitAll makes the sessions of a gather live here, in one step: what is replayed ends where what comes live begins.
func (m *Machine) admitAll(g *gather, parts []*section) {
	heads := Vector{}
	for _, s := range parts {
		heads[s.Origin] = s.Heads
	}
	r := indexed(parts)
	contested := map[PID]Claim{}
	for _, a := range g.attempts {
		switch {
		case a.over():
		case m.paused:
			m.putOff(a)
		case a.short(parts) && !m.breaks(BreakShort):
			m.refuse(a.pid, "messages have left the log")
		default:
			m.skipDead(parts, a)
			if m.admit(a, g, parts, heads, r); a.granted.Record.Contested {
				contested[a.pid] = a.granted.Record.Claim
			}
		}
	}
	for _, id := range m.linked() { // whoever came back while the sessions were on their way has not heard
		m.tellClaims(id, contested)
	}
}

// skipDead: of what a dead node has published nothing comes any more. The client may have had more of it than its mirror.
func (m *Machine) skipDead(parts []*section, a *attempt) {
	for _, s := range parts {
		p := m.peers[s.Origin]
		if s.Origin == m.id || p != nil && !p.down {
			continue
		}
		heads := most(s.Heads, a.granted.Want.Base[s.Origin])
		if !m.order.current.reaches(s.Origin, heads) {
			m.reach(s.Origin, heads)
			m.do(Skip{s.Origin, heads})
		}
	}
}

// short tells whether some of what a session lacks is gone.
func (a *attempt) short(parts []*section) bool {
	for _, s := range parts {
		if s.orphan > 0 && a.lacksOrphan(s) {
			return true
		}
		lowest := a.lowest(s)
		for k, d := range s.Dropped {
			if d.Seq > lowest[k] && d.Age <= s.at-a.since+a.m.cfg.Slack {
				return true
			}
		}
	}
	return false
}

// wellAfter a node was found dead all others have got the rest of what it published.
const wellAfter = 10 * time.Second

// lacksOrphan tells whether a session may lack messages of a dead node of which nobody has a copy. One that has nothing of it
// lacks nothing if it has a place of well after that death: its owner had never met that node, or got all of it by then.
func (a *attempt) lacksOrphan(s *section) bool {
	w := &a.granted.Want
	lacks := func(v Vector) bool {
		at, has := v[s.Origin]
		return has && behind(at, s.Heads) || !has && a.since <= s.orphan+wellAfter
	}
	for _, floor := range w.Rooms {
		if floor != nil && lacks(floor) {
			return true
		}
	}
	return lacks(w.Base)
}

// lowest is behind which a session may lack messages of an origin.
func (a *attempt) lowest(s *section) wire.Frontiers {
	w := &a.granted.Want
	start := a.start(s)
	lowest := most(w.Base[s.Origin], start)
	for _, floor := range w.Rooms {
		if floor != nil {
			at := most(floor[s.Origin], start)
			for k := range lowest {
				lowest[k] = min(lowest[k], at[k])
			}
		}
	}
	return lowest
}

// start is from where on messages of an origin are for a session.
func (a *attempt) start(s *section) wire.Frontiers {
	w := &a.granted.Want
	f, known := begins(s.Origin, Place{w.Owner, w.Base[s.Origin]}, s.Starts)
	if known {
		return f
	}
	// Its owner and the origin have never met. What was published since the session's place is owed to it: the origin may have
	// started later. What is older was for nobody at that owner.
	for _, e := range s.Entries {
		if s.at-e.Age < a.since {
			k := e.Message.Flags.Stream()
			f[k] = max(f[k], e.Message.Seq)
		}
	}
	return f
}

// started is what a session lacks, with nothing that is before the starts of sections.
func (a *attempt) started(parts []*section) Want {
	w := a.granted.Want
	raise := func(v Vector) Vector {
		v = v.clone()
		for _, s := range parts {
			if at := most(v[s.Origin], a.start(s)); at != (wire.Frontiers{}) {
				v[s.Origin] = at
			}
		}
		return v
	}
	w.Base, w.Rooms = raise(w.Base), maps.Clone(w.Rooms)
	for room, floor := range w.Rooms {
		if floor != nil {
			w.Rooms[room] = raise(floor)
		}
	}
	return w
}

// maxReplay are the most messages that a session is sent of what it lacks. Its record has all their numbers.
const maxReplay = 1 << 14

// lacks are the messages that a session lacks: those of the sections, and then those that came live meanwhile.
func (m *Machine) lacks(a *attempt, g *gather, want *Want, heads Vector, r *replays) []*wire.Message {
	replay := r.of(want, m.breaks(BreakFilter))
	for _, x := range g.buffer {
		if f := RefOf(x); (!heads.Has(f) && !want.Base.Has(f) && !want.got(x) || m.breaks(BreakGate)) && a.granted.Record.member(x) {
			replay = append(replay, x)
		}
	}
	return replay
}

func bytesOf(list []*wire.Message) (bytes int) {
	for _, x := range list {
		bytes += x.Size()
	}
	return bytes
}

// admit makes a session live here.
func (m *Machine) admit(a *attempt, g *gather, parts []*section, heads Vector, r *replays) {
	want := a.started(parts)
	replay := m.lacks(a, g, &want, heads, r)
	if len(replay) > maxReplay || bytesOf(replay) > m.cfg.ReplayBytes {
		m.stats.TooMuch++
		m.refuse(a.pid, tooMuch)
		return
	}
	rec := a.granted.Record
	rec.Quiet, rec.Begun = Quiet{}, false
	rec.Replay = Replay{Old: a.cursor, Want: want, D: m.order.add(Ref{}, m.now), First: m.replayed}
	for _, x := range replay {
		rec.Replay.Refs = append(rec.Replay.Refs, RefOf(x))
	}
	m.replayed += uint64(len(replay))
	if len(replay) == 0 {
		rec.Replay = rec.Replay.got(m.id)
	}
	if old := m.sessions[a.pid]; old != nil {
		m.become(old, ended)
	}
	rec.Rooms = make(map[string]uint64, len(a.granted.Record.Rooms))
	s := &session{rec: rec, came: a.began, bytes: len(rec.Data) + len(rec.User)}
	for room := range a.granted.Record.Rooms {
		m.place(s, room, rec.Replay.D)
		s.bytes += roomBytes(room)
	}
	m.sessions[a.pid] = s
	m.become(s, live)
	m.touch(s)
	m.remember(s)
	a.phase, a.gather = mirroring, nil
	m.active--
	m.nextInLine()
	bytes := bytesOf(replay) + unsentOverhead*len(replay)
	m.unsent += bytes
	m.paused = m.unsent >= m.cfg.UnsentBytes
	m.do(Admit{Record: rec.clone(), D: rec.Replay.First, Replay: replay, Bytes: bytes})
	m.answerMirrored(a, s.version)
}

// unsentOverhead is what a message costs in the queue of one client besides itself, in bytes.
const unsentOverhead = 256

// putOff has a session wait for a gather to come: what others were sent has to leave first.
func (m *Machine) putOff(a *attempt) {
	a.phase, a.gather = arrived, nil
	m.arrived = append(m.arrived, a)
	m.stats.PutOff++
}

// Unsent says how many bytes of what Admit gave have not left for clients. The owner says it after some Admits, or
// nobody is admitted any more.
func (m *Machine) Unsent(bytes int) {
	m.unsent = bytes
	if m.paused && bytes <= m.cfg.UnsentBytes/2 {
		m.paused = false
		m.gather()
	}
}

// answerMirrored answers the client when mirrors have its record.
func (m *Machine) answerMirrored(a *attempt, version uint64) {
	if m.breaks(BreakAnswer) {
		version = 0
	}
	m.afterMirrored(a.pid, version, func() {
		if a.over() {
			return
		}
		m.drop(a)
		for _, id := range m.able() { // not only who gave it may speak for an owner of before
			m.send(id, Done{a.pid, a.granted.Record.Claim})
		}
		m.do(Recovered{a.pid})
	})
}
