package cluster

import (
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// Recovery is the owner of a recovery.Machine: it hears of the other nodes what the machine has to know. Calls hold no
// lock below the owner's: it may call Publish, SendFrame, Supply, Skip and MayWant from them, under its own lock. It must not wait for a
// link or another node, as all others wait meanwhile. Flush follows each call.
//
// All calls but Frame come one after the other, in the order in which the cluster itself goes through these states. No message or
// frame of a link is handled before Linked has returned, nor after Unlinked was called; Down never comes while there is a link.
// Each node has its Member, and Unable, before its Linked.
type Recovery interface {
	// Member: what is published from now on is kept for a node. Met are the numbers of the last own message of each
	// stream before. It comes again when a node that was down is back. It comes just before the cluster itself knows the node, so that
	// whoever mirrors a message that was for it knows that; one that is published in between is not sent.
	Member(id wire.NodeID, met wire.Frontiers)
	// Linked: SendFrame reaches the node from now on, until Unlinked.
	Linked(id wire.NodeID)
	Unlinked(id wire.NodeID)
	// Down: gossip has lost a node, and there is no link to it.
	Down(id wire.NodeID)
	// Gap: messages of a node are gone that were for this one.
	Gap(id wire.NodeID)
	// Unable says with each link whether a node is of an older version or has recovery off.
	Unable(id wire.NodeID, is bool)
	// Frame has what a node has given to SendFrame, in order, by the reader of its link. Calls for different nodes overlap. Frames
	// are never changed by the receiver, and views of bytes that are never written again.
	Frame(from wire.NodeID, f recovery.Frame)
}

// Supply tells whether a message of a dead node, which a mirror had, is new here and to be handed out. It counts as processed from then on.
func (c *Cluster) Supply(m *wire.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := c.core.supplied(m)
	c.applyLocked() // an ACK now and then
	return is
}

// Skip takes the messages of a dead node up to heads for processed: should it be back, it does not send them.
func (c *Cluster) Skip(origin wire.NodeID, heads wire.Frontiers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.skip(origin, heads)
}

// MayWant tells whether a message is for another node (not this one): so by its interest, or because that is not known or may not be trusted now.
func (c *Cluster) MayWant(peer wire.NodeID, m *wire.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.now = c.clock()
	return c.core.mayWant(peer, m)
}

// supplied tells whether a message of a dead node is new here.
func (c *core) supplied(m *wire.Message) bool {
	p := c.known(m.Origin)
	return p != nil && c.accept(p, m.Flags.Stream(), m.Seq)
}

// skip takes the messages of a dead node for processed.
func (c *core) skip(origin wire.NodeID, heads wire.Frontiers) {
	p := c.known(origin)
	if p == nil {
		return
	}
	for k := range heads {
		p.streams[k].frontier = max(p.streams[k].frontier, heads[k])
	}
}

// known is a peer, or what is remembered of one that is down.
func (c *core) known(id wire.NodeID) *peer {
	if p := c.peers[id]; p != nil {
		return p
	}
	return c.gone[id]
}

// mayWant tells whether m is for a peer, as far as can be told now.
func (c *core) mayWant(id wire.NodeID, m *wire.Message) bool {
	p := c.peers[id]
	return p == nil || p.down || !p.trusted(c) || p.hasAny(id, m.Namespace, m.Rooms)
}
