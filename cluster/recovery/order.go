package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// order is in which order a node has handed messages to its clients: the D-th of them
// is entries[D-first]. So a cursor is a number, and yet stands for a place in the streams of all origins.
type order struct {
	base    Vector // before the first entry
	baseAt  time.Duration
	first   uint64
	entries []ordered
	current Vector // behind the last entry
}

// ordered is one entry: a message that was handed out or, without an effect on clients, a place
// in a stream up to which nothing more comes; with Ref zero, a message of a replay.
type ordered struct {
	Ref
	at time.Duration
}

func newOrder() order { return order{base: Vector{}, first: 1, current: Vector{}} }

// last is the number of the last entry.
func (o *order) last() uint64 { return o.first + uint64(len(o.entries)) - 1 }

func (o *order) add(r Ref, at time.Duration) uint64 {
	o.entries = append(o.entries, ordered{r, at})
	if r.Seq > 0 {
		o.current.raise(r)
	}
	return o.last()
}

// at is what had been handed out up to entry d, and when that was. Of entries that
// are not here yet it knows the last that is: what a node has handed out last may be lost with it.
// False when d is too old.
func (o *order) at(d uint64) (Vector, time.Duration, bool) {
	if d < o.first-1 {
		return nil, 0, false
	}
	if d >= o.last() {
		return o.current.clone(), o.timeOf(o.last()), true
	}
	v := o.base.clone()
	for _, e := range o.entries[:d-o.first+1] {
		if e.Seq > 0 {
			v.raise(e.Ref)
		}
	}
	return v, o.timeOf(d), true
}

func (o *order) timeOf(d uint64) time.Duration {
	if d < o.first {
		return o.baseAt
	}
	return o.entries[d-o.first].at
}

// trim lets go of what was handed out before since, and of all but the last limit entries.
func (o *order) trim(since time.Duration, limit int) {
	n := max(0, len(o.entries)-limit)
	for n < len(o.entries) && o.entries[n].at < since {
		n++
	}
	for _, e := range o.entries[:n] {
		if e.Seq > 0 {
			o.base.raise(e.Ref)
		}
		o.baseAt = e.at
	}
	o.entries, o.first = o.entries[n:], o.first+uint64(n)
}

// forget drops an origin that is dead for so long that nobody has anything of it.
func (o *order) forget(origin wire.NodeID) {
	delete(o.base, origin)
	delete(o.current, origin)
}
