package recovery

import (
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// resolve finds what a client lacks that comes with a cursor, by the record of its session
// and the order of the session's owner, and since when it may lack it. False when that cannot be told.
func (m *Machine) resolve(rec *Record, owner wire.NodeID, o *order, c Cursor) (w Want, since time.Duration, ok bool) {
	if w, since, ok = m.resolveCursor(rec, owner, o, c.place()); !ok {
		return w, 0, false
	}
	var got []Ref
	if owner != m.id && c.Node == owner && c.D > o.last() && c.D < replayedFrom && !m.breaks(BreakLag) {
		got = m.mirrors[owner].got(owner, c.Lag)
	}
	w.addGot(got, rec.Replay.Want.Got)
	return w, since, true
}

func (m *Machine) resolveCursor(rec *Record, owner wire.NodeID, o *order, c Cursor) (w Want, since time.Duration, ok bool) {
	p := &rec.Replay
	if rec.quietSince(c, owner) || m.breaks(BreakQuiet) && rec.Quiet.Upto > 0 {
		return m.resolvePlace(rec, owner, o, max(rec.Quiet.Upto, p.D))
	}
	if p.D > 0 && c == p.Old.place() {
		return m.resolveOld(rec, owner, o)
	}
	if c.Node != owner && (p.D > 0 || c != Cursor{}) || c.D < p.D {
		return w, 0, false // that of an owner before, of which this one knows nothing
	}
	if c.D >= replayedFrom {
		return m.resolveReplayed(rec, owner, o, c.D)
	}
	return m.resolvePlace(rec, owner, o, c.D)
}

// ofThis is c for a session that has been its owner's alone, and zero if c is of one before: the official client keeps its last place
// until it gets an event, and has got nothing of this one. Of a session that was given to somebody, c may be his.
func (r *Record) ofThis(c Cursor, owner wire.NodeID) Cursor {
	if r.Replay.D == 0 && (c.Node != owner || c.D >= replayedFrom) {
		return Cursor{}
	}
	return c
}

// quietSince tells whether c is the cursor of which Quiet speaks.
func (r *Record) quietSince(c Cursor, owner wire.NodeID) bool {
	switch {
	case r.Quiet.Upto == 0:
		return false
	case r.Quiet.Last > 0:
		return c == Cursor{Node: owner, D: r.Quiet.Last}
	case r.Replay.D > 0:
		return c == r.Replay.Old.place() && len(r.Replay.Refs) == 0
	}
	return c == Cursor{}
}

// resolveReplayed is for a client that has got a part of a replay, or all of it.
func (m *Machine) resolveReplayed(rec *Record, owner wire.NodeID, o *order, d uint64) (w Want, since time.Duration, ok bool) {
	p := &rec.Replay
	if d < p.First || d-p.First > uint64(len(p.Refs)) {
		return w, 0, false // of an earlier one
	}
	got := p.Refs[:d-p.First]
	if len(got) == len(p.Refs) {
		return m.resolvePlace(rec, owner, o, p.D)
	}
	if w, since, ok = m.resolveOld(rec, owner, o); !ok || m.breaks(BreakReplayCursors) {
		return w, since, ok
	}
	w.Base = raised(w.Base, got)
	for room, floor := range w.Rooms {
		if floor != nil {
			w.Rooms[room] = raised(floor, got)
		}
	}
	return w, since, true
}

func raised(v Vector, by []Ref) Vector {
	v = v.clone()
	for _, r := range by {
		v.raise(r)
	}
	return v
}

// resolveOld is for a client that has not got all of the replay, and none of what came
// behind it.
func (m *Machine) resolveOld(rec *Record, owner wire.NodeID, o *order) (w Want, since time.Duration, ok bool) {
	p := &rec.Replay
	if len(p.Refs) == 0 {
		return m.resolvePlace(rec, owner, o, p.D) // it lacked nothing when it came
	}
	// Rooms that it has joined here since have a place in the order; of the others it lacks
	// what it lacked when it came.
	w, since, ok = m.resolvePlace(rec, owner, o, p.D)
	if !ok {
		return w, 0, false
	}
	w.Owner = 0 // these places are of several nodes, and the first has filled in what it did not know
	for room := range w.Rooms {
		if rec.Rooms[room] > p.D {
			continue
		}
		floor, had := p.Want.Rooms[room]
		if !had {
			continue // its join had not been acknowledged: nothing of it was replayed
		}
		if floor == nil {
			floor = p.Want.Base
		}
		w.Rooms[room] = floor
	}
	return w, since - m.cfg.Window, true
}

// resolvePlace is for a client that has got all up to entry d.
func (m *Machine) resolvePlace(rec *Record, owner wire.NodeID, o *order, d uint64) (w Want, since time.Duration, ok bool) {
	w = Want{Owner: owner, Namespace: rec.Namespace, SID: rec.SID, Rooms: map[string]Vector{}}
	since = o.timeOf(o.last())
	for room, from := range rec.Rooms {
		w.In = append(w.In, room)
		switch base := room == "" || room == rec.SID; {
		case base && (from == 0 || rec.Begun && from > d) && !m.breaks(BreakBegin):
			return w, 0, false // it was served before: see Begin
		case from == 0: // not acknowledged: it begins anew
			continue
		case from > d && !m.breaks(BreakSince):
			v, at, ok := o.at(from)
			if !ok {
				return w, 0, false
			}
			w.Rooms[room], since = v, min(since, at)
			continue
		case w.Base == nil:
			var at time.Duration
			if w.Base, at, ok = o.at(d); !ok {
				return w, 0, false
			}
			since = min(since, at)
		}
		w.Rooms[room] = nil
	}
	slices.Sort(w.In)
	if w.Base == nil {
		w.Base = Vector{}
	}
	return w, since, true
}
