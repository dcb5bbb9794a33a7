package cluster

import (
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// NodeInfo is one node as this one sees it.
type NodeInfo struct {
	ID     wire.NodeID
	Name   string
	Addr   string // of the cluster port; empty without a network
	Region string
	// State is self, up (linked) or cut (a member without a link, which is
	// dialled). A node that is down is not listed.
	State string
	RTT   time.Duration // of the link; 0 unknown
	Since time.Time     // start of this node, or when the link came up
}

// Nodes lists this node and all that are members or linked, by name.
func (c *Cluster) Nodes() []NodeInfo {
	self := NodeInfo{ID: c.cfg.ID, Name: c.cfg.Name, Region: c.cfg.Region, State: "self", Since: c.started}
	if c.gossip == nil {
		return []NodeInfo{self}
	}
	self.Addr = c.cfg.Net.Advertise().String()
	nodes := []NodeInfo{self}
	members := c.gossip.Members()
	for _, m := range members {
		nodes = append(nodes, NodeInfo{ID: m.ID, Name: m.Name, Addr: m.Addr, Region: m.Region, State: "cut"})
	}
	for _, l := range c.mesh.Links() {
		p := l.Peer()
		i := slices.IndexFunc(nodes, func(n NodeInfo) bool { return n.ID == p.ID })
		if i < 0 {
			i = len(nodes)
			nodes = append(nodes, NodeInfo{ID: p.ID, Name: p.Name, Addr: p.Addr})
		}
		nodes[i].State, nodes[i].RTT, nodes[i].Since = "up", l.RTT(), l.Since()
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int {
		return strings.Compare(a.Name+a.ID.String(), b.Name+b.ID.String())
	})
	return nodes
}

// Changed is closed at the next change of Nodes: ask for it before Nodes, and no
// change is missed. It is closed for nothing at times.
func (c *Cluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watch
}

// announce wakes those who wait for a change.
func (c *Cluster) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.watch)
	c.watch = make(chan struct{})
}

// Ready tells whether the node has been in step with the cluster that it
// started into, and names the members without a link now. The latter never
// make a node unready: one hung node would take all out of their balancer.
func (c *Cluster) Ready() (ready bool, cut []string) {
	for _, n := range c.Nodes() {
		if n.State == "cut" {
			cut = append(cut, n.Name)
		}
	}
	return c.hasSettled(), cut
}

// Stats are counters since New and the state of now.
type Stats struct {
	Mesh       mesh.Stats
	Gossip     gossip.Stats
	Published  uint64 // own messages
	Duplicates uint64 // messages of others that came twice
	Topics     int    // of the own interest
	Links      int
	QueueBytes int // what waits for all peers together
	BulkBytes  int // beside that: frames of recovery
	JoinsWait  int // joins that are not in force yet

	LogBytes  [wire.Streams]int    // own messages that some node has not confirmed
	Resent    uint64               // messages sent again on a new link
	Expired   uint64               // times that a linked peer's interest could not be trusted any more
	Lost      [wire.Streams]uint64 // messages that left the log before a peer had them
	Gaps      uint64               // times that a peer told that messages of it are gone
	Detection Detection
	Volatile  uint64 // volatile messages that were not sent as the peer was not ready
	TooLarge  uint64 // frames of recovery that were too large to be sent
}

// Stats is a snapshot.
func (c *Cluster) Stats() Stats {
	s := Stats{Duplicates: c.duplicates.Load()}
	if c.mesh != nil {
		s.Mesh, s.Gossip = c.mesh.Stats(), c.gossip.Stats()
	}
	c.aside.mu.Lock()
	s.TooLarge = c.aside.tooLarge
	c.aside.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Published, s.Detection = c.published, c.detection
	s.Topics, s.Links, s.JoinsWait = len(c.core.own), len(c.links), len(c.core.waits)
	n := c.core.counts
	s.Resent, s.Expired, s.Lost, s.Gaps, s.Volatile = n.resent, n.expired, n.lost, n.gaps, n.volatile
	for k := range s.LogBytes {
		s.LogBytes[k] = c.core.logs.of[k].bytes
	}
	for _, l := range c.links {
		s.QueueBytes += l.Queued()
		s.BulkBytes += l.Bulk()
	}
	return s
}
