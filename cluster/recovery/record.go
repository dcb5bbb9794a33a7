package recovery

import (
	"maps"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// PID is the secret by which a client takes its session back: 16 random bytes or their text.
// No other client ever sees it.
type PID string

// Claim says who owns a session, the higher one of two. Each move and each claim adds
// one; nodes that claim the same in a partition differ by their ids.
type Claim struct {
	N    uint64
	Node wire.NodeID
}

// Less tells whether other beats c.
func (c Claim) Less(other Claim) bool {
	return c.N < other.N || c.N == other.N && c.Node < other.Node
}

// Record is what mirrors keep of a session while it is connected.
type Record struct {
	PID       PID
	SID       string
	Namespace string
	User      string // whoever takes it back must be the same
	Data      []byte
	// Rooms has for each room the place in the owner's order from which on the session is a
	// member for sure; 0 while its join is not acknowledged. "" is the namespace, SID the session.
	Rooms map[string]uint64
	Claim Claim
	// Contested sessions were claimed from a node that was taken for dead. It may own them still.
	Contested bool
	Replay    Replay
}

// Replay is how a session came to its owner. Its client may have got any part of what was
// replayed, or nothing: then it comes back with the cursor that it came with.
type Replay struct {
	Old  Cursor
	Want Want
	D    uint64 // the entry before that of the first replayed message; 0 the session began here
	Refs []Ref
}

// size is about what a record costs in frames and at mirrors, in bytes.
func (r *Record) size() int {
	n := 200 + len(r.PID) + len(r.SID) + len(r.Namespace) + len(r.User) + len(r.Data) + 20*len(r.Replay.Refs)
	for room := range r.Rooms {
		n += len(room) + 12
	}
	return n
}

func (r *Record) clone() Record {
	c := *r
	c.Rooms = maps.Clone(r.Rooms)
	return c
}

// Want is what a session lacks: messages to Rooms that are behind Base or, for those that it has
// joined since, behind the place that Rooms names. Of an origin that Owner, whose places these are, had nothing of at one,
// it lacks what was published since that origin came to know Owner; 0 these places say all.
type Want struct {
	Owner     wire.NodeID
	Namespace string
	SID       string
	Base      Vector
	Rooms     map[string]Vector
	In        []string // all its rooms, for Except
}

// Due tells whether m is one of them.
func (w *Want) Due(m *wire.Message) bool {
	if m.Namespace != w.Namespace || slices.Contains(m.Except, w.SID) || overlap(m.Except, w.In) {
		return false
	}
	if len(m.Rooms) == 0 {
		return w.lacks("", m)
	}
	return slices.ContainsFunc(m.Rooms, func(r string) bool { return w.lacks(r, m) })
}

func (w *Want) lacks(room string, m *wire.Message) bool {
	floor, ok := w.Rooms[room]
	if floor == nil {
		floor = w.Base
	}
	return ok && !floor.Has(RefOf(m))
}

// started is w with nothing that is before the start of a section.
func (w Want) started(of []Section) Want {
	raise := func(v Vector) Vector {
		v = v.clone()
		for _, s := range of {
			v[s.Origin] = most(v[s.Origin], s.Start)
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

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// member tells whether m is for a session in these rooms, whenever it was published.
func (r *Record) member(m *wire.Message) bool {
	if m.Namespace != r.Namespace {
		return false
	}
	for _, x := range m.Except {
		if _, ok := r.Rooms[x]; ok {
			return false
		}
	}
	if len(m.Rooms) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Rooms, func(x string) bool { _, ok := r.Rooms[x]; return ok })
}
