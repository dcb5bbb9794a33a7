package presence

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// copied is another node's set in a room that this node follows.
type copied struct {
	set     *set // nil before all of it has come
	next    *set // all, while it comes; nil else
	over    bool // it was too much for Config.MaxBytes, here or at its node
	stale   bool // set lacks something, and all of it is wanted, or will be
	retryAt time.Duration
	wait    time.Duration // until the want after that
}

// ask wants the set of a node, unless it is of the version that is known.
func (m *Machine) ask(t wire.Topic, id wire.NodeID, c *copied) {
	m.send(id, t.Namespace, frame{Kind: kindWant, Rooms: []state{{Room: t.Room, Version: m.asking(c)}}})
}

// asking begins a want, and gives the version that is known.
func (m *Machine) asking(c *copied) (version uint64) {
	m.free(c.next)
	c.next, c.stale = nil, c.over
	c.retryAt = m.now + max(c.wait, retryFirst)
	c.wait = min(2*max(c.wait, retryFirst), retryMost)
	if c.set != nil && !c.over {
		version = c.set.version
	}
	return version
}

// wantAll asks a node for all rooms, on a new link.
func (m *Machine) wantAll(id wire.NodeID) {
	list := map[string][]state{}
	for t, r := range m.rooms {
		c := r.copies[id]
		if c == nil {
			c = &copied{}
			r.copies[id] = c
		}
		c.wait = 0
		list[t.Namespace] = append(list[t.Namespace], state{Room: t.Room, Version: m.asking(c)})
	}
	m.sendRooms(kindWant, list, func(namespace string, f frame) { m.send(id, namespace, f) })
}

// copyOf is what is known of a node's set in a room that is followed. It is alive: it has spoken.
func (m *Machine) copyOf(from wire.NodeID, t wire.Topic) (*room, *copied) {
	r := m.rooms[t]
	if r == nil {
		return nil, nil
	}
	c := r.copies[from]
	if c == nil { // it has not been wanted of it yet
		return nil, nil
	}
	if c.set != nil && !c.stale || c.next != nil {
		c.retryAt, c.wait = m.now+quietMost, 0
	}
	return r, c
}

// repair wants all of a set anew, as some of it is missing here. What is known stays until then.
func (m *Machine) repair(t wire.Topic, from wire.NodeID, c *copied) {
	m.stats.Repairs++
	m.asking(c)
	c.stale = true
	m.send(from, t.Namespace, frame{Kind: kindWant, Rooms: []state{{Room: t.Room}}})
}

func (m *Machine) heardState(from wire.NodeID, t wire.Topic, s state) {
	r, c := m.copyOf(from, t)
	switch {
	case c == nil:
		return
	case s.Version == 0:
		m.giveUp(r, c)
		return
	}
	if c.set == nil || c.next != nil || c.stale {
		return // all of it is on the way
	}
	if c.set.version != s.Version || c.set.sum != s.Sum {
		m.repair(t, from, c)
	}
}

func (m *Machine) heardPart(from wire.NodeID, t wire.Topic, f frame) {
	r, c := m.copyOf(from, t)
	switch {
	case c == nil || c.over && m.left(c) < 0:
		return
	case f.First:
		m.free(c.next)
		c.next, c.over, c.stale = newSet(f.Version, int(f.Count)), false, false
	case c.next == nil:
		return // of an answer that is not wanted any more
	case c.next.version != f.Version:
		m.repair(t, from, c)
		return
	}
	c.retryAt = m.now + quietMost
	for _, e := range f.Entries {
		m.put(c.next, e)
	}
	switch {
	case m.left(c) < 0:
		m.stats.Dropped++
		m.giveUp(r, c)
	case f.Last && c.next.sum != f.Sum:
		m.repair(t, from, c)
	case f.Last:
		next := c.next
		c.next = nil
		m.replace(t, r, from, c, next, reasonUnknown, false)
	}
}

// left is how many bytes there are for c.next, in whose favour c.set goes: while a set is told anew it counts twice.
func (m *Machine) left(c *copied) int {
	left := m.cfg.MaxBytes - m.bytes
	if c.set != nil {
		left += c.set.bytes
	}
	return left
}

// giveUp keeps what is known of a set that is too much for Config.MaxBytes, but for those that leave. All of it is
// wanted again in a while.
func (m *Machine) giveUp(r *room, c *copied) {
	m.free(c.next)
	c.next, c.over, c.stale = nil, true, true
	c.retryAt = m.now + retryMost
	r.version++
}

// reasonUnknown is told of those whose leaving was missed.
const reasonUnknown = "transport close"

// replace puts another set in the place of a copy. Who is in both is not told of.
func (m *Machine) replace(t wire.Topic, r *room, from wire.NodeID, c *copied, next *set, reason string, returns bool) {
	old := c.set
	c.set = next
	if len(r.members) == 0 { // the others have as many, or so
		r.members = make(map[string]*member, min(len(entriesOf(next))*(1+len(m.nodes)), maxHint))
	}
	for id, e := range entriesOf(next) {
		before, was := entriesOf(old)[id]
		if was && before.sum() == e.sum() {
			continue
		}
		if was { // comes back as somebody else
			m.exit(t, r, from, before, reason, true)
		}
		m.enter(t, r, from, e)
	}
	for id, e := range entriesOf(old) {
		if _, is := entriesOf(next)[id]; !is {
			m.exit(t, r, from, e, reason, returns)
		}
	}
	m.free(old)
}

func entriesOf(s *set) map[string]Entry {
	if s == nil {
		return nil
	}
	return s.entries
}

func (m *Machine) heardDelta(from wire.NodeID, t wire.Topic, f frame) {
	r, c := m.copyOf(from, t)
	if c == nil {
		return
	}
	newest := c.next
	if newest == nil {
		newest = c.set
	}
	if newest != nil && !c.stale && f.Version > newest.version && f.Base != newest.version {
		m.repair(t, from, c)
		return
	}
	lacks := m.apply(c.next, m.left(c), f, nil)
	lacks = m.apply(c.set, m.cfg.MaxBytes-m.bytes, f, func(ch change, e Entry, was bool) {
		switch {
		case !ch.Left && !was:
			m.enter(t, r, from, e)
		case ch.Left && was:
			m.exit(t, r, from, e, ch.Reason, ch.Returns)
		}
	}) || lacks
	if lacks {
		m.stats.Dropped++
		m.giveUp(r, c)
	}
}

// apply makes the changes of a delta that follows s, but for those that there is no place for in so many bytes.
func (m *Machine) apply(s *set, left int, f frame, told func(ch change, e Entry, was bool)) (lacks bool) {
	if s == nil || f.Version <= s.version || f.Base != s.version {
		return false
	}
	s.version = f.Version
	for _, ch := range f.Changes {
		e, was := s.entries[ch.Entry.ID]
		if ch.Left && was {
			m.cut(s, ch.Entry.ID)
			left += e.cost()
		} else if !ch.Left && !was {
			if ch.Entry.cost() > left {
				lacks = true
				continue
			}
			e = ch.Entry
			m.put(s, e)
			left -= e.cost()
		}
		if told != nil {
			told(ch, e, was)
		}
	}
	return lacks
}
