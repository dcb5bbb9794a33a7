package node

import (
	"slices"
	"sync"

	"github.com/meshrt/meshrt/wire"
)

// scans find the sessions that are in a room when it begins to be followed. The shards have the members of
// each room, so the others of the node cost nothing.
type scans struct {
	last  int32                // number of the last scan
	of    map[wire.Topic]*scan // the one under way; of the goroutine of runPresence
	mu    sync.Mutex           // nothing is called with it
	found []found
}

// scan is of one room.
type scan struct {
	number int32
	left   int // shards that have not answered
}

// found is what a shard has.
type found struct {
	number  int32
	topic   wire.Topic
	members []*Session
}

// scanPresence asks the shards for the members of rooms that are followed since a moment ago. Who joins
// later, or is open later, is told of by presentLocked: the question is behind all that was pushed before.
func (n *Node) scanPresence() {
	p := &n.presences
	p.lock()
	topics := p.m.Unscanned()
	p.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p.lock()
	defer p.mu.Unlock()
	for _, t := range topics {
		r := n.rooms[t]
		if r == nil {
			p.m.Scanned(t)
			continue
		}
		p.m.Expect(t, r.members)
		p.scans.last++
		p.scans.of[t] = &scan{p.scans.last, len(n.shards)} // one of before, of a room that was let go, counts no more
		for _, s := range n.shards {
			s.push(item{op: opScan, topic: t, members: p.scans.last})
		}
	}
}

// scan hands over who is a member of a topic.
func (s *shard) scan(number int32, t wire.Topic) {
	f := found{number: number, topic: t}
	if g := s.members[t]; g != nil {
		f.members = slices.Clone(g.list)
	}
	s.found(f)
}

// foundMembers is called by shards.
func (n *Node) foundMembers(f found) {
	p := &n.presences
	p.scans.mu.Lock()
	p.scans.found = append(p.scans.found, f)
	p.scans.mu.Unlock()
	p.awake()
}

// joinScanned tells of those that the shards have found.
func (n *Node) joinScanned() {
	p := &n.presences
	p.scans.mu.Lock()
	list := p.scans.found
	p.scans.found = nil
	p.scans.mu.Unlock()
	for _, f := range list {
		for some := range slices.Chunk(f.members, matchChunk) {
			n.joinSome(f.topic, some)
		}
		s := p.scans.of[f.topic]
		if s == nil || s.number != f.number {
			continue
		}
		if s.left--; s.left == 0 {
			delete(p.scans.of, f.topic)
			p.lock()
			p.m.Scanned(f.topic)
			p.mu.Unlock()
		}
	}
}

func (n *Node) joinSome(t wire.Topic, sessions []*Session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.presences.lock()
	defer n.presences.mu.Unlock()
	for _, s := range sessions {
		if _, in := s.rooms[t.Room]; in && s.present {
			n.presences.m.Join(t, s.presenceEntry())
		}
	}
}
