package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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
}

// moving is a move that is under way.
type moving struct {
	over chan struct{} // closed when it has ended, one way or the other
}

// Departure is sessions that are about to leave this node.
type Departure struct {
	node   *Node
	frozen []*Session
	state  []Moving
	owed   []int // answers that are waited for here, of each
}

// Depart freezes the sessions of one client, which says nothing meanwhile: it
// waits for the handlers of what the client has said and for its joins, at most until
// ctx ends. Changes of the sessions by others wait from then on until Commit or
// Cancel, one of which must follow. What is published still goes to their Sinks.
func (n *Node) Depart(ctx context.Context, sessions []*Session) (*Departure, error) {
	d := &Departure{node: n}
	if !n.cfg.SessionsMove {
		return nil, Errorf(CodeForbidden, "sessions stay on their node")
	}
	for _, s := range sessions { // all of them: a handler may change the client's other sessions
		s.quiet(ctx)
	}
	for _, s := range sessions {
		if err := s.rest(ctx); err != nil {
			d.Cancel()
			return nil, err
		}
		if !d.freeze(s) {
			d.Cancel()
			return nil, ErrClosed
		}
	}
	return d, nil
}

// quiet waits until no handler of the session's events runs, at most until ctx ends.
func (s *Session) quiet(ctx context.Context) {
	patience := lastWords
	if end, ok := ctx.Deadline(); ok {
		patience = time.Until(end)
	}
	s.backlog.wait(patience)
}

// rest waits until none of the session's joins is under way. On success none can
// begin.
func (s *Session) rest(ctx context.Context) error {
	s.joins.Do(func() { s.joining = make(chan struct{}, maxJoins) })
	for i := range maxJoins {
		select {
		case s.joining <- struct{}{}:
		case <-ctx.Done():
			s.unrest(i)
			return ctx.Err()
		}
	}
	return nil
}

// unrest gives places for joins back.
func (s *Session) unrest(places int) {
	for range places {
		<-s.joining
	}
}

func (d *Departure) freeze(s *Session) bool {
	n := d.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.state != sessionOpen || s.moving != nil || n.closed {
		s.unrest(maxJoins)
		return false
	}
	s.moving = &moving{over: make(chan struct{})}
	s.gates = newGates(false)
	s.pushLocked(item{op: opGate})
	d.frozen = append(d.frozen, s)
	h := &s.handshake
	d.state = append(d.state, Moving{Namespace: s.ns.name, ID: string(s.id), Rooms: slices.Sorted(maps.Keys(s.rooms)), Data: s.Data(),
		Since: s.since.UnixMilli(), Query: h.Query, Header: h.Header, Remote: h.Remote, Auth: h.Auth, Asks: n.asks.Load() + asksInMove})
	return true
}

// asksInMove are the numbers that the old node has left for questions which it puts to
// clients while they move: the new node uses none of them.
const asksInMove = 1 << 16

// State is what the new node must know.
func (d *Departure) State() []Moving { return d.state }

// Cancel ends the move; the sessions stay.
func (d *Departure) Cancel() {
	d.node.mu.Lock()
	defer d.node.mu.Unlock()
	for _, s := range d.frozen {
		if s.moving != nil {
			s.pushLocked(item{op: opUngate})
			s.thawLocked()
		}
	}
}

func (s *Session) thawLocked() {
	close(s.moving.over)
	s.moving = nil
	s.unrest(maxJoins)
}

// Commit ends the sessions here, as they go on at the node to: when the barriers of
// all origins that are there have come, and when everybody has what the sessions
// have published. No Sink is called any more when it returns. On an error the
// sessions are still here, frozen: Cancel them.
func (d *Departure) Commit(ctx context.Context, to wire.NodeID, origins []wire.NodeID) error {
	n := d.node
	for _, other := range n.others() {
		if other.State == "up" && !slices.Contains(origins, other.ID) {
			return notNow("node " + other.Name + " has come")
		}
	}
	for _, s := range d.frozen {
		if err := n.passed(ctx, s.gates, origins); err != nil {
			return err
		}
	}
	if err := d.heard(ctx); err != nil {
		return err
	}
	if err := d.leave(to); err != nil {
		return err
	}
	for _, s := range d.frozen {
		select {
		case <-s.gates.gone:
		case <-n.done:
		}
		d.owed = append(d.owed, n.linger(s, to))
	}
	return nil
}

// Owed tells, after Commit, how many answers of each session are waited for here.
func (d *Departure) Owed() []int { return d.owed }

// Lost is for sessions that have left, after Commit, and do not arrive, as their client
// is gone: the handlers of the end run here.
func (d *Departure) Lost(reason string) {
	for _, s := range d.frozen {
		s.acks.close(s)
		leaving, left := s.ns.disconnectHandlers()
		s.runDisconnect(leaving, reason)
		s.runDisconnect(left, reason)
		d.node.stats.closed.Add(1)
	}
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

// heard waits until all nodes have what the sessions have published: what they
// publish from the new node must not overtake it (G1).
func (d *Departure) heard(ctx context.Context) error {
	if !slices.ContainsFunc(d.frozen, func(s *Session) bool { return s.spoke.Load() }) {
		return nil
	}
	missing := d.node.askAll(ctx, "heard", nil, func(cluster.NodeInfo, []byte) error { return nil })
	if len(missing) > 0 {
		return notNow("node " + missing[0].Node + " lacks what was published: " + missing[0].Reason)
	}
	return nil
}

func (d *Departure) leave(to wire.NodeID) error {
	n := d.node
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range d.frozen {
		if s.state != sessionOpen || s.moving == nil {
			return ErrClosed
		}
	}
	for _, s := range d.frozen {
		s.state, s.movedTo = sessionClosed, to
		s.life.end()
		s.removeLocked()
		s.thawLocked()
		n.stats.movedOut.Add(1)
	}
	return nil
}

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

// linger lets the asks that s still owes an answer have it: the client answers at
// its new node, which passes it back. When that node goes, so do they. It tells how many
// there are.
func (n *Node) linger(s *Session, to wire.NodeID) (owed int) {
	owed, paid := s.acks.none()
	if owed == 0 {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lingering[s.id] = s
	n.asideLocked(func() {
		defer func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.lingering, s.id)
		}()
		defer s.acks.close(s)
		for {
			changed := n.cluster.Changed()
			if !n.knows(to) {
				return
			}
			select {
			case <-changed:
			case <-paid:
				return
			case <-n.done:
				return
			}
		}
	})
	return owed
}

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
		version = max(version, n.countInLocked(t))
		s.pushLocked(item{op: opJoin, topic: t})
	}
	join("")
	for _, r := range rooms {
		s.rooms[r] = struct{}{}
		join(r)
	}
	return version
}

// topic is the session's own, for one that does not live where its id says.
func (s *Session) topic() wire.Topic { return wire.Topic{Namespace: s.ns.name, Room: string(s.id)} }

type barrierRequest struct{ Topics []wire.Topic }

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

// publishBarriers marks, in what this node publishes, where sessions move: in each
// priority, as the order is of each.
func (n *Node) publishBarriers(q barrierRequest) {
	n.slowDown()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, t := range q.Topics {
		for _, p := range priorities {
			m := &wire.Message{Namespace: t.Namespace, Rooms: []string{t.Room}, Flags: wire.Barrier | p}
			n.cluster.Publish(m)
			n.pushLocked(&Delivery{Message: m})
		}
	}
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
