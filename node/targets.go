package node

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// target says which sessions an operator means, here and on other nodes.
type target struct {
	Namespace     string
	Rooms, Except []string
}

func (o Operator) target() target { return target{o.namespace, o.rooms, o.except} }

// others are the nodes that the operator concerns besides this one.
func (o Operator) others() []cluster.NodeInfo {
	if o.local {
		return nil
	}
	m := wire.NewMessage(wire.Envelope{Namespace: o.namespace, Rooms: o.rooms}, nil)
	return slices.DeleteFunc(o.node.others(), func(i cluster.NodeInfo) bool { return !o.node.mayConcern(m, i.ID) })
}

// matchChunk is how many sessions are looked at in one hold of the lock, so that
// publishers do not wait for lists: much below a millisecond.
const matchChunk = 500

// match finds the sessions of a target with ids above after, those that are opening
// too. It looks at all of the node, unless only single sessions are named; who
// comes, goes or moves meanwhile may be in it or not.
func (n *Node) match(t target, after string) []*Session {
	found := slices.DeleteFunc(n.candidates(t), func(s *Session) bool { return s.ns.name != t.Namespace || string(s.id) <= after })
	if len(t.Rooms) == 0 && len(t.Except) == 0 {
		return found
	}
	kept := found[:0]
	for chunk := range slices.Chunk(found, matchChunk) {
		n.mu.Lock()
		for _, s := range chunk {
			if s.state != sessionClosed && (len(t.Rooms) == 0 || s.inAnyLocked(t.Rooms)) && !s.inAnyLocked(t.Except) {
				kept = append(kept, s)
			}
		}
		n.mu.Unlock()
	}
	return kept
}

// candidates are all sessions, or those that are named if nothing else is.
func (n *Node) candidates(t target) []*Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(t.Rooms) == 0 || slices.ContainsFunc(t.Rooms, func(r string) bool { return wire.SessionID(r).Node() == 0 }) {
		return slices.AppendSeq(make([]*Session, 0, len(n.sessions)), maps.Values(n.sessions))
	}
	var named []*Session
	for _, r := range slices.Compact(slices.Sorted(slices.Values(t.Rooms))) {
		if s := n.sessions[wire.SessionID(r)]; s != nil {
			named = append(named, s)
		}
	}
	return named
}

func (s *Session) inAnyLocked(rooms []string) bool {
	for _, r := range rooms {
		if _, in := s.rooms[r]; in || r == string(s.id) {
			return true
		}
	}
	return false
}

// Sockets lists the sessions that the operator means, in the whole cluster, by
// id. Nodes that do not answer within the Timeout are in missing; an error says
// that the operator is invalid.
func (o Operator) Sockets(ctx context.Context) (sockets []SocketInfo, missing []Missing, err error) {
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	others := o.others()
	for q := (socketQuery{o.target(), "", MaxPage}); ; {
		page, next, lost := o.node.sockets(ctx, q, others)
		sockets, missing = append(sockets, page...), append(missing, lost...)
		others = slices.DeleteFunc(others, func(i cluster.NodeInfo) bool {
			return slices.ContainsFunc(lost, func(m Missing) bool { return m.Node == i.Name })
		})
		if next != "" && ctx.Err() != nil { // no time for the rest, whosever it is
			for _, i := range others {
				missing = append(missing, Missing{i.Name, reason(ctx.Err())})
			}
			next = ""
		}
		if q.After = next; next == "" {
			return sockets, sortMissing(missing), nil
		}
	}
}

// Changed is what a change of many sessions came to.
type Changed struct {
	Sockets int       // to which it applied
	Refused int       // of a Join: that would have been in too many rooms
	Missing []Missing // nodes of whose sessions nothing is known
}

// Join makes the sessions that the operator means members of rooms, in the
// whole cluster. When it returns that is in force, as with Session.Join, on all
// nodes that are not missing.
func (o Operator) Join(ctx context.Context, rooms ...string) (Changed, error) {
	for _, r := range rooms {
		if wire.SessionID(r).Node() != 0 {
			return Changed{}, Errorf(CodeForbidden, "room is a socket's id")
		}
	}
	return o.change(ctx, change{Kind: changeJoin, Rooms: rooms})
}

// Leave ends the membership of rooms of the sessions that the operator means.
func (o Operator) Leave(ctx context.Context, rooms ...string) (Changed, error) {
	return o.change(ctx, change{Kind: changeLeave, Rooms: rooms})
}

// Disconnect ends the sessions that the operator means, as Session.Disconnect
// does. When it returns nothing that is published later reaches them.
func (o Operator) Disconnect(ctx context.Context, connection bool) (Changed, error) {
	return o.change(ctx, change{Kind: changeDisconnect, Connection: connection})
}

// change is what other nodes are told to do; fields are only appended.
type change struct {
	Target     target
	Kind       changeKind
	Rooms      []string
	Connection bool
}

type changeKind uint8

const (
	changeJoin changeKind = iota + 1
	changeLeave
	changeDisconnect
)

type changeReply struct{ Sockets, Refused int }

func (o Operator) change(ctx context.Context, c change) (Changed, error) {
	if err := o.check(); err != nil {
		return Changed{}, err
	}
	for _, r := range c.Rooms {
		if err := CheckRoom(r); err != nil {
			return Changed{}, err
		}
	}
	c.Target = o.target()
	body, err := wire.Marshal(c)
	if err != nil {
		return Changed{}, err
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	var sum Changed
	var mu sync.Mutex
	var wg sync.WaitGroup
	add := func(r changeReply) {
		mu.Lock()
		defer mu.Unlock()
		sum.Sockets, sum.Refused = sum.Sockets+r.Sockets, sum.Refused+r.Refused
	}
	wg.Go(func() {
		missing := o.node.askNodes(ctx, o.others(), "change", body, func(_ cluster.NodeInfo, body []byte) error {
			var r changeReply
			err := wire.Unmarshal(body, &r)
			add(r)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		sum.Missing = append(sum.Missing, missing...)
	})
	r, err := o.node.applyChange(ctx, c)
	add(r)
	wg.Wait()
	if err != nil { // made, and not in force everywhere: the own node is what is missing
		sum.Missing = append(sum.Missing, Missing{o.node.Name(), err.Error()})
	}
	sum.Missing = sortMissing(sum.Missing)
	return sum, nil
}

// applyChange makes a change on this node and returns when it is in force in
// the whole cluster.
func (n *Node) applyChange(ctx context.Context, c change) (changeReply, error) {
	sessions := n.match(c.Target, "")
	var r changeReply
	var version uint64
	moved := map[wire.NodeID][]string{}
	all := newTally()
	var joined []*Session
	for _, s := range sessions {
		v, err := s.change(c, all)
		switch to := s.home(); {
		case to != 0: // before the change, maybe: it is made again there
			moved[to] = append(moved[to], string(s.id))
		case err == nil:
			r.Sockets++
			version = max(version, v)
			joined = append(joined, s)
		case CodeOf(err) == CodeLimit:
			r.Refused++
		case CodeOf(err) == CodeInvalid:
			return r, err
		} // the rest has gone meanwhile
	}
	if err := n.changeMoved(ctx, c, moved, &r); err != nil {
		return r, err
	}
	if n.recovery != nil && c.Kind != changeDisconnect {
		return r, n.wait(ctx, func(done func(error)) {
			all.then = func() { done(nil) }
			if c.Kind == changeJoin {
				n.joinAll(version, joined, c.Rooms, all)
			}
			all.one(nil)
		})
	}
	if version == 0 { // nobody has joined anything
		return r, nil
	}
	return r, n.inForce(ctx, version)
}

// joinAll is joinSafely for many sessions.
func (n *Node) joinAll(version uint64, sessions []*Session, rooms []string, all *tally) {
	for _, s := range sessions {
		s.joinSafely(version, rooms, all.add())
	}
}

// change makes a change of one session. It waits for the end of a move.
func (s *Session) change(c change, all *tally) (version uint64, err error) {
	switch c.Kind {
	case changeJoin:
		return s.join(c.Rooms)
	case changeLeave:
		s.leave(c.Rooms, all.add)
	case changeDisconnect:
		s.Disconnect(c.Connection)
	default:
		err = Errorf(CodeInvalid, "unknown change %d", c.Kind)
	}
	return 0, err
}

// changeMoved passes a change on for sessions that have just moved: the nodes
// where they are now may have looked before they came.
func (n *Node) changeMoved(ctx context.Context, c change, moved map[wire.NodeID][]string, sum *changeReply) error {
	for to, ids := range moved {
		c.Target = target{Namespace: c.Target.Namespace, Rooms: ids}
		body, err := wire.Marshal(c)
		if err != nil {
			return err
		}
		answer, err := n.cluster.Call(ctx, to, "change", body)
		if err != nil {
			return err
		}
		var r changeReply
		if err := wire.Unmarshal(answer, &r); err != nil {
			return err
		}
		sum.Sockets, sum.Refused = sum.Sockets+r.Sockets, sum.Refused+r.Refused
	}
	return nil
}
