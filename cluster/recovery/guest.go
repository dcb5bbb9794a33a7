package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// guest is what RecoverRooms knows of a client: it has no session, so nothing of it is mirrored.
type guest struct {
	namespace string
	rooms     []string
	places    map[wire.NodeID]PlaceFound // what all have answered
}

// RecoverRooms begins to recover a client that has no session, as those of server-sent events: it says its rooms, "" for the
// namespace, and the cursor of the last message that it got. key names it here. What follows is as for Recover; Arrive and Admit
// have a Record that has nothing else. The cursor must be of a time when those were Joined of a session of the same rooms: of one of before
// nobody knows where its rooms begin, and messages of before may come.
func (m *Machine) RecoverRooms(key PID, namespace string, rooms []string, c Cursor) {
	m.begin(&attempt{m: m, pid: key, cursor: c, began: m.now, guest: &guest{namespace: namespace, rooms: rooms}})
}

// lookPlace asks everybody for the place of the cursor.
func (a *attempt) lookPlace() {
	a.guest.places = map[wire.NodeID]PlaceFound{}
	for _, id := range a.m.able() {
		a.m.send(id, AskPlace{a.id, a.cursor})
	}
}

// askedPlace tells the place of a cursor of this node, or of a dead one that it mirrors.
func (m *Machine) askedPlace(from wire.NodeID, f AskPlace) {
	answer := PlaceFound{ID: f.ID, Owner: f.Cursor.Node}
	var at time.Duration
	switch x := m.mirrors[f.Cursor.Node]; {
	case f.Cursor.Node == m.id:
		answer.Kind = FoundOwner
		answer.At, at = m.ownPlace(f.Cursor.D)
		if f.Cursor.D >= replayedFrom {
			answer.Owner = 0
		}
	case x == nil || !m.speaksFor(f.Cursor.Node):
	case !m.closed(f.Cursor.Node):
		answer.Kind, answer.Gen = FoundAlive, x.gen
	default:
		answer.Kind, answer.Gen = FoundMirror, x.gen
		if f.Cursor.D < replayedFrom {
			answer.At, at, _ = x.order.at(f.Cursor.D)
		}
	}
	answer.Since = m.now - at
	m.send(from, answer)
}

// ownPlace is that of a cursor of this node, and since when its client may lack something; nil when it is not known any more.
func (m *Machine) ownPlace(d uint64) (Vector, time.Duration) {
	if d < replayedFrom {
		v, at, _ := m.order.at(d)
		return v, at
	}
	i := m.guests.find(func(r *guestReplay) bool { return r.first <= d }) - 1
	if i < 0 {
		return nil, 0
	}
	r := m.guests.at(i)
	if d-r.first > uint64(len(r.refs)) {
		return nil, 0
	}
	if m.breaks(BreakReplayCursors) {
		return r.base, r.since
	}
	return raised(r.base, r.refs[:d-r.first]), r.since
}

// placeFound goes on when everybody has answered: the node itself, or else a mirror of the last generation.
func (m *Machine) placeFound(from wire.NodeID, f PlaceFound) {
	a := m.asking[f.ID]
	if a == nil || a.guest == nil || a.phase != looking {
		return
	}
	a.guest.places[from] = f
	if len(a.guest.places) < m.ables() {
		return
	}
	gen := uint64(0)
	if p := m.peers[a.cursor.Node]; p != nil {
		gen = p.gen
	}
	for _, p := range a.guest.places {
		gen = max(gen, p.Gen)
	}
	var best *PlaceFound
	alive := false
	for _, id := range m.able() {
		p, ok := a.guest.places[id]
		if !ok {
			return
		}
		alive = alive || p.Kind == FoundAlive
		if p.Kind == FoundOwner || best == nil && p.Kind == FoundMirror && (p.Gen >= gen || m.breaks(BreakGen)) {
			best = &p
		}
	}
	switch {
	case best != nil && best.At != nil:
		a.arriveGuest(best)
	case best != nil || !alive:
		m.refuse(a.pid, "the place is not known")
	}
}

// arriveGuest is arrive for a client without a session.
func (a *attempt) arriveGuest(p *PlaceFound) {
	g := a.guest
	w := Want{Owner: p.Owner, Namespace: g.namespace, Base: p.At, Rooms: map[string]Vector{}, In: g.rooms}
	rec := Record{PID: a.pid, Namespace: g.namespace, Rooms: map[string]uint64{}}
	for _, room := range g.rooms {
		w.Rooms[room], rec.Rooms[room] = nil, 0
	}
	a.arrive(Granted{ID: a.id, Record: rec, Want: w, Since: p.Since})
}

// guestReplay is what was replayed to a client without a session: it may come back with a cursor of the midst of it.
type guestReplay struct {
	first uint64
	base  Vector
	refs  []Ref
	since time.Duration
	at    time.Duration
}

// guestRefs are the most replayed messages that are kept of such clients. Of which there is nothing, it is not recovered.
const guestRefs = 1 << 20

// admitGuest has what comes from now on go to a client without a session.
func (m *Machine) admitGuest(a *attempt, want *Want, replay []*wire.Message) {
	r := guestReplay{first: m.replayed, base: want.Base, since: a.since, at: m.now}
	for _, x := range replay {
		r.refs = append(r.refs, RefOf(x))
	}
	m.replayed += uint64(len(replay)) + 1
	if len(replay) > 0 {
		m.guests.push(r)
		m.guestRefs += len(r.refs)
		m.forgetGuests(0, guestRefs)
	}
	m.do(Admit{Record: a.granted.Record.clone(), D: r.first, Replay: replay, Last: m.order.add(Ref{}, m.now)})
	m.drop(a)
	m.do(Recovered{a.pid})
}

// forgetGuests lets go of replays of before since, and of the oldest while they have more than limit messages.
func (m *Machine) forgetGuests(since time.Duration, limit int) {
	for m.guests.len() > 0 && (m.guests.at(0).at < since || m.guestRefs > limit) {
		m.guestRefs -= len(m.guests.at(0).refs)
		m.guests.drop()
	}
}
