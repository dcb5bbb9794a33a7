package node

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// countEvery is how often the counts of members that have changed go to the other
// nodes, and countChunk how many are looked at in one hold of the lock.
const (
	countEvery = 250 * time.Millisecond
	countChunk = 1000
)

// changedLocked notes that the members of t are to be counted. A topic is in the
// list once as long as it has members; what comes and goes is there as often, which
// is less than the frames that its interest costs.
func (n *Node) changedLocked(t wire.Topic, r *room) {
	if r.changed {
		return
	}
	r.changed = true
	n.recount = append(n.recount, t)
	select {
	case n.uncounted <- struct{}{}:
	default:
	}
}

// runCounts tells the counts until ctx ends. A node in which nothing changes sleeps.
func (n *Node) runCounts(ctx context.Context) {
	for {
		select {
		case <-n.uncounted:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(countEvery): // what changes meanwhile goes with it
			n.tellCounts()
		case <-ctx.Done():
			return
		}
	}
}

// tellCounts makes the counts of this node right as of now.
func (n *Node) tellCounts() {
	n.telling.Lock() // so that no older count follows a newer one
	defer n.telling.Unlock()
	for {
		list := n.takeCounts()
		if len(list) == 0 {
			return
		}
		slices.SortStableFunc(list, func(a, b wire.Count) int { return cmp.Compare(a.Topic.Namespace, b.Topic.Namespace) }) // COUNTS names each once
		n.cluster.SetCounts(list)
	}
}

func (n *Node) takeCounts() (list []wire.Count) {
	n.mu.Lock()
	defer n.mu.Unlock()
	some := n.recount[:min(len(n.recount), countChunk)]
	for _, t := range some {
		count := wire.Count{Topic: t}
		if r := n.rooms[t]; r != nil {
			r.changed, count.Members = false, uint64(r.members)
		}
		list = append(list, count)
	}
	if n.recount = n.recount[len(some):]; len(n.recount) == 0 {
		n.recount = nil
	}
	return list
}

// eachNode calls f for every node of the cluster and gathers those of which it says why
// its numbers may not be right. It asks nobody.
func (n *Node) eachNode(f func(i cluster.NodeInfo) error) (missing []Missing) {
	n.tellCounts()
	for _, i := range n.cluster.Nodes() {
		if err := f(i); err != nil {
			missing = append(missing, Missing{i.Name, err.Error()})
		}
	}
	return sortMissing(missing)
}

// SocketCounts tells how many sessions each node has, by its id, without asking
// them: changes on other nodes are known within a second. A node without a link is in
// missing and has the last count that it told; one of which nothing is known has none.
func (n *Node) SocketCounts() (counts map[wire.NodeID]int, missing []Missing) {
	counts = map[wire.NodeID]int{}
	missing = n.eachNode(func(i cluster.NodeInfo) error {
		count, err := n.cluster.Sessions(i.ID)
		if err == nil || count > 0 {
			counts[i.ID] = count
		}
		return err
	})
	return counts, missing
}

// Count is the number of sessions in the namespace on all nodes, or of the members of a
// room if the operator names one; Local counts those of this node. It asks
// nobody: changes on other nodes are known within a second. A node without a link is in
// missing and counted as it was. Several rooms have members in common, so that they, and
// Except, are an error: Sockets lists those.
func (o Operator) Count() (sockets int, missing []Missing, err error) {
	if err := o.check(); err != nil {
		return 0, nil, err
	}
	t := wire.Topic{Namespace: o.namespace}
	switch {
	case len(o.except) > 0 || len(o.rooms) > 1 || len(o.rooms) == 1 && wire.SessionID(o.rooms[0]).Node() != 0:
		return 0, nil, Errorf(CodeInvalid, "count is for one room or a whole namespace")
	case len(o.rooms) == 1:
		t.Room = o.rooms[0]
	}
	missing = o.node.eachNode(func(i cluster.NodeInfo) error {
		if o.local && i.ID != o.node.ID() {
			return nil
		}
		count, err := o.node.cluster.Members(i.ID, t)
		sockets += count
		return err
	})
	return sockets, missing, nil
}

// Count is Count of the Operator for all sessions of the namespace.
func (ns *Namespace) Count() (sockets int, missing []Missing) {
	sockets, missing, _ = ns.In().Count() // a namespace that is there is valid
	return sockets, missing
}
