package node

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// Member is one who is present in a room: a user (Session.SetUser), whose sockets count
// as one on all nodes, or a socket without a user.
type Member = presence.Member

// MemberSocket is one of several sockets of a Member.
type MemberSocket = presence.Socket

// MemberEvent is the argument of EventMemberJoined and EventMemberLeft. It names the socket
// with which the member has come, or gone.
type MemberEvent struct {
	Room string          `json:"room"`
	ID   string          `json:"id"`
	User string          `json:"user"`
	Info json.RawMessage `json:"info"`
	Node string          `json:"node"`
	// Reason of a member that has left: why its session ended, in the words of the official
	// server, or "left" the room, or "node_down".
	Reason string `json:"reason,omitempty"`
}

// PresenceList is who is in a room. Others may have the same: nothing of it is to be changed.
type PresenceList struct {
	Members []Member  // users and sockets by name, users last
	Missing []Missing // nodes whose members may be missing, or be those of a while ago

	made *listing
}

func (l *listing) list() PresenceList { return PresenceList{l.members, l.missing, l} }

// MaxWatches is how many rooms a session may watch.
const MaxWatches = 100

// Limits of what a client is told at once.
const (
	// MaxMembers is the most members that a client, or a page of Node.Presence, is told of a room.
	MaxMembers   = 10_000
	maxListBytes = 4 << 20
)

// Ack is {ok:true, members, missing}, as clients of the relay get it, missing if there are some. It is
// made once for all who are told the same list.
func (l PresenceList) Ack() *SharedAck {
	if l.made == nil {
		_, a := answerOf(l.Members, l.Missing)
		return a
	}
	l.made.make()
	return l.made.answer
}

// MembersJSON is the members as JSON, made once, too: not to be changed.
func (l PresenceList) MembersJSON() json.RawMessage {
	if l.made == nil {
		return presence.AppendMembers(nil, l.Members)
	}
	l.made.make()
	return l.made.text
}

// Presence lists who is in a room, on all nodes. A room that was not listed or watched on this
// node within the last minute is asked for at the others, which takes a round trip, or 2 s when one does
// not answer; from then on it is known here. Node.Presence lists a page.
func (ns *Namespace) Presence(ctx context.Context, room string) (PresenceList, error) {
	return ns.To(room).Presence(ctx)
}

// Presence is Namespace.Presence for the one room of the operator.
func (o Operator) Presence(ctx context.Context) (PresenceList, error) {
	if len(o.rooms) != 1 || len(o.except) > 0 || o.local {
		return PresenceList{}, Errorf(CodeInvalid, "presence is of one room")
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	list, _, err := o.node.presence(ctx, wire.Topic{Namespace: o.namespace, Room: o.rooms[0]}, "", math.MaxInt)
	return list, err
}

// Presence lists a page of the members of q.Room: see Namespace.Presence, and Sockets for
// next and missing.
func (n *Node) Presence(ctx context.Context, q Query) (members []Member, next string, missing []Missing, err error) {
	list, next, err := n.ListPresence(ctx, q)
	return list.Members, next, list.Missing, err
}

// ListPresence is Presence that gives the page as it is told to clients.
func (n *Node) ListPresence(ctx context.Context, q Query) (page PresenceList, next string, err error) {
	limit := q.Limit
	q = q.normal()
	if limit > MaxPage { // of the nodes' own memory
		q.Limit = min(limit, MaxMembers)
	}
	return n.presence(ctx, wire.Topic{Namespace: q.Namespace, Room: q.Room}, q.After, q.Limit)
}

func (n *Node) presence(ctx context.Context, t wire.Topic, after string, limit int) (list PresenceList, next string, err error) {
	if err := n.follow(ctx, t); err != nil {
		return list, "", err
	}
	p := &n.presences
	p.lock()
	defer p.mu.Unlock()
	f := p.follows[t]
	if f == nil || !p.m.Follows(t) { // cannot be: it lingers
		return list, "", ErrClosed
	}
	if after == "" && p.m.Count(t) <= limit {
		return p.listLocked(t, f).list(), "", nil
	}
	list.Members, next = p.m.List(t, after, limit)
	list.Missing = p.missing(t)
	return list, next, nil
}

func (p *presences) missing(t wire.Topic) (list []Missing) {
	for _, x := range p.m.Missing(t) {
		list = append(list, Missing(x))
	}
	return list
}

// follow returns when a list of the room has all that it can have.
func (n *Node) follow(ctx context.Context, t wire.Topic) error {
	switch {
	case !ValidNamespace(t.Namespace):
		return Errorf(CodeInvalid, "%.40q is no namespace", t.Namespace)
	case wire.SessionID(t.Room).Node() != 0:
		return Errorf(CodeInvalid, "room is a socket's id")
	}
	if err := CheckRoom(t.Room); err != nil {
		return err
	}
	ctx, cancel := within(ctx, 0)
	defer cancel()
	ready, err := n.presences.follow(t)
	if err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	default:
	}
	select {
	case <-ready:
		return nil
	case <-n.done:
		return ErrClosed
	case <-ctx.Done():
		return &Error{Code: CodeUnavailable, Message: "the other nodes did not answer in time", Err: ErrNotNow}
	}
}

func (p *presences) follow(t wire.Topic) (ready <-chan struct{}, err error) {
	p.lock()
	defer p.unlock()
	already := p.m.Follows(t)
	if err := p.m.Watch(t); err != nil {
		if errors.Is(err, presence.ErrFull) {
			err = &Error{Code: CodeLimit, Message: err.Error(), Err: err}
		}
		return nil, err
	}
	p.active.Store(true)
	f := p.follows[t]
	if !already { // what there is may be of a room that has just made way, and was this one
		f = &followed{ready: make(chan struct{}), turn: make(chan struct{}, 1), priming: map[*Session]*heldEvents{}}
		p.follows[t], p.waits[t] = f, f
	}
	return f.ready, nil
}

// WatchPresence lists who is in a room, as Namespace.Presence does but up to MaxMembers and 4 MiB, and from then on the session's
// client gets EventMemberJoined and EventMemberLeft with a MemberEvent, until it leaves the room or ends.
// It need not be a member. listed is called once, before any of these events is sent: what it sends to the
// session, an ack with the list, comes before them. Called again it begins anew,
// with a list. It waits for the answer before to be out, see WaitAnswered. A session that watches does not move to another node (Config.SessionsMove).
func (s *Session) WatchPresence(ctx context.Context, room string, listed func(PresenceList)) error {
	t := wire.Topic{Namespace: s.ns.name, Room: room}
	if err := s.node.follow(ctx, t); err != nil {
		return err
	}
	if err := s.WaitAnswered(ctx); err != nil { // before the list: what happens behind that waits, too
		return err
	}
	list, err := s.prime(t)
	if err != nil {
		return err
	}
	if len(list.text) > maxListBytes {
		s.unwatch(room)
		return Errorf(CodeLimit, "members of the room take more than %d bytes: GET /api/presence lists them in pages", maxListBytes)
	}
	defer s.release(t)
	listed(list.list())
	return nil
}

// errMoves is that a session is to wait for its move to end, or not to come about.
var errMoves = errors.New("session moves")

// watchLocked has the session watch a room, or begin anew. Node.mu and presences.mu are held.
func (s *Session) watchLocked(t wire.Topic, f *followed) error {
	p := &s.node.presences
	_, again := s.watching[t.Room]
	switch {
	case s.state == sessionClosed || p.follows[t] != f || !p.m.Follows(t): // it has made way
		return ErrClosed
	case s.moving != nil:
		return errMoves
	case f.priming[s] != nil:
		return Errorf(CodeLimit, "room is being listed for this socket already")
	case !again && len(s.watching) >= MaxWatches:
		return Errorf(CodeLimit, "more than %d rooms are watched", MaxWatches)
	case p.m.Count(t) > MaxMembers:
		return Errorf(CodeLimit, "room has more than %d members: GET /api/presence lists them in pages", MaxMembers)
	}
	if again {
		f.live--
		s.shard.push(item{op: opLeave, session: s, topic: watchTopic(t)})
	} else {
		if s.watching == nil {
			s.watching = map[string]struct{}{}
		}
		s.watching[t.Room] = struct{}{}
		p.m.Hold(t, 1)
		p.watchers++
	}
	f.priming[s] = &heldEvents{}
	return nil
}

// watchTopic is the topic of who watches a room, in a shard.
func watchTopic(t wire.Topic) wire.Topic {
	return wire.Topic{Namespace: presencePrefix + t.Namespace, Room: t.Room}
}

// release lets the client have what was held back, and what comes.
func (s *Session) release(t wire.Topic) {
	if s.releaseHeld(t) {
		return
	}
	s.Disconnect(true) // it would have a hole
}

func (s *Session) releaseHeld(t wire.Topic) (all bool) {
	p := &s.node.presences
	p.lock()
	defer p.mu.Unlock()
	f := p.follows[t]
	if f == nil || f.priming[s] == nil {
		return true // it watches no more
	}
	held := f.priming[s]
	delete(f.priming, s)
	for _, d := range held.list {
		s.shard.push(item{op: opTell, session: s, d: d})
	}
	s.shard.push(item{op: opJoin, session: s, topic: watchTopic(t)})
	f.live++
	return !held.over
}

func (s *Session) unwatch(room string) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	s.unwatchLocked(room)
}

// unwatchLocked ends the watching of a room. Node.mu is held.
func (s *Session) unwatchLocked(room string) {
	p, t := &s.node.presences, wire.Topic{Namespace: s.ns.name, Room: room}
	if _, is := s.watching[room]; !is {
		return
	}
	delete(s.watching, room)
	p.lock()
	defer p.mu.Unlock()
	f := p.follows[t]
	if f.priming[s] != nil {
		delete(f.priming, s)
	} else {
		f.live--
		s.shard.push(item{op: opLeave, session: s, topic: watchTopic(t)})
	}
	p.m.Hold(t, -1)
	p.watchers--
}

// tellPresenceLocked tells those who watch a room of one of its members: an item for
// each shard, whose inbox has it in order with all else. presences.mu is held.
func (n *Node) tellPresenceLocked(v presence.Event) {
	f := n.presences.follows[v.Topic]
	if f == nil || f.live == 0 && len(f.priming) == 0 {
		return
	}
	name := EventMemberJoined
	if v.Left {
		name = EventMemberLeft
	}
	e := MemberEvent{Room: v.Topic.Room, ID: v.Member.ID, User: v.Member.User, Info: v.Member.Info, Node: v.Member.Node, Reason: v.Reason}
	payload, _, err := encodeEvent(name, []any{e})
	if err != nil {
		n.log.Error("presence event cannot be encoded", "err", err)
		return
	}
	m := wire.NewMessage(wire.Envelope{Origin: n.ID(), Namespace: v.Topic.Namespace, Rooms: []string{v.Topic.Room}}, payload)
	d := &Delivery{Message: m}
	for _, held := range f.priming {
		if len(held.list) < maxHeld {
			held.list = append(held.list, d)
		} else {
			held.over = true
		}
	}
	if f.live > 0 {
		for _, s := range n.shards {
			s.push(item{op: opWatchers, topic: watchTopic(v.Topic), d: d, members: int32(f.live)})
		}
	}
}

// deliverTo gives d to all members of a topic, whatever rooms it is for.
func (s *shard) deliverTo(t wire.Topic, d *Delivery) {
	s.sweep++
	s.except = s.except[:0]
	s.deliverTopic(d, t)
}
