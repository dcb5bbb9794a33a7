package node

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// replay is what a client has missed that is back: references until it is told that it is recovered, as mirrors
// take their time. It is set before its shard has it, and the shard's then.
type replay struct {
	list  []*wire.Message
	first recovery.Cursor // the one before that of the first
	since uint64          // what was handed out up to here is in list, or not for it
}

// due is a message that its client gets first, with its cursor; none of one that is not of the replay.
type due struct {
	m     *wire.Message
	place recovery.Cursor
}

func (d due) delivery() *Delivery { return &Delivery{Message: d.m, place: d.place, named: true} }

// missed is what a client gets first that comes back: the replay, and what has waited of rooms that its OnConnect handlers
// have joined, in the order of each publisher. Those come without a cursor, as the replay's are counted. rest
// is what waited and came later.
func (r *replay) missed(pending []*Delivery) (first []due, rest []*Delivery) {
	first = make([]due, 0, len(r.list))
	for i, m := range r.list {
		first = append(first, due{m, recovery.Cursor{Node: r.first.Node, D: r.first.D + 1 + uint64(i)}})
	}
	var has map[recovery.Ref]bool
	for _, d := range pending {
		if d.place.D == 0 || d.place.D > r.since {
			rest = append(rest, d)
			continue
		}
		if has == nil {
			has = r.refs()
		}
		if !has[recovery.RefOf(d.Message)] {
			first = insert(first, d.Message)
		}
	}
	return first, rest
}

func (r *replay) refs() map[recovery.Ref]bool {
	has := make(map[recovery.Ref]bool, len(r.list))
	for _, m := range r.list {
		has[recovery.RefOf(m)] = true
	}
	return has
}

// insert puts m before the first of list that its node published later in the same stream.
func insert(list []due, m *wire.Message) []due {
	of := gateOf(m)
	i := slices.IndexFunc(list, func(x due) bool { return gateOf(x.m) == of && x.m.Seq > m.Seq })
	if i < 0 {
		i = len(list)
	}
	return slices.Insert(list, i, due{m: m})
}

// Gauge is what a Sink may be besides: it tells how many bytes wait for its client, of all that has not left. Locks are held: it calls
// nothing of the node, and does not block. Of one that is none nothing waits.
type Gauge interface {
	Waiting() int
}

// unsent is what clients that are back have not got of their replays. A replay is made for one client alone, as its cursors are,
// so what waits of it is memory that nobody shares. It is guarded by Node.mu.
type unsent struct {
	list  []*unsentReplay
	bytes int
}

type unsentReplay struct {
	s     *Session
	given atomic.Bool   // to its Sink
	all   int           // bytes that it takes, with its queue
	text  int           // ... without
	bytes int           // of all, those that have not left
	until time.Duration // as atLocked has it; later it is a slow client as any other
}

// unsentPatience is how long a replay that its client does not read keeps others from coming back: half of
// recovery.Config.Patience, or they would be refused together.
const unsentPatience = 5 * time.Second

// add counts the replay of a session that is about to get it.
func (u *unsent) add(s *Session, bytes int, now time.Duration) {
	x := &unsentReplay{s: s, all: bytes, bytes: bytes, until: now + unsentPatience}
	for _, m := range s.kept.replay.list {
		x.text += m.Size()
	}
	if x.text == 0 {
		return
	}
	s.kept.unsent = x
	u.list = append(u.list, x)
	u.bytes += bytes
}

// look counts anew.
func (u *unsent) look(now time.Duration) {
	u.bytes = 0
	u.list = slices.DeleteFunc(u.list, func(x *unsentReplay) bool {
		x.look(now)
		u.bytes += x.bytes
		return x.bytes == 0
	})
	if len(u.list) == 0 {
		u.list = nil
	}
}

// look counts what is left: never more than before, as what comes behind is none of the replay.
func (x *unsentReplay) look(now time.Duration) {
	switch {
	case x.s.state == sessionClosed || now >= x.until:
		x.bytes = 0
	case x.given.Load():
		waiting := 0
		if g, ok := x.s.sink.(Gauge); ok {
			waiting = g.Waiting()
		}
		x.bytes = min(x.bytes, int(int64(waiting)*int64(x.all)/int64(x.text)))
	}
}
