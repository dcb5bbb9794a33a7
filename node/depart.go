package node

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

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
	if s.state != sessionOpen || s.moving != nil || n.closed || len(s.watching) > 0 {
		s.unrest(maxJoins)
		return false
	}
	s.moving = &moving{over: make(chan struct{})}
	s.gates = newGates(false)
	s.pushLocked(item{op: opGate})
	d.frozen = append(d.frozen, s)
	h := s.Handshake()
	user, info := s.userLocked()
	d.state = append(d.state, Moving{Namespace: s.ns.name, ID: string(s.id), Rooms: slices.Sorted(maps.Keys(s.rooms)), Data: s.Data(),
		User: user, Info: info, Since: s.since.UnixMilli(), Query: h.Query, Header: h.Header, Remote: h.Remote, Auth: h.Auth, Asks: n.asks.Load() + asksInMove})
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
		s.vanishLocked("moved", true) // nobody is told: it is there already, or soon
		s.life.end()
		s.removeLocked()
		s.thawLocked()
		n.stats.movedOut.Add(1)
	}
	return nil
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
