package cluster

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// lease is what two nodes owe each other: for how long the one may trust the
// interest of the other, and what it has promised for its own.
//
// B asks with its clock t. A answers, and promises that no join which B has not
// acknowledged counts as in force before its own now + lease + slack. B trusts A's
// interest until t + lease, by its own clock and from its question on. So when B's
// trust has ended, and A's joins no longer wait for B, everything that B publishes
// waits in B's log until A answers again. Only the rates of two monotonic clocks
// matter, no wall clock (MESH §5).
type lease struct {
	trustedUntil  time.Duration // its interest
	trusted       bool          // when last looked at, for the counter
	promisedUntil time.Duration // our interest, to it
	behindSince   time.Duration // since when it has not acknowledged a change; 0 it has all
	askAt         time.Duration // when it is asked next, unless that happens before
}

func (p *peer) trusted(c *core) bool {
	return c.now < p.lease.trustedUntil || c.breaks(breakTrustForever) && p.version > 0
}

// flows tells whether messages go to the peer as they are published: its
// interest is known on this link, and may be trusted.
func (c *core) flows(p *peer) bool {
	return p.linked && (p.synced || c.breaks(breakDataBeforeSync)) && p.trusted(c)
}

// A node asks all its peers in one round, and all nodes in the same one: a round begins with
// the lowest id; whoever is asked by a lower one asks back in the frame of its answer, and has its
// own round then. So a process wakes once in timing.ask, not for each peer at another time, and two nodes
// write three times to each other, not eight times with heartbeats of their own: idle nodes cost
// little else. A node whose leader is late does not wait for it for longer than late.

// late is how much longer than timing.ask a node waits that is led.
func (t timing) late() time.Duration { return t.ask / 4 }

// together is how early a question may be that goes with others.
func (t timing) together() time.Duration { return t.ask / 2 }

// follow finds out whether a peer has a lower id.
func (c *core) follow() {
	c.led = false
	for id, p := range c.peers {
		c.led = c.led || p.linked && id < c.id
	}
}

// ask appends a question to p to frame.
func (c *core) ask(frame []byte, id wire.NodeID, p *peer) []byte {
	p.processed = 0
	if p.lease.askAt = c.now + c.timing.ask; c.led {
		p.lease.askAt += c.timing.late()
	}
	return wire.AppendLease(frame, wire.KindAsk, uint64(c.now), p.frontiers())
}

// askAll begins a round if one is due: those are asked too whose time is near, so that all have the
// same. But in the round of another node those that will ask us in it wait for that.
func (c *core) askAll() {
	due := false
	for _, p := range c.peers {
		due = due || p.linked && c.now >= p.lease.askAt
	}
	if !due && !c.early {
		return
	}
	for id, p := range c.peers {
		if p.linked && (due || id > c.id) && c.now+c.timing.together() >= p.lease.askAt {
			c.send(id, c.ask(nil, id, p))
		}
	}
	c.early, c.round = false, c.now
}

// askSoon makes all questions due.
func (c *core) askSoon() {
	for _, p := range c.peers {
		p.lease.askAt = 0
	}
	c.due = c.now
}

// asked answers a question, with one of our own if that is due: who leads is not asked too early
// by those that it leads, or its rounds would fall apart.
func (c *core) asked(id wire.NodeID, at uint64, f wire.Frontiers) {
	p := c.peer(id)
	if !p.linked {
		return
	}
	c.confirm(p, f)
	var frame []byte
	before := p.lease.askAt
	if c.promises(p) {
		p.lease.promisedUntil = c.now + c.timing.lease + c.timing.slack
		p.processed = 0
		frame = wire.AppendLease(nil, wire.KindGrant, at, p.frontiers())
	}
	switch {
	case id < c.id && c.now+c.timing.together() >= p.lease.askAt:
		frame = c.ask(frame, id, p)
		if c.now-c.round >= c.timing.together() { // else this is another one of the same round
			c.early, c.due = true, c.now
		}
	case c.now >= p.lease.askAt:
		frame = c.ask(frame, id, p)
	}
	if c.due == before && p.lease.askAt > before {
		c.due = c.nextTick() // not for this question
	}
	if frame != nil {
		c.send(id, frame)
	}
}

// promises tells whether p is promised anything. Not before it has our SYNC: it would be worth
// nothing to it, and joins would wait for it. And not when it has not acknowledged a change of
// our interest for too long: then its trust has to end, so that the join can count without it.
func (c *core) promises(p *peer) bool {
	late := p.lease.behindSince > 0 && c.now-p.lease.behindSince > c.timing.withhold
	return p.opening == nil && (!late || c.breaks(breakWithhold))
}

// granted renews the trust in a peer's interest and sends what waited for that.
// An answer to a question of an earlier link comes before the peer's SYNC of this
// one, and means nothing: it is not ok.
func (c *core) granted(id wire.NodeID, at uint64, f wire.Frontiers) (ok bool) {
	p := c.peer(id)
	asked := time.Duration(at)
	if !p.linked || asked > c.now || !p.synced || asked < p.linkedAt {
		return false
	}
	c.confirm(p, f)
	c.look(p)
	if c.breaks(breakLeaseFromReceipt) {
		asked = c.now
	}
	p.lease.trustedUntil = max(p.lease.trustedUntil, asked+c.timing.lease)
	p.lease.trusted = p.trusted(c)
	if !c.breaks(breakRenewal) {
		c.flush(id, p)
	}
	return true
}

// look counts trust that has ended.
func (c *core) look(p *peer) {
	if p.lease.trusted && !p.trusted(c) {
		p.lease.trusted = false
		c.counts.expired++
	}
}
