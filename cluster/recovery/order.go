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
	entries row[ordered]
	marks   row[Vector] // the i-th is behind entry markAt+i*markEvery: nobody walks further for a place
	markAt  uint64
	current Vector // behind the last entry
}

// markEvery is how many entries are between two marks: with 100 nodes the marks cost less than half as much as the entries.
const markEvery = 4096

// ordered is one entry: a message that was handed out or, without an effect on clients, a place
// in a stream up to which nothing more comes; with Ref zero, the replay of a session.
type ordered struct {
	Ref
	at time.Duration
}

func newOrder() order { return orderFrom(Vector{}, 0, 1) }

// orderFrom is empty, behind base.
func orderFrom(base Vector, at time.Duration, first uint64) order {
	return order{base: base, baseAt: at, first: first, current: base.clone()}
}

// last is the number of the last entry.
func (o *order) last() uint64 { return o.first + uint64(o.entries.len()) - 1 }

func (o *order) add(r Ref, at time.Duration) uint64 {
	o.entries.push(ordered{r, at})
	o.current.raise(r)
	d := o.last()
	if d%markEvery == 0 {
		if o.marks.len() == 0 {
			o.markAt = d
		}
		o.marks.push(o.current.clone())
	}
	return d
}

// entry is that of number d, which is here.
func (o *order) entry(d uint64) *ordered { return o.entries.at(int(d - o.first)) }

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
	v, from := o.base, o.first
	if o.marks.len() > 0 && d >= o.markAt {
		i := (d - o.markAt) / markEvery
		v, from = *o.marks.at(int(i)), o.markAt+i*markEvery+1
	}
	v = v.clone()
	for ; from <= d; from++ {
		v.raise(o.entry(from).Ref)
	}
	return v, o.timeOf(d), true
}

func (o *order) timeOf(d uint64) time.Duration {
	if d < o.first {
		return o.baseAt
	}
	return o.entry(d).at
}

// trim lets go of what was handed out before since, and of all but the last limit entries.
func (o *order) trim(since time.Duration, limit int) {
	for o.entries.len() > limit || o.entries.len() > 0 && o.entries.at(0).at < since {
		e := o.entries.at(0)
		o.base.raise(e.Ref)
		o.baseAt = e.at
		o.entries.drop()
		o.first++
	}
	for o.marks.len() > 0 && o.markAt < o.first {
		o.marks.drop()
		o.markAt += markEvery
	}
}

// forget drops an origin that is dead for so long that nobody has anything of it.
func (o *order) forget(origin wire.NodeID) {
	delete(o.base, origin)
	delete(o.current, origin)
}
