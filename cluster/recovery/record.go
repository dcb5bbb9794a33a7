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
	User      string // whoever takes it back must be the same: see SetUser
	Data      []byte
	// Rooms has for each room the place in the owner's order from which on the session is a
	// member for sure; 0 while its join is not acknowledged. "" is the namespace, SID the session.
	Rooms map[string]uint64
	Claim Claim
	// Contested sessions were claimed from a node that was taken for dead. It may own them still.
	Contested bool
	// Begun: its client was served before the places of its namespace and its id were known, see Machine.Begin.
	Begun  bool
	Replay Replay
	Quiet  Quiet
}

// Quiet says that of all that was handed out up to place Upto, the session got nothing behind its cursor Last: whoever comes with that one
// lacks what is behind Upto. 0 it got nothing here.
type Quiet struct{ Last, Upto uint64 }

// Replay is how a session came to its owner. Its client may have got any part of what was
// replayed, or nothing: then it comes back with the cursor that it came with.
type Replay struct {
	Old  Cursor
	Want Want   // nothing but Got if there are no Refs
	D    uint64 // place in the order; 0 the session began here
	// First is the cursor before that of the first replayed message. Those have numbers of their own, from replayedFrom on.
	First uint64
	Refs  []Ref
}

// got is the replay of which the client has got everything: it may have the cursor behind the last message,
// and is as one that lacked nothing when it came.
func (p Replay) got(owner wire.NodeID) Replay {
	p.First += uint64(len(p.Refs))
	if len(p.Refs) > 0 {
		p.Old = Cursor{Node: owner, D: p.First}
	}
	p.Want, p.Refs = Want{Got: p.Want.Got}, nil
	return p
}

func roomBytes(room string) int { return len(room) + 12 }

// size is about what a record costs in frames and at mirrors, in bytes.
func (r *Record) size() int {
	n := 200 + len(r.PID) + len(r.SID) + len(r.Namespace) + len(r.User) + len(r.Data) + 3*len(r.Replay.Refs)
	for room := range r.Rooms {
		n += roomBytes(room)
	}
	const origin = 30
	n += origin * (len(r.Replay.Want.Base) + len(r.Replay.Want.Got))
	for room, floor := range r.Replay.Want.Rooms {
		n += 2*len(room) + origin*len(floor)
	}
	return n
}

// replayedFrom is behind every place of an order.
const replayedFrom = 1 << 63

// lastPlace is the furthest place in the owner's order that r speaks of.
func (r *Record) lastPlace() uint64 {
	d := max(r.Replay.D, r.Quiet.Upto)
	for _, from := range r.Rooms {
		d = max(d, from)
	}
	return d
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
	// Got are how far it is in some streams beyond that: so its client says. That may be a lie, so nothing follows from it but that
	// these are not sent to it again. What is in no room's place was published before them, so it is owed none of those elsewhere.
	Got []Ref
}

// Due tells whether m is one of them.
func (w *Want) Due(m *wire.Message) bool {
	if m.Namespace != w.Namespace || slices.Contains(m.Except, w.SID) || overlap(m.Except, w.In) || w.got(m) {
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

// got tells whether the client has m, as its cursor says.
func (w *Want) got(m *wire.Message) bool {
	r := RefOf(m)
	return slices.ContainsFunc(w.Got, func(g Ref) bool { return g.Origin == r.Origin && g.Stream == r.Stream && r.Seq <= g.Seq })
}

// maxGot are the most streams of Want.Got. What a client had of a dead node and no mirror has goes with its session: another mirror may
// have it.
const maxGot = 2 * maxLag

// addGot adds refs to Got, the newest first, but what w does not lack anyway.
func (w *Want) addGot(lists ...[]Ref) {
	for _, list := range lists {
		for _, r := range list {
			lacks := !w.Base.Has(r)
			for _, floor := range w.Rooms {
				lacks = lacks || floor != nil && !floor.Has(r)
			}
			if lacks && len(w.Got) < maxGot {
				w.Got = append(w.Got, r)
			}
		}
	}
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
