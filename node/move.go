package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// A client whose websocket lands on another node than its polls takes its
// sessions there, so that it hangs on one node only (MESH §7). The old node freezes
// them (Depart), the new one makes them members of their rooms (Arrive); then every
// node of the cluster publishes a barrier to each of them, which both nodes see in
// the order of all else that it publishes. What a node has published before its
// barrier the old node delivers, what comes after it the new one: nothing twice,
// nothing lost, in order. When the old node has all barriers it lets go (Commit) and
// the new one begins (Admit). See DESIGN.md.

// Moving is a session on its way, as nodes tell one another; fields are only appended.
type Moving struct {
	Namespace, ID string
	Rooms         []string
	Data          []byte // of SetData
	Since         int64  // Unix milliseconds
	Query, Header map[string][]string
	Remote        string
	Auth          []byte
	Asks          uint64 // numbers of questions to clients that the old node has used, or may use yet
	User          string // of SetUser
	Info          []byte
}

// moving is a move that is under way.
type moving struct {
	over chan struct{} // closed when it has ended, one way or the other
}

// passed waits for the barriers of origins. One that goes, or is not known here
// yet, is an error: what it has published is not known to have come.
func (n *Node) passed(ctx context.Context, g *gates, origins []wire.NodeID) error {
	all := g.expect(origins)
	for {
		changed := n.cluster.Changed()
		for _, id := range origins {
			if !n.knows(id) {
				return notNow("a node has gone")
			}
		}
		select {
		case <-all:
			return nil
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for barriers: %w", ctx.Err())
		case <-n.done:
			return ErrClosed
		}
	}
}

// knows tells whether the cluster has a node, linked or not.
func (n *Node) knows(id wire.NodeID) bool {
	return slices.ContainsFunc(n.cluster.Nodes(), func(i cluster.NodeInfo) bool { return i.ID == id })
}

func notNow(why string) error { return &Error{Code: CodeUnavailable, Message: why, Err: ErrNotNow} }

// lockSettled takes Node.mu when no move of s is under way: whoever changes it
// waits for the end of one.
func (s *Session) lockSettled() {
	s.node.mu.Lock()
	for s.moving != nil {
		over := s.moving.over
		s.node.mu.Unlock()
		<-over
		s.node.mu.Lock()
	}
}

// home is the node where s has moved to, 0 when it is here.
func (s *Session) home() wire.NodeID {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return s.movedTo
}

// topic is the session's own, for one that does not live where its id says.
func (s *Session) topic() wire.Topic { return wire.Topic{Namespace: s.ns.name, Room: string(s.id)} }

type barrierRequest struct{ Topics []wire.Topic }

// publishBarriers marks, in what this node publishes, where sessions move: in each
// priority, as the order is of each.
func (n *Node) publishBarriers(q barrierRequest) {
	n.slowDown()
	var turn turns
	defer func() { n.sweep(turn) }() // after the lock is free, and behind Flush
	defer n.cluster.Flush()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, t := range q.Topics {
		for _, p := range priorities {
			m := wire.NewMessage(wire.Envelope{Namespace: t.Namespace, Rooms: []string{t.Room}, Flags: wire.Barrier | p}, nil)
			n.cluster.Publish(m)
			turn.pushAll(n.shards, 1, &Delivery{Message: m})
		}
	}
}

// SessionsMove is that of Config.
func (n *Node) SessionsMove() bool { return n.cfg.SessionsMove }

// Recovery is that of Config: 0 is off.
func (n *Node) Recovery() time.Duration { return n.cfg.Recovery }
