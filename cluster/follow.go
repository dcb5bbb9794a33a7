package cluster

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// follow keeps the wanted links in step with membership until ctx ends, and
// settles the node once it is linked to the members that it found at its start.
func (c *Cluster) follow(ctx context.Context) {
	patience := time.NewTimer(c.cfg.Settle)
	defer patience.Stop()
	for settled := false; ; {
		joined := c.gossip.Joined() // before the members that a join brings
		members := c.gossip.Members()
		c.mesh.SetPeers(peersOf(members))
		c.meet(members)
		c.announce()
		if !settled && joined && c.inStep(members) {
			settled = true
			c.settle()
		}
		select {
		case <-c.gossip.Changed():
		case <-c.poke:
		case <-patience.C:
			if !settled {
				settled = true
				c.log.Warn("not linked to all members yet, going on", "members", len(members), "waited", c.cfg.Settle)
				c.settle()
			}
		case <-ctx.Done():
			return
		}
	}
}

func peersOf(members []gossip.Member) []mesh.Peer {
	ps := make([]mesh.Peer, len(members))
	for i, m := range members {
		ps[i] = mesh.Peer{ID: m.ID, Name: m.Name, Addr: m.Addr}
	}
	return ps
}

// meet tells the core who is a member: for those it keeps what they lack, and
// those that are neither members nor linked are down (MESH §2: gossip alone is a hint).
func (c *Cluster) meet(members []gossip.Member) {
	is, ids := make(map[wire.NodeID]bool, len(members)), make([]wire.NodeID, len(members))
	var down []wire.NodeID
	for i, m := range members {
		ids[i], is[m.ID] = m.ID, true
	}
	c.peering.Lock()
	defer c.Flush()
	defer c.peering.Unlock()
	c.tellMembers(ids...)
	c.do(func() {
		for _, id := range ids {
			c.core.member(id)
		}
		for id := range c.replaced {
			is[id] = true
		}
		c.detectLocked(is)
		for id := range c.core.peers {
			if !is[id] && c.core.down(id) {
				down = append(down, id)
			}
		}
		c.meetLocked(is)
	})
	c.tellDown(down)
	c.tally.keep(is)
}

// succession is how long a peer whose link gave way to a newer connection is taken
// for linked: until that one is up, which is at once. Gossip may have lost the peer meanwhile, since what
// silenced the link held gossip up as well.
const succession = time.Second

// succeed forgets the links that nothing came to replace.
func (c *Cluster) succeed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, since := range c.replaced {
		if c.clock()-since > succession {
			delete(c.replaced, id)
			c.changed()
		}
	}
}

// beat gives the core its time until ctx ends, and the links their heartbeat: what both have
// to say goes when the process is awake anyway.
func (c *Cluster) beat(ctx context.Context) {
	t := c.arm()
	defer t.Stop()
	var probes sync.WaitGroup
	defer probes.Wait()
	for {
		select {
		case <-t.C:
			c.do(c.core.tick)
			c.mesh.Beat()
			c.succeed()
			c.introduce()
			c.open()
			c.tend(ctx, &probes)
			if c.count() || c.expects() {
				c.do(c.core.hurry)
			}
		case <-ctx.Done():
			return
		}
	}
}

// arm begins to set the timer of beat.
func (c *Cluster) arm() *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.NewTimer(0)
	return c.timer
}

// armLocked sets the timer to the core's next tick.
func (c *Cluster) armLocked() {
	if c.timer != nil && c.armed != c.core.due {
		c.armed = c.core.due
		c.timer.Reset(c.armed - c.clock())
	}
}

// expects tells whether beat has something to do soon, beside what the core has.
func (c *Cluster) expects() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.newcomers) > 0 || len(c.replaced) > 0 || c.questions.unsent > 0
}

// leavePatience is how long a node that leaves waits for others to have what it
// published: for those without a link, too, which may have one again.
const leavePatience = time.Second

// lastWords returns when all that was published has arrived and all requests are
// answered but those that take long, or after the patience: what has not arrived is lost
// when the node leaves (G7).
func (c *Cluster) lastWords(ctx context.Context) {
	for end := c.clock() + leavePatience; c.clock() < end && ctx.Err() == nil; time.Sleep(tickEvery) {
		owed := false
		c.do(func() {
			c.core.askSoon() // answers tell what has arrived
			owed = c.core.owes()
		})
		if !owed && !c.server.busy() {
			return
		}
	}
}

// openBytes is what may wait on a link for the next part of a SYNC to go, and
// openFor how long one turn of sending them may last, so that ticks are on time.
const (
	openBytes = 4 << 20
	openFor   = tickEvery / 2
)

// open goes on with the SYNCs that are under way, the lock free in between.
func (c *Cluster) open() {
	start, limit := c.clock(), min(openBytes, c.cfg.ControlBytes/4)
	for more := true; more && c.clock()-start < openFor; {
		c.do(func() {
			more = c.core.open(func(id wire.NodeID) bool { l := c.links[id]; return l != nil && l.Queued() < limit })
		})
	}
}

// inStep tells whether interest has been exchanged, both ways, with every member.
func (c *Cluster) inStep(members []gossip.Member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range members {
		if p := c.core.peers[m.ID]; p == nil || !p.synced || p.acked < c.core.version {
			return false
		}
	}
	return true
}

// known tells the port whose connections have a reserve when strangers crowd.
func (c *Cluster) known(a netip.Addr) bool {
	for _, m := range c.gossip.Members() {
		if ap, err := netip.ParseAddrPort(m.Addr); err == nil && ap.Addr().Unmap() == a.Unmap() {
			return true
		}
	}
	return false
}
