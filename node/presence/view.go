package presence

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// The reasons of member_left that are not the official server's words for a disconnect.
const (
	ReasonLeft     = "left"      // it left the room
	ReasonNodeDown = "node_down" // its node is gone
)

// room is a room that this node follows.
type room struct {
	copies   map[wire.NodeID]*copied
	members  map[string]*member
	sorted   []*member // in order of keys; nil until there is a list
	moves    int       // changes that have kept the order since then
	watchers int
	used     time.Duration // when somebody asked last
	begun    time.Duration
	version  uint64        // rises with each change of what a list has
	place    *list.Element // in Machine.idle; nil while somebody watches
}

// member is a Member as this node has it.
type member struct {
	key     string
	sockets []socket  // by id, then node
	one     [1]socket // place for the one that most have; the last that left, while there is none
	until   time.Duration
	reason  string
}

// socket is one of a member's.
type socket struct {
	entry Entry
	node  wire.NodeID
	name  string // of the node
}

func (s socket) compare(id string, node wire.NodeID) int {
	if s.entry.ID != id {
		return strings.Compare(s.entry.ID, id)
	}
	switch {
	case s.node < node:
		return -1
	case s.node > node:
		return 1
	}
	return 0
}

// grace is the end of one's return.
type grace struct {
	at    time.Duration
	topic wire.Topic
	key   string
}

// Follows tells whether this node follows a room.
func (m *Machine) Follows(t wire.Topic) bool { return m.rooms[t] != nil }

// Watch follows a room from now on, until nobody has asked for a while. ErrFull is that
// there are too many.
func (m *Machine) Watch(t wire.Topic) error {
	if r := m.rooms[t]; r != nil {
		m.use(t, r)
		return nil
	}
	if len(m.rooms) >= m.cfg.MaxRooms {
		m.evict()
	}
	if len(m.rooms) >= m.cfg.MaxRooms || m.bytes >= m.cfg.MaxBytes {
		m.stats.Refused++
		return ErrFull
	}
	r := &room{copies: map[wire.NodeID]*copied{}, members: map[string]*member{}, begun: m.now}
	m.rooms[t] = r
	m.use(t, r)
	m.busy()
	for _, e := range m.track(t).set.entries {
		m.enter(t, r, m.cfg.Self, e)
	}
	// The interest is known to the others before the want: it goes first.
	m.out.Interest = append(m.out.Interest, Interest{t, true})
	for id, n := range m.nodes {
		if n.up {
			c := &copied{}
			r.copies[id] = c
			m.ask(t, id, c)
		}
	}
	return nil
}

// Hold keeps a room followed, as often as it is called with 1 more than with -1.
func (m *Machine) Hold(t wire.Topic, by int) {
	if r := m.rooms[t]; r != nil {
		r.watchers += by
		m.use(t, r)
	}
}

// use notes that a room is asked for, and keeps those that nobody watches in the order of that.
func (m *Machine) use(t wire.Topic, r *room) {
	r.used = m.now
	switch {
	case r.watchers > 0:
		m.forget(r)
	case r.place == nil:
		r.place = m.idle.PushBack(t)
	default:
		m.idle.MoveToBack(r.place)
	}
}

func (m *Machine) forget(r *room) {
	if r.place != nil {
		m.idle.Remove(r.place)
		r.place = nil
	}
}

// evict makes room for one more: of those that nobody watches, the one that was asked for the longest
// ago goes, if that is a while ago. So nobody fills all places for long with rooms of made-up names.
func (m *Machine) evict() {
	if oldest := m.idle.Front(); oldest != nil {
		t := oldest.Value.(wire.Topic)
		if r := m.rooms[t]; m.now-r.used >= evictAfter {
			m.drop(t, r)
		}
	}
}

// drop follows a room no more.
func (m *Machine) drop(t wire.Topic, r *room) {
	for id, c := range r.copies {
		m.free(c.set)
		m.free(c.next)
		m.send(id, t.Namespace, frame{Kind: kindUnwant, Rooms: []state{{Room: t.Room}}})
	}
	m.forget(r)
	delete(m.rooms, t)
	m.out.Interest = append(m.out.Interest, Interest{t, false})
}

// Complete tells whether a list of the room has all that it can have for now.
func (m *Machine) Complete(t wire.Topic) bool {
	r := m.rooms[t]
	if o := m.own[t]; r == nil || !o.whole && !o.lacks {
		return false
	}
	if m.now-r.begun >= patience {
		return true
	}
	for id, n := range m.nodes {
		if c := r.copies[id]; n.up && (c == nil || c.set == nil && !c.over) {
			return false
		}
	}
	return true
}

// Missing is a node whose entries may be missing or old.
type Missing struct{ Node, Reason string }

const noAnswer = "no answer yet"

// Missing names the nodes whose entries in a room are not known as they are now.
func (m *Machine) Missing(t wire.Topic) (list []Missing) {
	r := m.rooms[t]
	if m.own[t].lacks {
		list = append(list, Missing{m.cfg.Name, ErrFull.Error()})
	}
	for id, n := range m.nodes {
		switch c := r.copies[id]; {
		case !n.up:
			list = append(list, Missing{n.name, "not linked"})
		case c != nil && c.over:
			list = append(list, Missing{n.name, ErrFull.Error()})
		case c == nil || c.set == nil:
			list = append(list, Missing{n.name, noAnswer})
		}
	}
	slices.SortFunc(list, func(a, b Missing) int { return strings.Compare(a.Node, b.Node) })
	return list
}

// enter says that a socket is in a room.
func (m *Machine) enter(t wire.Topic, r *room, node wire.NodeID, e Entry) {
	s := socket{entry: e, node: node, name: m.name(node)}
	r.version++
	key := e.key()
	x := r.members[key]
	if x == nil {
		x = &member{key: key, one: [1]socket{s}}
		x.sockets = x.one[:]
		r.members[key] = x
		if r.changed(); r.sorted != nil {
			i, _ := r.find(key)
			r.sorted = slices.Insert(r.sorted, i, x)
		}
		m.stats.Joined++
		m.event(t, r, x, false)
		return
	}
	if x.until > 0 {
		x.until, x.sockets = 0, x.one[:0]
		m.stats.Returned++
	}
	i, found := slices.BinarySearchFunc(x.sockets, s, func(a, b socket) int { return a.compare(b.entry.ID, b.node) })
	if found {
		x.sockets[i] = s
	} else {
		x.sockets = slices.Insert(x.sockets, i, s)
	}
}

func (m *Machine) name(id wire.NodeID) string {
	if id == m.cfg.Self {
		return m.cfg.Name
	}
	return m.meet(id).name
}

// exit says that it is no more. The last socket of a member is gone for good at once if
// it cannot come back; a user can, with another one, unless it said that it leaves.
func (m *Machine) exit(t wire.Topic, r *room, node wire.NodeID, e Entry, reason string, returns bool) {
	x := r.members[e.key()]
	if x == nil {
		return
	}
	i, found := slices.BinarySearchFunc(x.sockets, e.ID, func(s socket, id string) int { return s.compare(id, node) })
	if !found {
		return
	}
	r.version++
	s := x.sockets[i]
	if x.sockets = slices.Delete(x.sockets, i, i+1); len(x.sockets) > 0 {
		return
	}
	x.sockets, x.one[0], x.reason = nil, s, reason
	if !returns && (e.User == "" || reason == ReasonLeft) {
		m.gone(t, r, x)
		return
	}
	x.until = m.now + m.cfg.Grace
	m.graces = append(m.graces, grace{x.until, t, x.key})
}

func (m *Machine) gone(t wire.Topic, r *room, x *member) {
	delete(r.members, x.key)
	r.changed()
	if i, found := r.find(x.key); found {
		r.sorted = slices.Delete(r.sorted, i, i+1)
	}
	r.version++
	m.stats.Left++
	m.event(t, r, x, true)
}

// event tells of x, if anybody watches.
func (m *Machine) event(t wire.Topic, r *room, x *member, left bool) {
	if r.watchers == 0 {
		return
	}
	e := Event{Topic: t, Left: left, Member: x.public()}
	if left {
		e.Reason = x.reason
	}
	m.out.Events = append(m.out.Events, e)
}

// endGraces lets go of those that have not come back.
func (m *Machine) endGraces() {
	n := 0
	for n < len(m.graces) && m.graces[n].at <= m.now {
		n++
	}
	for _, g := range m.graces[:n] {
		r := m.rooms[g.topic]
		if r == nil {
			continue
		}
		if r.members[g.key] != nil && r.members[g.key].until == g.at {
			m.gone(g.topic, r, r.members[g.key])
		}
	}
	if m.graces = m.graces[n:]; len(m.graces) == 0 {
		m.graces = nil
	}
}

// Version rises with each change of what a list of a room has, but for what Missing says.
func (m *Machine) Version(t wire.Topic) uint64 { return m.rooms[t].version }

// Use notes that a room is asked for, as List does.
func (m *Machine) Use(t wire.Topic) { m.use(t, m.rooms[t]) }

// Count is how many members a room has that is followed.
func (m *Machine) Count(t wire.Topic) int { return len(m.rooms[t].members) }

// List is who is in a room that is followed: members with keys above after, at most limit. next
// is the key to go on after, "" at the end.
func (m *Machine) List(t wire.Topic, after string, limit int) (list []Member, next string) {
	r := m.rooms[t]
	m.use(t, r)
	r.moves = 0
	if r.sorted == nil {
		r.sorted = make([]*member, 0, len(r.members))
		for _, x := range r.members {
			r.sorted = append(r.sorted, x)
		}
		slices.SortFunc(r.sorted, func(a, b *member) int { return strings.Compare(a.key, b.key) })
	}
	i, found := r.find(after)
	if found {
		i++
	}
	rest := r.sorted[i:]
	if len(rest) > limit {
		rest = rest[:limit]
		next = rest[limit-1].key
	}
	list = make([]Member, len(rest))
	for i, x := range rest {
		list[i] = x.public()
	}
	return list, next
}

// changed says that a member comes or goes. Each moves half of the order: for 100,000 that took two seconds, and
// to sort them anew takes the next list a tenth of one. So the order is not kept for long when nobody asks for it.
func (r *room) changed() {
	if r.moves++; r.moves > maxMoves {
		r.sorted = nil
	}
}

// find is where a key is in order, or would be.
func (r *room) find(key string) (int, bool) {
	return slices.BinarySearchFunc(r.sorted, key, func(x *member, key string) int { return strings.Compare(x.key, key) })
}

// public is x as it is told.
func (x *member) public() Member {
	s := x.one[0]
	if len(x.sockets) > 0 {
		s = x.sockets[0]
	}
	p := Member{Key: x.key, ID: s.entry.ID, User: s.entry.User, Info: s.entry.Info, Node: s.name}
	if len(x.sockets) > 1 {
		for _, o := range x.sockets[:min(len(x.sockets), MaxSockets)] {
			p.Sockets = append(p.Sockets, Socket{o.entry.ID, o.name})
		}
	}
	return p
}
