package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// Arriving is one session that comes, and what it delivers to.
type Arriving struct {
	Moving
	Sink Sink
}

// Arrival is sessions that are about to live here.
type Arrival struct {
	node     *Node
	sessions []*Session
	origins  []wire.NodeID
}

// Arrive makes sessions of the node from members of their rooms here, waits until
// that is in force, and has every node publish the barriers. Admit or Cancel must
// follow. An error says that the sessions cannot come.
func (n *Node) Arrive(ctx context.Context, from wire.NodeID, list []Arriving, affinity Affinity) (*Arrival, error) {
	a := &Arrival{node: n}
	var version uint64
	for _, x := range list {
		v, err := a.add(from, x, affinity)
		if err != nil {
			a.Cancel()
			return nil, err
		}
		version = max(version, v)
	}
	err := n.inForce(ctx, version)
	if err == nil {
		err = a.barriers(ctx)
	}
	if err != nil {
		a.Cancel()
		return nil, err
	}
	return a, nil
}

func (a *Arrival) add(from wire.NodeID, x Arriving, affinity Affinity) (version uint64, err error) {
	n := a.node
	ns, err := n.enter(x.Namespace)
	if err != nil {
		return 0, err
	}
	s := n.newSession(wire.SessionID(x.ID), ns, SessionConfig{Sink: x.Sink, Affinity: affinity, Handshake: Handshake{Protocol: "socket.io",
		Query: x.Query, Header: x.Header, Remote: x.Remote, Auth: x.Auth}})
	s.since, s.movedFrom, s.gates = time.UnixMilli(x.Since), from, newGates(true)
	if len(x.Data) > 0 {
		raw := json.RawMessage(x.Data)
		s.told.Store(&raw)
	}
	if x.User != "" || len(x.Info) > 0 {
		s.who = &who{x.User, x.Info}
	}
	for last := n.asks.Load(); last < x.Asks && !n.asks.CompareAndSwap(last, x.Asks); last = n.asks.Load() {
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.sessions[s.id] != nil {
		n.exitLocked(ns)
		return 0, ErrClosed
	}
	a.sessions = append(a.sessions, s)
	return s.arriveLocked(x.Rooms), nil
}

// arriveLocked counts a session that comes in. Its id, which names another node, is
// announced like a room.
func (s *Session) arriveLocked(rooms []string) (version uint64) {
	n := s.node
	n.sessions[s.id] = s
	s.pushLocked(item{op: opHold})
	version = n.cluster.SetInterest(s.topic(), true)
	join := func(room string) {
		t := wire.Topic{Namespace: s.ns.name, Room: room}
		version = max(version, n.countInLocked(t, s.shard))
		s.pushLocked(item{op: opJoin, topic: t})
	}
	join("")
	for _, r := range rooms {
		s.rooms[r] = n.lastPlace()
		join(r)
	}
	return version
}

// barriers has all nodes publish theirs.
func (a *Arrival) barriers(ctx context.Context) error {
	n := a.node
	var q barrierRequest
	for _, s := range a.sessions {
		q.Topics = append(q.Topics, s.topic())
	}
	body, err := wire.Marshal(q)
	if err != nil {
		return err
	}
	n.publishBarriers(q)
	others := n.others()
	missing := n.askNodes(ctx, others, "barrier", body, func(cluster.NodeInfo, []byte) error { return nil })
	if len(missing) > 0 {
		return notNow("node " + missing[0].Node + ": " + missing[0].Reason)
	}
	a.origins = []wire.NodeID{n.ID()}
	for _, o := range others {
		a.origins = append(a.origins, o.ID)
	}
	for _, s := range a.sessions {
		if err := n.passed(ctx, s.gates, a.origins); err != nil {
			return err
		}
	}
	return nil
}

// Origins are the nodes whose barriers have come: those for Departure.Commit.
func (a *Arrival) Origins() []wire.NodeID { return a.origins }

// Sessions are those that arrive, in the order of Arrive.
func (a *Arrival) Sessions() []*Session { return a.sessions }

// Admit lets the sessions have what has come for them. It is for when the old node
// has committed; owed is what it says of answers that it waits for. After an error
// they have lost something: Close them.
func (a *Arrival) Admit(owed []int) error {
	n := a.node
	for _, s := range a.sessions {
		if s.gates.lost(n.cluster.Reachable) {
			return notNow("a node has come")
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range a.sessions {
		if s.state != sessionOpening || n.closed {
			return ErrClosed
		}
	}
	for i, s := range a.sessions {
		if s.state = sessionOpen; i < len(owed) {
			s.owing, s.owed = owed[i], owed[i] > 0
		}
		s.appearLocked()
		s.pushLocked(item{op: opOpen})
		n.stats.movedIn.Add(1)
	}
	return nil
}

// Cancel takes the sessions out again.
func (a *Arrival) Cancel() {
	for _, s := range a.sessions {
		s.end()
	}
}
