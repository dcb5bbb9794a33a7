package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// index notes where in the log a message is that was just pushed, under each of its rooms. What is for single
// sessions is in nobody's past.
func (h *history) index(m *wire.Message, place uint64) {
	for _, r := range m.Rooms {
		if wire.SessionID(r).Node() != 0 {
			continue
		}
		h.rooms.add(roomKey{wire.Topic{Namespace: m.Namespace, Room: r}, m.Flags.Stream()}, place)
	}
}

// unindex forgets the oldest message of a stream.
func (h *history) unindex(m *wire.Message, place uint64) {
	for _, r := range m.Rooms {
		h.rooms.drop(roomKey{wire.Topic{Namespace: m.Namespace, Room: r}, m.Flags.Stream()}, place)
	}
}

// PastQuery asks for the newest messages to a room.
type PastQuery struct {
	wire.Topic
	Within time.Duration            // published since; 0: all that is kept
	Limit  int                      // messages, at most
	Bytes  int                      // ... of these sizes in all; the first may be larger
	Skip   func(*wire.Message) bool // nil: none
}

// unseenWalk is how many messages at most a node may hand out between the join of a session and its ack, of which Unseen tells
// that they came live.
const unseenWalk = 64 << 10

// Unseen tells of a member of a room what does not come to it live. That is what is not behind until, in streams that are in it, and was not handed out
// before the session was Joined but behind place asked, from which on its client gets what comes: these it got. False when
// it is not Joined.
func (m *Machine) Unseen(pid PID, room string, asked uint64) (until Vector, got map[Ref]bool, ok bool) {
	s := m.sessions[pid]
	if s == nil || s.state != live || s.rec.Rooms[room] == 0 {
		return nil, nil, false
	}
	joined := s.rec.Rooms[room]
	got = map[Ref]bool{}
	if until, _, ok = m.order.at(joined); ok {
		for d := max(asked+1, m.order.first, joined-min(joined, unseenWalk)); d <= joined; d++ {
			got[m.order.entry(d).Ref] = true
		}
	} else { // it is so long ago that all that is kept came live
		until = m.order.base.clone()
	}
	if _, has := until[m.id]; !has { // all own messages have a place: there was none before
		until[m.id] = wire.Frontiers{}
	}
	return until, got, true
}

// Past is a walk from the newest message to a room to the oldest, in the own log and those of nodes without a link
// that are mirrored here.
type Past struct {
	q     PastQuery
	ways  []pastWay
	found []kept
	bytes int
	looks int
	// More says that there are older ones that were not looked at, or did not fit.
	More bool
	// Origins are those other nodes whose messages this one has whole, as far as it knows.
	Origins []wire.NodeID
}

// pastWay is a walk through one stream of one log. next is the newest that was not looked at, a copy: the
// log may let go of it meanwhile.
type pastWay struct {
	log   *history
	key   roomKey
	place uint64 // of next
	next  kept
}

// What a walk looks at in one call, and in all: what is skipped counts.
const (
	pastStep  = 512
	pastLooks = 32 << 10
)

// Past begins a walk.
func (m *Machine) Past(q PastQuery) *Past {
	p := &Past{q: q}
	p.add(&m.log)
	for _, id := range sorted(m.mirrors) {
		if x := m.peers[id]; x != nil && x.linked {
			continue // it answers itself
		}
		p.add(&m.mirrors[id].log)
		if m.speaksFor(id) {
			p.Origins = append(p.Origins, id)
		}
	}
	return p
}

// Dead are the nodes that have died lately: what they have published is where they were mirrored.
func (m *Machine) Dead() (ids []wire.NodeID) {
	for _, id := range sorted(m.peers) {
		if m.peers[id].down {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *Past) add(log *history) {
	for k := range log.streams {
		w := pastWay{log: log, key: roomKey{p.q.Topic, wire.Stream(k)}, place: ^uint64(0)}
		if w.step() {
			p.ways = append(p.ways, w)
		}
	}
}

// step goes to the message before; false when there is none.
func (w *pastWay) step() bool {
	at := w.log.rooms.of[w.key]
	if at == nil {
		return false
	}
	place, ok := at.before(w.place)
	if !ok {
		return false
	}
	w.place = place
	s := &w.log.streams[w.key.stream]
	w.next = *s.entries.at(int(w.place - s.gone))
	return true
}

// Walk goes on, through some hundred messages at most; true when it is over. It may be called
// until then, with other calls of the Machine between.
func (m *Machine) Walk(p *Past) (over bool) {
	for range pastStep {
		i := p.newest()
		if i < 0 || p.q.Within > 0 && m.awake()-p.ways[i].next.at > p.q.Within {
			return true
		}
		if p.full(p.ways[i].next.m) {
			p.More = true
			return true
		}
		p.take(i)
	}
	return false
}

// newest is the way with the newest message, -1 if none has one.
func (p *Past) newest() int {
	of := -1
	for i := range p.ways {
		if of < 0 || p.ways[i].next.at > p.ways[of].next.at {
			of = i
		}
	}
	return of
}

func (p *Past) full(next *wire.Message) bool {
	return p.looks >= pastLooks || len(p.found) >= p.q.Limit || p.bytes > 0 && p.bytes+next.Size() > p.q.Bytes
}

func (p *Past) take(i int) {
	e := p.ways[i].next
	p.looks++
	if p.q.Skip == nil || !p.q.Skip(e.m) {
		p.found = append(p.found, e)
		p.bytes += e.m.Size()
	}
	if !p.ways[i].step() {
		p.ways = append(p.ways[:i], p.ways[i+1:]...)
	}
}

// Found are the messages of a walk, the newest first, with their ages.
func (m *Machine) Found(p *Past) []Entry {
	entries := make([]Entry, len(p.found))
	for i, e := range p.found {
		entries[i] = Entry{e.m, m.awake() - e.at}
	}
	return entries
}
