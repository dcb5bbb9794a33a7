package cluster

import (
	"cmp"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// opening is the own SYNC on a link, as far as it is not sent. A node may have
// millions of rooms: all of them at once would hold publishers up for seconds, and
// no link would take them. So parts go as the link has room for them.
//
// A part is cut from the interest of its time, the SYNC has the version of its
// beginning, and changes meanwhile follow it (later): whatever a change is about is
// right once all of them are applied, and what no change is about is in some part.
type opening struct {
	version uint64
	left    int      // topics[:left] are to be sent
	later   [][]byte // INTEREST frames
}

// syncTopics is how many topics a part has, which keeps a hold of the lock under
// a millisecond.
const syncTopics = 1000

// linkUp opens with the whole own interest. Its first part goes at once: it
// tells the peer that from here on everything is kept for it.
func (c *core) linkUp(id wire.NodeID) {
	p := c.peer(id)
	p.linked, p.met, p.linkedAt = true, true, c.now
	p.acked, p.lease.behindSince = 0, c.now // what it had in force it may have forgotten
	p.opening = &opening{version: c.version, left: len(c.topics)}
	c.openings++
	c.advance(id, p)
	c.follow()
	c.send(id, c.ask(nil, id, p))
	c.hurry()
}

// open sends one part to each of a few peers that room says have room for it,
// and tells whether it sent any.
func (c *core) open(room func(wire.NodeID) bool) bool {
	const few = 4
	sent := 0
	if c.openings == 0 {
		return false
	}
	for id, p := range c.peers {
		if p.opening == nil || !room(id) {
			continue
		}
		c.advance(id, p)
		if sent++; sent == few {
			break
		}
	}
	return sent > 0
}

// advance sends the next part. They are cut off the end: what is added goes
// behind, and what is taken away is replaced from behind, so that no topic gets
// past the cut unsent (unsay).
func (c *core) advance(id wire.NodeID, p *peer) {
	o := p.opening
	from := max(0, o.left-c.syncTopics)
	part := slices.Clone(c.topics[from:o.left])
	o.left = from
	slices.SortFunc(part, func(a, b wire.Topic) int { return cmp.Compare(a.Namespace, b.Namespace) }) // SYNC names each once
	c.send(id, wire.AppendSync(nil, wire.Sync{Frontiers: p.frontiers(), Version: o.version, Topics: part, More: from > 0, Settled: c.settled}))
	if from > 0 {
		return
	}
	for _, f := range o.later {
		c.send(id, f)
	}
	c.opened(p)
}

// opened says that p has the whole SYNC, or will not.
func (c *core) opened(p *peer) {
	if p.opening != nil {
		p.opening = nil
		c.openings--
	}
}

// say and unsay keep the own interest as a list, for advance.
func (c *core) say(t wire.Topic) {
	if _, ok := c.own[t]; !ok {
		c.own[t] = len(c.topics)
		c.topics = append(c.topics, t)
	}
}

func (c *core) unsay(t wire.Topic) {
	i, ok := c.own[t]
	if !ok {
		return
	}
	last := len(c.topics) - 1
	c.topics[i] = c.topics[last]
	c.own[c.topics[i]] = i
	delete(c.own, t)
	c.topics[last] = wire.Topic{}
	c.topics = c.topics[:last]
	if c.openings == 0 {
		return
	}
	for _, p := range c.peers {
		if p.opening != nil {
			p.opening.left = min(p.opening.left, last)
		}
	}
}

// sync takes a part of a peer's interest. The last part puts it in force, and
// what the peer lacks is sent.
func (c *core) sync(id wire.NodeID, s wire.Sync) {
	p := c.peer(id)
	if !p.linked {
		return
	}
	if p.heard = true; p.parts == nil {
		p.parts = make(map[wire.Topic]struct{}, len(s.Topics))
	}
	for _, t := range s.Topics {
		p.parts[t] = struct{}{}
	}
	if !s.More {
		p.topics, p.version, p.parts, p.synced = p.parts, s.Version, nil, true
		c.doubt(p)
		c.send(id, wire.AppendNumber(nil, wire.KindIntAck, p.version))
		c.resume(id, p, s.Frontiers)
	}
	c.progress()
}
