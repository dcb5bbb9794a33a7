package recovery

import (
	"math/bits"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// lag is what has been handed out behind the last place that mirrors have confirmed. A cursor says it: the place of one that was
// handed out shortly before its node died is known to nobody else, and what is behind the last that is known would come again.
type lag struct {
	streams   [maxLag]lagging
	n         int
	confirmed uint64 // all have it that may speak for this node now
	sure      uint64 // ... and those that are about to
	unsaid    uint64 // the place of the last message for whose stream there was no room

	// names are how many bits of its hash tell an origin from all others that are known; of so many peers and origins.
	names map[wire.NodeID]uint
	met   uint64
	known int
}

// lagging is a stream: how far it is in the order, and the place of the last message that was handed out.
type lagging struct {
	Ref
	d    uint64
	name uint // see lag.names
}

// placed gives r the next place in the order.
func (m *Machine) placed(r Ref) uint64 {
	m.lag.raise(r)
	return m.order.add(r, m.now)
}

// raise: a mirror may know of r by the next place, so nothing less may be said of its stream.
func (l *lag) raise(r Ref) {
	for i := range l.streams[:l.n] {
		if s := &l.streams[i]; s.Origin == r.Origin && s.Stream == r.Stream {
			s.Seq = max(s.Seq, r.Seq)
		}
	}
}

// ahead is the cursor of place d, the last, at which r was handed out.
func (m *Machine) ahead(r Ref, d uint64) Cursor {
	c := Cursor{Node: m.id, D: d}
	if m.lag.names == nil || m.lag.met != m.met || m.lag.known != len(m.order.current) {
		m.nameOrigins()
	}
	m.lag.trim()
	m.lag.add(Ref{r.Origin, r.Stream, m.order.current[r.Origin][r.Stream]}, d)
	if len(m.feeds) == 0 || d > maxPlace {
		return c
	}
	if c.Lag = m.lag.said(); m.lag.unsaid > m.lag.sure || int(c.Lag[0]>>lagCount) < m.lag.n {
		m.stats.Vague++
	}
	return c
}

// confirmed notes up to where all have the order that may speak for this node. While that is in doubt it stays what it was. A new buddy
// may be far behind the others when it becomes one of them.
func (m *Machine) confirmed() {
	l := &m.lag
	if have, ok := m.everywhere(); ok {
		l.confirmed = have.D
	}
	l.sure = l.confirmed
	for _, b := range m.feeds {
		l.sure = min(l.sure, b.acked.D)
	}
}

// trim lets go of what all mirrors have.
func (l *lag) trim() {
	n := 0
	for i := range l.streams[:l.n] {
		if s := &l.streams[i]; s.d > l.sure {
			if i > n {
				l.streams[n] = *s
			}
			n++
		}
	}
	l.n = n
}

// add has r at place d. When there is no room what mirrors have that may speak now goes before what they have not.
func (l *lag) add(r Ref, d uint64) {
	first := 0
	for i := range l.streams[:l.n] {
		if s := &l.streams[i]; s.Origin == r.Origin && s.Stream == r.Stream {
			s.d = d
			return
		} else if s.d < l.streams[first].d {
			first = i
		}
	}
	at := l.n
	switch {
	case at < maxLag:
		l.n++
	case l.streams[first].d <= l.confirmed:
		at = first
		l.unsaid = max(l.unsaid, l.streams[first].d)
	default:
		l.unsaid = d
		return
	}
	l.streams[at] = lagging{r, d, l.names[r.Origin]}
}

// said has as many streams as have a name of the bits that there are for so many.
func (l *lag) said() Lag {
	for n := l.n; n > 0; n-- {
		if v, ok := l.saidOf(n); ok {
			return v
		}
	}
	return Lag{}
}

// saidOf has n of the streams; false when fewer have a name.
func (l *lag) saidOf(n int) (v Lag, ok bool) {
	f, k := lagForms[n], 0
	for i := range l.streams[:l.n] {
		if s := &l.streams[i]; s.name <= f.origin && k < n {
			v.push(uint64(s.Stream)<<(f.origin+f.number)|hashOf(s.Origin)>>(64-f.origin)<<f.number|s.Seq&(1<<f.number-1), f.bits())
			k++
		}
	}
	v[0] |= uint64(n) << lagCount
	return v, k == n
}

// hashOf is where in a Lag an origin has its name.
func hashOf(origin wire.NodeID) uint64 { return rank(0, origin) }

// nameOrigins finds how many bits tell each origin from the others that this node knows. A mirror knows no other one: whoever was
// handed something of before the place that it has, and whom this node had met.
func (m *Machine) nameOrigins() {
	l := &m.lag
	l.names, l.met, l.known = make(map[wire.NodeID]uint, len(m.peers)+1), m.met, len(m.order.current)
	l.names[m.id] = 0
	for id := range m.peers {
		l.names[id] = 0
	}
	for id := range m.order.current {
		l.names[id] = 0
	}
	for i := range l.streams[:l.n] {
		l.names[l.streams[i].Origin] = 0
	}
	ids := sorted(l.names)
	slices.SortFunc(ids, func(a, b wire.NodeID) int {
		if hashOf(a) < hashOf(b) {
			return -1
		}
		return 1
	})
	for i := range len(ids) - 1 {
		same := uint(bits.LeadingZeros64(hashOf(ids[i])^hashOf(ids[i+1]))) + 1
		l.names[ids[i]], l.names[ids[i+1]] = max(l.names[ids[i]], same), same
	}
	for i := range l.streams[:l.n] {
		l.streams[i].name = l.names[l.streams[i].Origin]
	}
}

// got is what a client has whose cursor says v, and is behind all that this mirror knows of the order. Of each number it takes the least that
// is not less than the own one and ends with the same bits: if so much was handed out that there is a higher one, the rest comes again. One that
// would be half way round is none, in case that it was meant to be less.
func (x *mirror) got(owner wire.NodeID, v Lag) (refs []Ref) {
	n, f, ok := v.form()
	if !ok {
		return nil
	}
	for range n {
		low := v.pop(f.number)
		name := v.pop(f.origin)
		stream := wire.Stream(v.pop(streamBits))
		origin, ok := x.named(owner, name, f.origin)
		if !ok || stream >= wire.Streams {
			continue
		}
		at := x.order.current[origin][stream]
		if more := (low - at) & (1<<f.number - 1); more > 0 && more < 1<<(f.number-1) {
			refs = append(refs, Ref{origin, stream, at + more})
		}
	}
	return refs
}

// named is the origin with these first bits of its hash, if one alone has them of all that the owner knew, as far as this mirror does.
func (x *mirror) named(owner wire.NodeID, name uint64, bits uint) (origin wire.NodeID, ok bool) {
	found := map[wire.NodeID]struct{}{}
	look := func(id wire.NodeID) {
		if hashOf(id)>>(64-bits) == name {
			origin = id
			found[id] = struct{}{}
		}
	}
	look(owner)
	for id := range x.order.current {
		look(id)
	}
	for id := range x.met {
		look(id)
	}
	return origin, len(found) == 1
}
