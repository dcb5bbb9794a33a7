package ws

import "slices"

// Place is where a Group stands among those that wait for a client. The order of
// groups of one place is kept.
type Place uint8

// The places.
const (
	// Normal is behind what is normal, and before what is low.
	Normal Place = iota
	// High is before what is normal or low, but not before a Fence.
	High
	// Low is behind what is high or normal.
	Low
	// Barrier is normal, and whatever waits goes before it, what is low too: an
	// answer that says what the client has had by then.
	Barrier
	// Fence is a Barrier that nothing overtakes later: the beginning of something
	// that what comes later belongs to.
	Fence
)

// lanes are the groups of an Outbox that stand before and behind those in waiting.
// They are there from the first group that is high or low until nothing waits, so
// that a client without such has one empty pointer. Meanwhile waiting holds no
// Fence.
type lanes struct{ high, low []*Group }

// place queues g where there are lanes, or must be from now on.
func (o *Outbox) place(g *Group) {
	if o.lanes == nil {
		o.lanes = &lanes{}
		o.passFence()
	}
	l := o.lanes
	switch g.place {
	case High:
		l.high = append(l.high, g)
	case Low:
		l.low = append(l.low, g)
	case Barrier:
		o.waiting = append(append(o.waiting, l.low...), g)
		l.low = nil
	case Fence:
		l.high = append(o.inOrder(), g)
		o.waiting, l.low = nil, nil
	default:
		o.waiting = append(o.waiting, g)
	}
}

// passFence puts what is high behind the last Fence that waits. Without lanes all
// that waits is in one order, so that nobody has had to look for it before.
func (o *Outbox) passFence() {
	for i, g := range slices.Backward(o.waiting) {
		if g.place == Fence {
			o.lanes.high, o.waiting = o.waiting[:i+1:i+1], o.waiting[i+1:]
			return
		}
	}
}

// inOrder is all that waits, where there are lanes.
func (o *Outbox) inOrder() []*Group { return slices.Concat(o.lanes.high, o.waiting, o.lanes.low) }

// next is where the groups are that go out next.
func (o *Outbox) next() *[]*Group {
	switch l := o.lanes; {
	case l == nil:
		return &o.waiting
	case len(l.high) > 0:
		return &l.high
	case len(o.waiting) > 0:
		return &o.waiting
	default:
		return &l.low
	}
}

// settle gives the lanes up when nothing waits.
func (o *Outbox) settle() {
	if l := o.lanes; l != nil && len(l.high) == 0 && len(o.waiting) == 0 && len(l.low) == 0 {
		o.waiting, o.lanes = nil, nil
	}
}
