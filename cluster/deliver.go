package cluster

import (
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// publish numbers m in the stream of its priority, sends it to the peers that are
// known to want it, and keeps it for those that may: peers without a link, and those
// whose interest may not be trusted now. It tells for which peers it is, in a slice
// that is good until the next call. Run is what the writer says of m.
func (c *core) publish(m *wire.Message, run uint64) []wire.NodeID {
	k := m.Flags.Stream()
	log, lane := &c.logs.of[k], laneOf(k)
	m.Seq = log.last() + 1
	c.reached = c.reached[:0]
	var e entry
	for _, p := range c.everyPeer() {
		id, trusted := p.id, p.trusted(c)
		if p.down || trusted && !p.wants(m, run) {
			continue
		}
		if e.chunk == nil {
			e = c.write(&log.arena, m, run)
		}
		c.reached = append(c.reached, id)
		o := &p.streams[k].out
		if m.Flags&wire.Volatile != 0 {
			c.offer(p, o, e.effect(id, 0, lane))
			continue
		}
		e.refs++
		o.add(m.Seq)
		if !trusted {
			o.unsure = m.Seq
		}
		if o.ready(1) && c.flows(p) || c.jumps(k) && p.synced && p.wants(m, run) {
			o.sent = len(o.refs)
			c.effects = append(c.effects, e.effect(id, m.Seq, lane))
		}
	}
	if e.refs == 0 {
		e = entry{}
	}
	log.add(e)
	log.trim()
	c.shrink()
	log.tidy()
	return c.reached
}

// write puts the frame of m into an arena.
func (c *core) write(a *arena, m *wire.Message, run uint64) entry {
	b, chunk := a.room(m.Size())
	if run > 0 {
		return a.placed(c.writer.Append(b, m), chunk)
	}
	return a.placed(wire.AppendData(b, m, false), chunk)
}

// timeless tells that m is for every peer by the interest that was told last. Then it makes no
// difference whether that may still be trusted, so the owner need not set the time before
// publish: to send a message, or to keep it, to a peer that does not want it any more loses nothing.
func (c *core) timeless(m *wire.Message, run uint64) bool {
	for _, p := range c.everyPeer() {
		if !p.down && !p.wants(m, run) {
			return false
		}
	}
	return true
}

// jumps is for tests: messages of a stream overtake those of it that wait.
func (c *core) jumps(k wire.Stream) bool {
	return c.breaks(breakOrder) || c.breaks(breakLow) && k == wire.StreamLow
}

// offer sends a volatile message if it can go at once, and does not keep it. Where
// others of its stream wait it would overtake them, and its number would make them
// duplicates.
func (c *core) offer(p *peer, o *outbox, e effect) {
	if !c.flows(p) || !o.ready(0) {
		c.counts.volatile++
		return
	}
	c.effects = append(c.effects, e)
}

// congested tells that the logs are three quarters full because of peers that have a link
// and read slowly. For those without one nobody waits: they may never come back.
// A log with less than a quarter of the limit is not the cause.
func (c *core) congested() bool {
	if c.logs.bytes() <= c.logs.limit/4*3 {
		return false
	}
	for k := range c.logs.of {
		if log := &c.logs.of[k]; log.bytes > c.logs.limit/4 && c.holdsUp(k, log.first+uint64(log.count)/4) {
			return true
		}
	}
	return false
}

// holdsUp tells whether a peer with a link lacks messages up to seq of a stream.
func (c *core) holdsUp(k int, seq uint64) bool {
	for _, p := range c.peers {
		if refs := p.streams[k].out.refs; p.linked && len(refs) > 0 && refs[0] <= seq {
			return true
		}
	}
	return false
}

// shrink keeps the logs within their limit.
func (c *core) shrink() {
	for c.logs.bytes() > c.logs.limit {
		k := c.logs.victim()
		log := &c.logs.of[k]
		seq := log.first
		for _, p := range c.peers {
			if p.streams[k].out.evict(seq) {
				c.counts.lost[k]++
			}
		}
		log.drop()
	}
}

// flushBytes is what one call sends to a peer that lacks very much; the link says when it
// may have more: from half of queueBytes down, so that it refuses none of them. As many
// are an arena's chunk, which then is sent whole.
const flushBytes = 64 << 10

// flushWalk is how much one call looks through, with what the peer does not want.
const flushWalk = 4 << 20

// flush sends a peer what waits for it, a stream in order, as far as it wants it. What
// it does not want by an interest that may be trusted it never will: a join that came
// later promises nothing of messages that were published before.
func (c *core) flush(id wire.NodeID, p *peer) {
	if !c.flows(p) {
		return
	}
	for _, k := range byPriority {
		c.flushStream(id, p, k)
	}
}

func (c *core) flushStream(id wire.NodeID, p *peer, k wire.Stream) {
	o, log, lane := &p.streams[k].out, &c.logs.of[k], laneOf(k)
	if o.blocked || o.ready(0) {
		return
	}
	if o.gap > 0 && !c.breaks(breakGap) {
		c.tellGap(id, wire.Gap{Seq: o.gap, Stream: k})
	}
	o.gap = 0
	keep, rest, bytes, walked := o.refs[:o.sent], o.refs[o.sent:], 0, 0
	var last entry // that is sent
	for i, seq := range rest {
		e := log.at(seq)
		if bytes > c.flushBytes || walked > flushWalk || bytes > c.flushBytes/2 && e.chunk != last.chunk {
			if o.blocked = true; bytes > 0 {
				c.effects[len(c.effects)-1].more = true
			} else {
				c.hurry() // a tick goes on
			}
			if keep = o.refs[:len(keep)+len(rest)-i]; &keep[len(keep)-1] != &o.refs[len(o.refs)-1] {
				copy(keep[o.sent:], rest[i:]) // some before were not wanted
			}
			break
		}
		walked += int(e.size)
		if seq <= o.unsure && !c.wanted(id, p, e.frame()) {
			log.release(seq)
			continue
		}
		bytes += int(e.size)
		if seq <= o.again {
			c.counts.resent++
		}
		keep = append(keep, seq)
		o.sent = len(keep)
		if e.chunk == last.chunk && e.at == last.at+last.size {
			c.effects[len(c.effects)-1].lengthen(int(e.size))
		} else {
			c.effects = append(c.effects, e.effect(id, seq, lane))
		}
		last = *e
	}
	o.refs = keep
	log.trim()
}

// tellGap goes in the lane of its stream: what is before it on the way would be
// below the frontier when it comes.
func (c *core) tellGap(id wire.NodeID, g wire.Gap) {
	lane := laneOf(g.Stream)
	if c.breaks(breakGapLane) {
		lane = mesh.LaneControl
	}
	c.effects = append(c.effects, effect{to: id, frame: wire.AppendGap(nil, g), lane: lane})
}

// owes tells whether some peer has not confirmed everything.
func (c *core) owes() bool {
	for _, p := range c.peers {
		for k := range p.streams {
			if len(p.streams[k].out.refs) > 0 {
				return true
			}
		}
	}
	return false
}

// refused takes back a message that a lane of the link did not take, and with it those
// behind it.
func (c *core) refused(id wire.NodeID, lane mesh.Lane, seq uint64) {
	if k, ok := streamIn(lane); ok {
		c.peer(id).streams[k].out.refused(seq)
		c.hurry()
	}
}

// ready: a lane that refused takes messages again.
func (c *core) ready(id wire.NodeID, lane mesh.Lane) {
	k, ok := streamIn(lane)
	if !ok {
		return
	}
	p := c.peer(id)
	p.streams[k].out.blocked = false
	if c.flows(p) {
		c.flushStream(id, p, k)
	}
}

// confirm lets go of what the peer has processed.
func (c *core) confirm(p *peer, f wire.Frontiers) {
	for k := range p.streams {
		p.streams[k].out.confirm(&c.logs.of[k], f[k])
	}
}

// resume begins what is said on a new link: after the peer's frontiers.
func (c *core) resume(id wire.NodeID, p *peer, f wire.Frontiers) {
	if c.breaks(breakResend) {
		for k := range f {
			f[k] = max(f[k], p.streams[k].out.again)
		}
	}
	if c.breaks(breakFrontiers) {
		f = wire.Frontiers{f[wire.StreamNormal]}
	}
	c.confirm(p, f)
	for k := range p.streams {
		p.streams[k].out.resume()
	}
	c.flush(id, p)
}

// ackEvery is after how many messages a peer is told that they have arrived,
// when it is not told anyway with the questions.
const ackEvery = 1024

// accept tells whether message seq of a peer's stream is new. Its numbers rise on a
// link and over the links of one peer; what is not above the frontier has been here.
func (c *core) accept(p *peer, k wire.Stream, seq uint64) bool {
	if c.breaks(breakNumbers) {
		k = wire.StreamNormal
	}
	s := &p.streams[k]
	if seq <= s.frontier {
		return false
	}
	s.frontier = seq
	if p.processed++; p.processed >= ackEvery {
		p.processed = 0
		c.send(p.id, wire.AppendAck(nil, p.frontiers()))
	}
	return true
}

// ackedTo: the peer has processed the own messages up to these.
func (c *core) ackedTo(id wire.NodeID, f wire.Frontiers) { c.confirm(c.peer(id), f) }

// gap: messages of a peer are gone. It tells whether that is news.
func (c *core) gap(id wire.NodeID, g wire.Gap) bool {
	if c.breaks(breakGapStream) {
		g.Stream = (g.Stream + 1) % wire.Streams
	}
	s := &c.peer(id).streams[g.Stream]
	if g.Seq <= s.frontier {
		return false
	}
	s.frontier = g.Seq
	c.counts.gaps++
	return true
}
