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
}

func (p *peer) trusted(c *core) bool {
	return c.now < p.lease.trustedUntil || c.breaks(breakTrustForever) && p.version > 0
}

// flows tells whether messages go to the peer as they are published: its
// interest is known on this link, and may be trusted.
func (c *core) flows(p *peer) bool {
	return p.linked && (p.synced || c.breaks(breakDataBeforeSync)) && p.trusted(c)
}

func (c *core) ask(id wire.NodeID, p *peer) {
	p.processed = 0
	c.send(id, wire.AppendLease(nil, wire.KindAsk, uint64(c.now), p.frontiers()))
}

// asked answers a question, unless a change of the own interest has been
// waiting for the peer's acknowledgement for too long: then the peer's trust has to
// end, so that the join can count without it.
func (c *core) asked(id wire.NodeID, at uint64, f wire.Frontiers) {
	p := c.peer(id)
	if !p.linked {
		return
	}
	c.confirm(p, f)
	if p.opening != nil {
		return // a promise before the SYNC is worth nothing to the peer, and joins would wait for it
	}
	if p.lease.behindSince > 0 && c.now-p.lease.behindSince > c.timing.withhold && !c.breaks(breakWithhold) {
		return
	}
	p.lease.promisedUntil = c.now + c.timing.lease + c.timing.slack
	p.processed = 0
	c.send(id, wire.AppendLease(nil, wire.KindGrant, at, p.frontiers()))
}

// granted renews the trust in a peer's interest and sends what waited for that.
// An answer to a question of an earlier link comes before the peer's SYNC of this
// one, and means nothing.
func (c *core) granted(id wire.NodeID, at uint64, f wire.Frontiers) {
	p := c.peer(id)
	asked := time.Duration(at)
	if !p.linked || asked > c.now || !p.synced || asked < p.linkedAt {
		return
	}
	c.confirm(p, f)
	if c.breaks(breakLeaseFromReceipt) {
		asked = c.now
	}
	p.lease.trustedUntil = max(p.lease.trustedUntil, asked+c.timing.lease)
	p.lease.trusted = p.trusted(c)
	if !c.breaks(breakRenewal) {
		c.flush(id, p)
	}
}
