package cluster

import (
	"fmt"
	"slices"
	"sync"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// aside is what goes over links beside messages: frames of recovery.
type aside struct {
	mu       sync.Mutex // below the lock of Recovery's owner and above Cluster.mu: frames are queued in the order of the calls
	frame    []byte     // that SendFrame made last, of at most keepFrame bytes
	limit    int        // of a frame, in bytes: wire.MaxRecovery
	tooLarge uint64

	parts map[wire.NodeID][]byte // of frames that have not come whole; guarded by Cluster.mu
}

// keepFrame is what SendFrame keeps to write the next frame in.
const keepFrame = 256 << 10

// able tells whether the node at the other end of a link has recovery on.
func able(l *mesh.Link) bool { return l != nil && l.Features()&wire.FeatureRecovery != 0 }

// SendFrame puts a frame for the Recovery of another node on the link to it; without a link, or to who is Unable, it is lost, and Linked
// follows when there is one. It never blocks. Flush has to follow. When more than 64 MiB of frames wait on the link it ends: the peer
// does not read, and what is lost has to be said again. A frame of more than wire.MaxRecovery is lost and counted.
func (c *Cluster) SendFrame(to wire.NodeID, f recovery.Frame) {
	a := &c.aside
	a.mu.Lock()
	defer a.mu.Unlock()
	c.mu.Lock()
	l := c.links[to]
	c.mu.Unlock()
	if !able(l) {
		return
	}
	b := recovery.AppendFrame(wire.StartRecovery(a.frame[:0]), f)
	if a.frame = b; cap(b) > keepFrame {
		a.frame = nil
	}
	if len(b) > a.limit {
		a.tooLarge++
		c.log.Error("what a node needs for recovery is too large to be sent", "peer", l.Peer().Name, "frame", fmt.Sprintf("%T", f), "bytes", len(b))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if due, _ := l.QueueBulk(wire.RecoveryFrames(b), len(b)); due {
		c.due.addLocked(l)
	}
}

// recoveryPart takes a part of a frame, and hands the frame over that is whole with it.
func (c *Cluster) recoveryPart(from wire.NodeID, f wire.Frame) error {
	part, more, err := wire.DecodeRecovery(f)
	if err != nil || c.cfg.Recovery == nil {
		return err
	}
	whole, err := c.assemble(from, part, more)
	if err != nil || more {
		return err
	}
	frame, err := recovery.DecodeFrame(whole)
	if err != nil || frame == nil {
		return err
	}
	c.cfg.Recovery.Frame(from, frame)
	c.Flush()
	return nil
}

// assemble gives the whole with the last part. Most frames are one part, which is not copied.
func (c *Cluster) assemble(from wire.NodeID, part []byte, more bool) (whole []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.aside.parts[from]
	switch {
	case len(before)+len(part) > c.aside.limit:
		return nil, fmt.Errorf("recovery: frame of more than %d bytes: %w", c.aside.limit, wire.ErrMalformed)
	case more:
		c.aside.parts[from] = append(before, part...)
		return nil, nil
	case before == nil:
		return part, nil
	}
	delete(c.aside.parts, from)
	return append(before, part...), nil
}

// tellMembers tells of nodes that the core is about to know; the caller holds peering.
func (c *Cluster) tellMembers(ids ...wire.NodeID) {
	r := c.cfg.Recovery
	if r == nil {
		return
	}
	c.mu.Lock()
	news := slices.DeleteFunc(slices.Clone(ids), func(id wire.NodeID) bool { p := c.core.peers[id]; return p != nil && !p.down })
	met := c.core.logs.heads()
	c.mu.Unlock()
	for _, id := range news {
		r.Member(id, met)
	}
}

// tellLinked tells of a link that is up; the caller holds peering.
func (c *Cluster) tellLinked(l *mesh.Link) {
	if r := c.cfg.Recovery; r != nil {
		r.Unable(l.Peer().ID, !able(l))
		r.Linked(l.Peer().ID)
	}
}

// tellDown tells of nodes that are down; the caller holds peering.
func (c *Cluster) tellDown(ids []wire.NodeID) {
	if r := c.cfg.Recovery; r != nil {
		for _, id := range ids {
			r.Down(id)
		}
	}
}

// gap takes a GAP and tells whether it is news.
func (c *Cluster) gap(id wire.NodeID, g wire.Gap) (news bool) {
	c.peering.Lock()
	defer c.Flush()
	defer c.peering.Unlock()
	c.do(func() { news = c.core.gap(id, g) })
	if r := c.cfg.Recovery; r != nil && news {
		r.Gap(id)
	}
	return news
}
