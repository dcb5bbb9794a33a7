package cluster

import (
	"github.com/meshrt/meshrt/wire"
)

// publish numbers m, sends it to the peers that are known to want it, and keeps
// it for those that may: peers without a link, and those whose interest may not be
// trusted now. It tells for which peers it is, in a slice that is good until the
// next call.
func (c *core) publish(m *wire.Message) []wire.NodeID {
	m.Seq = c.log.last() + 1
	c.reached = c.reached[:0]
	var e entry
	for id, p := range c.peers {
		if p.down || p.trusted(c) && !p.wants(id, m.Namespace, m.Rooms) {
			continue
		}
		if e.frame == nil {
			e = entry{frame: wire.AppendData(make([]byte, 0, m.Size()), m, false), namespace: m.Namespace, rooms: m.Rooms}
		}
		c.reached = append(c.reached, id)
		if m.Flags&wire.Volatile != 0 {
			c.offer(id, p, e.frame)
			continue
		}
		e.refs++
		p.out.refs = append(p.out.refs, m.Seq)
		if p.out.ready(1) && c.flows(p) || c.breaks(breakOrder) && p.synced && p.wants(id, m.Namespace, m.Rooms) {
			p.out.sent = len(p.out.refs)
			c.effects = append(c.effects, effect{to: id, frame: e.frame, seq: m.Seq, droppable: true})
		}
	}
	if e.refs == 0 {
		e = entry{}
	}
	c.log.add(e)
	c.log.trim()
	c.shrink()
	return c.reached
}

// ready tells whether nothing waits before the last n references.
func (o *outbox) ready(n int) bool { return o.sent == len(o.refs)-n && !o.blocked && o.gap == 0 }

// offer sends a volatile message if it can go at once, and does not keep it. Where
// others wait it would overtake them, and its number would make them duplicates.
func (c *core) offer(id wire.NodeID, p *peer, frame []byte) {
	if !c.flows(p) || !p.out.ready(0) {
		c.counts.volatile++
		return
	}
	c.effects = append(c.effects, effect{to: id, frame: frame, droppable: true})
}

// congested tells that the log is three quarters full because of peers that have a link and
// read slowly. For those without one nobody waits: they may never come back.
func (c *core) congested() bool {
	if c.log.bytes <= c.log.limit/4*3 {
		return false
	}
	old := c.log.first + uint64(c.log.count)/4
	for _, p := range c.peers {
		if p.linked && len(p.out.refs) > 0 && p.out.refs[0] <= old {
			return true
		}
	}
	return false
}

// shrink keeps the log within its limit.
func (c *core) shrink() {
	for c.log.bytes > c.log.limit && c.log.count > 0 {
		seq := c.log.first
		for _, p := range c.peers {
			if p.out.evict(seq) {
				c.counts.lost++
			}
		}
		c.log.drop()
	}
}

// flushBytes is what one call sends to a peer that lacks very much: more than a
// link takes at once.
const flushBytes = 4 << 20

// flush sends a peer what waits for it, in order, as far as it wants it. What
// it does not want by an interest that may be trusted it never will: a join that came
// later promises nothing of messages that were published before.
func (c *core) flush(id wire.NodeID, p *peer) {
	o := &p.out
	if o.blocked || !c.flows(p) || o.ready(0) {
		return
	}
	if o.gap > 0 && !c.breaks(breakGap) {
		c.send(id, wire.AppendNumber(nil, wire.KindGap, o.gap))
	}
	o.gap = 0
	keep, rest, bytes := o.refs[:o.sent], o.refs[o.sent:], 0
	for i, seq := range rest {
		if bytes > flushBytes {
			keep, o.blocked = append(keep, rest[i:]...), true
			break
		}
		e := c.log.at(seq)
		bytes += len(e.frame)
		if !p.wants(id, e.namespace, e.rooms) {
			c.log.release(seq)
			continue
		}
		if seq <= o.again {
			c.counts.resent++
		}
		keep = append(keep, seq)
		o.sent = len(keep)
		c.effects = append(c.effects, effect{to: id, frame: e.frame, seq: seq, droppable: true})
	}
	o.refs = keep
	c.log.trim()
}

// owes tells whether some peer has not confirmed everything.
func (c *core) owes() bool {
	for _, p := range c.peers {
		if len(p.out.refs) > 0 {
			return true
		}
	}
	return false
}

// refused takes back a message that the link did not take, and with it those
// behind it.
func (c *core) refused(id wire.NodeID, seq uint64) {
	o := &c.peer(id).out
	for o.sent > 0 && o.refs[o.sent-1] >= seq {
		o.sent--
	}
	o.blocked = true
}

// ready: the link that refused takes messages again.
func (c *core) ready(id wire.NodeID) {
	p := c.peer(id)
	p.out.blocked = false
	c.flush(id, p)
}

// confirm lets go of what the peer has processed.
func (c *core) confirm(p *peer, frontier uint64) {
	o := &p.out
	n := 0
	for n < len(o.refs) && o.refs[n] <= frontier {
		c.log.release(o.refs[n])
		n++
	}
	if o.refs, o.sent = o.refs[n:], max(0, o.sent-n); len(o.refs) == 0 {
		o.refs = nil
	}
	if o.evicted <= frontier {
		o.evicted = 0
	}
	if n > 0 {
		c.log.trim()
	}
}

// resume begins what is said on a new link: after the peer's frontier.
func (c *core) resume(id wire.NodeID, p *peer, frontier uint64) {
	o := &p.out
	if c.breaks(breakResend) {
		frontier = max(frontier, o.again)
	}
	c.confirm(p, frontier)
	if o.evicted > 0 {
		o.gap = o.evicted
	}
	o.sent = 0
	c.flush(id, p)
}

// ackEvery is after how many messages a peer is told that they have arrived,
// when it is not told anyway with the questions.
const ackEvery = 1024

// accept tells whether message seq of a peer is new. Numbers rise on a link
// and over the links of one peer; what is not above the frontier has been here.
func (c *core) accept(id wire.NodeID, seq uint64) bool {
	p := c.peer(id)
	if seq <= p.frontier {
		return false
	}
	p.frontier = seq
	if p.processed++; p.processed >= ackEvery {
		p.processed = 0
		c.send(id, wire.AppendNumber(nil, wire.KindAck, p.frontier))
	}
	return true
}

// ackedTo: the peer has processed the own messages up to a number.
func (c *core) ackedTo(id wire.NodeID, frontier uint64) { c.confirm(c.peer(id), frontier) }

// gap: messages of a peer up to a number are gone. It tells whether that is news.
func (c *core) gap(id wire.NodeID, to uint64) bool {
	p := c.peer(id)
	if to <= p.frontier {
		return false
	}
	p.frontier = to
	c.counts.gaps++
	return true
}
