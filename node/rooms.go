package node

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// Join makes the session a member of rooms and returns when that is in force
// in the whole cluster: no message that a linked node publishes later is
// missed (G2). A name that it is a member of already is no error. Invalid
// names and rooms beyond the limit refuse the whole call. With Config.Recovery none of
// them is missed either when this node dies.
func (s *Session) Join(ctx context.Context, rooms ...string) error {
	version, err := s.join(rooms)
	if err != nil {
		return err
	}
	if s.node.recovery == nil {
		return s.node.inForce(ctx, version)
	}
	return s.node.wait(ctx, func(done func(error)) { s.joinSafely(version, rooms, done) })
}

// maxJoins limits the JoinFuncs of one session that wait for other nodes.
const maxJoins = 64

// JoinFunc is Join that does not wait: done is called, once, when Join would
// return, possibly before JoinFunc does. It must neither block nor join. While
// maxJoins of the session wait already, JoinFunc waits for one of them, so that
// a client cannot fill the memory while a node is silent.
func (s *Session) JoinFunc(rooms []string, done func(error)) {
	if done = s.place("join", done); done == nil {
		return
	}
	version, err := s.join(rooms)
	if err != nil {
		done(err)
		return
	}
	s.joinSafely(version, rooms, done)
}

// place waits for one of the maxJoins places. The function that it gives calls done, and then
// gives the place back. nil: done has been called, with an error.
func (s *Session) place(what string, done func(error)) func(error) {
	s.joins.Do(func() { s.joining = make(chan struct{}, maxJoins) })
	select {
	case s.joining <- struct{}{}:
	case <-s.node.done:
		done(ErrClosed)
		return nil
	}
	return func(err error) {
		defer func() { <-s.joining }() // after done: a session with a free place may move
		var failed error               // reported by recoverHandler
		defer s.node.recoverHandler(s.ID(), what, &failed)
		done(err)
	}
}

func (s *Session) join(rooms []string) (version uint64, err error) {
	n := s.node
	n.slowDown()
	for _, r := range rooms {
		if err := s.checkRoom(r); err != nil {
			return 0, err
		}
	}
	var turn turns
	defer func() { n.sweep(turn) }() // after the lock is free
	s.lockSettled()
	defer n.mu.Unlock()
	if s.state == sessionClosed {
		return 0, ErrClosed
	}
	if n.newRooms(s, rooms)+len(s.rooms) > n.cfg.MaxRooms {
		n.roomLimitLocked(s)
		return 0, Errorf(CodeLimit, "more than %d rooms", n.cfg.MaxRooms)
	}
	for _, r := range rooms {
		t := wire.Topic{Namespace: s.ns.name, Room: r}
		if r == string(s.id) {
			continue // the room of its own id it is always in
		}
		if _, in := s.rooms[r]; in {
			version = max(version, n.rooms[t].version)
			continue
		}
		s.rooms[r] = n.lastPlace()
		version = max(version, n.countInLocked(t, s.shard))
		s.addLocked(&turn, item{op: opJoin, topic: t}) // outside, too: what comes waits
		if s.present {
			s.presentLocked(r)
		}
	}
	return version, nil
}

// roomLimitLocked counts a join over Config.MaxRooms; one a minute is logged.
func (n *Node) roomLimitLocked(s *Session) {
	n.stats.roomLimit.Add(1)
	if now := time.Now(); !now.Before(n.quietUntil) {
		n.quietUntil = now.Add(time.Minute)
		n.log.Info("join refused", "addr", s.handshake.Remote, "rooms", len(s.rooms), "cause", "max-rooms-per-conn")
	}
}

func (n *Node) newRooms(s *Session, rooms []string) int {
	count := 0
	for _, r := range rooms {
		if _, in := s.rooms[r]; !in && r != string(s.id) {
			count++
		}
	}
	return count
}

// CheckRoom says what is wrong with the name of a room, if anything is.
func CheckRoom(room string) error {
	switch {
	case room == "":
		return Errorf(CodeInvalid, "room name is empty")
	case len(room) > MaxRoomName:
		return Errorf(CodeInvalid, "room name is longer than %d bytes", MaxRoomName)
	case !utf8.ValidString(room):
		return Errorf(CodeInvalid, "room name is not valid UTF-8")
	}
	return nil
}

// checkRoom also keeps clients out of the room of another session's id, where
// they would hear what is meant for that one.
func (s *Session) checkRoom(room string) error {
	if err := CheckRoom(room); err != nil {
		return err
	}
	if wire.SessionID(room).Node() != 0 && room != string(s.id) {
		return Errorf(CodeForbidden, "room is another socket's id")
	}
	return nil
}

// Leave ends the membership of rooms. Nothing that is published later in the
// whole cluster arrives through them, and what an Ack reports after Leave does
// not overtake what came before.
func (s *Session) Leave(rooms ...string) { s.leave(rooms, nil) }

// LeaveFunc is Leave that calls done, once, when nothing of the rooms comes to the client any more wherever its session is
// recovered: at once without Config.Recovery. What holds for JoinFunc and its done holds here.
func (s *Session) LeaveFunc(rooms []string, done func(error)) {
	if s.node.recovery == nil {
		s.Leave(rooms...)
		done(nil)
		return
	}
	if done = s.place("leave", done); done == nil {
		return
	}
	all := newTally()
	all.then = func() { done(nil) }
	s.leave(rooms, all.add)
	all.one(nil)
}

// leave calls what add gives for each room, unless add is nil, when its end is known.
func (s *Session) leave(rooms []string, add func() func(error)) {
	n := s.node
	n.slowDown()
	var turn turns
	var calls []func()
	defer func() { // after the lock is free
		n.sweep(turn)
		n.afterwards(calls)
	}()
	s.lockSettled()
	defer n.mu.Unlock()
	if s.state == sessionClosed {
		return
	}
	for _, r := range rooms {
		s.unwatchLocked(r) // nothing comes later
		if _, in := s.rooms[r]; in {
			delete(s.rooms, r)
			if s.outside() {
				delete(s.kept.enters, r)
			}
			s.absentLocked(presence.ReasonLeft, false, r)
			t := wire.Topic{Namespace: s.ns.name, Room: r}
			n.countOutLocked(t)
			s.addLocked(&turn, item{op: opLeave, topic: t})
		} else if add == nil || r == string(s.id) {
			continue // else its end may not be known yet
		}
		if n.recovery != nil {
			n.recovery.leftLocked(s, r, add)
		}
	}
	if n.recovery != nil {
		calls = n.recovery.applyLocked()
	}
}

// Rooms are the rooms of the session, sorted, without its own id.
func (s *Session) Rooms() []string {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return slices.Sorted(maps.Keys(s.rooms))
}

// countInLocked counts a member in and gives the version of the interest that
// must be in force for it.
func (n *Node) countInLocked(t wire.Topic, s *shard) uint64 {
	r := n.rooms[t]
	if r == nil {
		r = &room{version: n.cluster.SetInterest(t, true)}
		n.rooms[t] = r
	}
	if r.members == 0 {
		r.only = s
	} else if r.only != s {
		r.only = nil
	}
	r.members++
	n.changedLocked(t, r)
	return r.version
}

func (n *Node) countOutLocked(t wire.Topic) {
	r := n.rooms[t]
	n.changedLocked(t, r)
	if r.members--; r.members == 0 {
		delete(n.rooms, t)
		n.cluster.SetInterest(t, false)
	}
}

// inForceWithin is inForce for at most d, if d is not 0. Mostly nobody has to wait, and
// no timer is made: all but the first session of a namespace find it in force.
func (n *Node) inForceWithin(ctx context.Context, d time.Duration, version uint64) error {
	if n.cluster.InForce(version) {
		return nil
	}
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return n.inForce(ctx, version)
}

// wait calls begin and returns when what that was given is called, or ctx or the node ends.
func (n *Node) wait(ctx context.Context, begin func(done func(error))) error {
	over := make(chan error, 1)
	begin(func(err error) { over <- err })
	select {
	case err := <-over:
		return err
	case <-n.done:
		return ErrClosed
	case <-ctx.Done():
		return &Error{Code: CodeUnavailable, Message: "the other nodes did not answer in time", Err: ErrNotNow}
	}
}

// inForce waits until the interest of version is in force at all linked nodes.
func (n *Node) inForce(ctx context.Context, version uint64) error {
	return n.wait(ctx, func(done func(error)) { n.cluster.WhenInForce(version, func() { done(nil) }) })
}
