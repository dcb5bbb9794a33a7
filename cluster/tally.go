package cluster

import (
	"errors"
	"sync"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// ErrNoCounts is why nothing is known of the members of a node: it has not told all
// of them yet, or is of a version that does not.
var ErrNoCounts = errors.New("node has not told its counts yet")

// tally is how many members each node has in each topic: the own ones, which are told
// to all peers, and theirs. It has a lock of its own, under which no other is
// taken but those of links: publishers wait for none of this.
type tally struct {
	mu    sync.Mutex
	own   *memberCounts
	peers map[wire.NodeID]*tallied
	part  int // topics of a part of all counts
}

// tallied is what is known of one peer. It outlives breaks of the link.
type tallied struct {
	link  outlet        // nil without a link
	dead  bool          // it has no members any more
	known *memberCounts // nil before it has told all
	next  *memberCounts // all, while they come; nil else

	opening bool       // the own counts are being told
	first   bool       // ... and nothing of them is yet
	from    wire.Topic // where to go on
}

// outlet is a link.
type outlet interface {
	SendIn(lane mesh.Lane, frame []byte) error
	Queued() int
}

const (
	// countTopics is how many topics one COUNTS has, and one hold of the lock.
	countTopics = 1000
	// countBytes is what may wait on a link for a COUNTS to go. A link with more is told
	// all counts anew when it has room again.
	countBytes = openBytes / 2
)

func newTally() *tally {
	return &tally{own: newMemberCounts(), peers: map[wire.NodeID]*tallied{}, part: countTopics}
}

// SetCounts says how many local members topics have now, 0 none any more: of those
// that have changed, countTopics at a time. It never blocks. The caller says changes of a
// topic in order.
func (c *Cluster) SetCounts(list []wire.Count) {
	for ; len(list) > countTopics; list = list[countTopics:] {
		c.tally.set(list[:countTopics], c.countRoom())
	}
	c.tally.set(list, c.countRoom())
}

func (c *Cluster) countRoom() int { return min(countBytes, c.cfg.ControlBytes/8) }

// set counts and tells the peers. Those that are still to be told of these topics with all
// others are told nothing they need, and nothing wrong.
func (t *tally) set(list []wire.Count, room int) {
	if len(list) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range list {
		t.own.set(x.Topic, x.Members)
	}
	var frame []byte
	for _, p := range t.peers {
		switch {
		case p.link == nil || p.opening && p.first:
		case p.link.Queued() >= room:
			p.open()
		default:
			if frame == nil {
				frame = wire.AppendCounts(nil, wire.Counts{Counts: list})
			}
			p.link.SendIn(mesh.LaneControl, frame)
		}
	}
}

// open makes the peer be told all counts, from the start.
func (p *tallied) open() { p.opening, p.first, p.from = true, true, wire.Topic{} }

func (t *tally) linkUp(id wire.NodeID, l outlet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil || p.dead {
		p = &tallied{}
		t.peers[id] = p
	}
	p.link = l
	p.open()
}

// linkDown keeps what is known, unless the peer has left.
func (t *tally) linkDown(id wire.NodeID, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	p.link, p.next, p.opening = nil, nil, false
	if left {
		t.peers[id] = &tallied{dead: true}
	}
}

// died lets go of the counts of a peer whose process is gone.
func (t *tally) died(id wire.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[id]; p == nil || p.link == nil {
		t.peers[id] = &tallied{dead: true}
	}
}

// keep forgets peers that are neither members nor linked.
func (t *tally) keep(members map[wire.NodeID]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.peers {
		if p.link == nil && !members[id] {
			delete(t.peers, id)
		}
	}
}

// advance tells one part of all counts to one peer that ready names and that has room;
// false when there is nothing to tell.
func (t *tally) advance(ready map[wire.NodeID]bool, room int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.peers {
		if !p.opening || !ready[id] || p.link.Queued() >= room {
			continue
		}
		c := wire.Counts{Part: wire.CountsWhole}
		if p.first {
			c.Part |= wire.CountsFirst
		}
		var more bool
		if c.Counts, p.from, more = t.own.part(p.from, t.part); !more {
			c.Part |= wire.CountsLast
		}
		p.opening, p.first = more, false
		p.link.SendIn(mesh.LaneControl, wire.AppendCounts(nil, c))
		return true
	}
	return false
}

// told takes what a peer tells.
func (t *tally) told(from wire.NodeID, c wire.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[from]
	if p == nil || p.link == nil {
		return // cannot be: frames come between LinkUp and LinkDown
	}
	if c.Part&wire.CountsFirst != 0 {
		p.next = newMemberCounts()
	}
	for _, x := range c.Counts {
		if p.next != nil {
			p.next.set(x.Topic, x.Members)
		}
		if p.known != nil && c.Part&wire.CountsWhole == 0 {
			p.known.set(x.Topic, x.Members)
		}
	}
	if c.Part&wire.CountsLast != 0 && p.next != nil {
		p.known, p.next = p.next, nil
	}
}

// countsOf is what is known of a node, and why that may not be right; nil is nothing.
func (c *Cluster) countsOf(id wire.NodeID) (*memberCounts, error) {
	if id == c.cfg.ID {
		return c.tally.own, nil
	}
	switch p := c.tally.peers[id]; {
	case p == nil:
		return nil, ErrNotLinked
	case p.dead:
		return nil, nil
	case p.link == nil:
		return p.known, ErrNotLinked
	case p.known == nil:
		return p.next, ErrNoCounts
	default:
		return p.known, nil
	}
}

// RoomCounts are the rooms with members on a node behind a name, in order. With an
// error they are what it told before its link broke (ErrNotLinked), or a part
// (ErrNoCounts). It asks nobody; changes of another node are known within a second.
func (c *Cluster) RoomCounts(id wire.NodeID, namespace, after string, limit int) ([]RoomCount, error) {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	k, err := c.countsOf(id)
	if k == nil {
		return nil, err
	}
	return k.page(namespace, after, limit), err
}

// Members is how many members a topic has on a node, as RoomCounts tells it.
func (c *Cluster) Members(id wire.NodeID, t wire.Topic) (int, error) {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	k, err := c.countsOf(id)
	if k == nil {
		return 0, err
	}
	return k.members(t), err
}

// Sessions is how many sessions a node has in all namespaces, as RoomCounts tells it.
func (c *Cluster) Sessions(id wire.NodeID) (int, error) {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	k, err := c.countsOf(id)
	if k == nil {
		return 0, err
	}
	return k.total, err
}

// count goes on telling counts to peers whose SYNC is sent, the lock free in between. It
// tells whether some are still to be told.
func (c *Cluster) count() (more bool) {
	ready := map[wire.NodeID]bool{}
	c.mu.Lock()
	for id, p := range c.core.peers {
		ready[id] = p.linked && p.opening == nil
	}
	c.mu.Unlock()
	for start := c.clock(); c.clock()-start < openFor && c.tally.advance(ready, c.countRoom()); {
	}
	return c.tally.opening()
}

// opening tells whether a peer is still to be told all counts.
func (t *tally) opening() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		if p.opening {
			return true
		}
	}
	return false
}

var _ outlet = (*mesh.Link)(nil)
