package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// keepPatience is how long a new session waits for its mirrors. Beyond it, as a node has died a moment ago, the
// client is served all the same, by a session that can be recovered once they have it.
const keepPatience = 2 * time.Second

// unknownUser is who nobody can be: names of users are valid UTF-8. Mirrors must not take a session for one of no user while its handlers run.
const unknownUser = "\xff"

// beKept has the machine keep a new session, and makes it a member of its namespace when its
// place in the order is known for sure: what comes behind it is not lost with this node.
func (s *Session) beKept(ctx context.Context) error {
	r := s.node.recovery
	done := make(chan struct{})
	user := ""
	if len(s.ns.connectHandlers()) > 0 {
		user = unknownUser
	}
	r.drive(func(x *recovery.Machine) {
		pid, left := s.kept.pid, 2
		if s.state != sessionOpening {
			close(done)
			return
		}
		r.open.add(s)
		x.Open(pid, string(s.id), s.ns.name, user)
		for _, room := range []string{"", string(s.id)} {
			s.awaitLocked(&s.kept.joins, room, func(err error) {
				if left--; left == 0 && err == nil && s.outside() {
					s.enterLocked()
				}
				if left == 0 {
					close(done)
				}
			})
			x.Join(pid, room)
		}
	})
	return s.awaitKept(ctx, done)
}

// userKept returns when mirrors know who the client of a new session is: it would not get it back before.
func (s *Session) userKept(ctx context.Context) error {
	if s.kept == nil || len(s.ns.connectHandlers()) == 0 {
		return nil
	}
	r := s.node.recovery
	done := make(chan struct{})
	r.drive(func(x *recovery.Machine) {
		if !r.open.has(s) {
			close(done)
			return
		}
		user, _ := s.userLocked()
		x.SetUser(s.kept.pid, user)
		s.awaitLocked(&s.kept.joins, "", func(error) { close(done) })
		x.Join(s.kept.pid, "")
	})
	return s.awaitKept(ctx, done)
}

// awaitKept waits for mirrors, and after keepPatience no more.
func (s *Session) awaitKept(ctx context.Context, done <-chan struct{}) error {
	patience := time.NewTimer(keepPatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
		s.serve(done)
	case <-ctx.Done():
		return notNow("the other nodes did not answer in time")
	case <-s.node.done:
		return ErrClosed
	}
	return nil
}

// serve serves a session that has waited for its mirrors in vain. It has the secret: who has none could never come back, while mirrors
// have most sessions a moment later.
func (s *Session) serve(done <-chan struct{}) {
	r := s.node.recovery
	r.drive(func(x *recovery.Machine) {
		select {
		case <-done: // just now
			return
		default:
		}
		if s.state == sessionOpening && s.outside() {
			x.Begin(s.kept.pid)
			s.enterLocked()
			r.stats.Unkept++
		}
	})
}

// endLocked tells the machine that a session's client is gone; with lost it may come back.
func (r *recoverer) endLocked(s *Session, lost bool) {
	if !r.open.has(s) {
		return
	}
	r.open.remove(s)
	if lost {
		r.atLocked().Lost(s.kept.pid)
	} else {
		r.atLocked().End(s.kept.pid)
	}
	r.release(s)
}

// release lets go of all who wait for something of a session that has ended here.
func (r *recoverer) release(s *Session) {
	for _, of := range []map[string][]func(error){s.kept.joins, s.kept.leaves} {
		for _, list := range of {
			for _, f := range list {
				f(ErrClosed)
			}
		}
	}
	s.kept.joins, s.kept.leaves = nil, nil
}

// awaitLocked has f called, with Node.mu held, when the machine says so of a room.
func (s *Session) awaitLocked(in *map[string][]func(error), room string, f func(error)) {
	if *in == nil {
		*in = map[string][]func(error){}
	}
	(*in)[room] = append((*in)[room], f)
}

// settle tells those who wait for a room of a session.
func (r *recoverer) settle(pid recovery.PID, room string, of func(*kept) map[string][]func(error)) {
	s := r.open.of(pid)
	if s == nil {
		return
	}
	waiting := of(s.kept)
	list := waiting[room]
	delete(waiting, room)
	for _, f := range list {
		f(nil)
	}
}

// joinSafely calls done when the interest of version is in force and, if the session can be recovered, nothing that is
// published to the rooms from then on is lost with this node. It is called without locks held.
func (s *Session) joinSafely(version uint64, rooms []string, done func(error)) {
	n := s.node
	if n.recovery == nil {
		n.cluster.WhenInForce(version, func() { done(nil) })
		return
	}
	n.cluster.WhenInForce(version, func() {
		n.recovery.drive(func(x *recovery.Machine) { s.joinLocked(x, rooms, done) })
	})
}

// joinLocked is joinSafely for rooms whose interest is in force.
func (s *Session) joinLocked(x *recovery.Machine, rooms []string, done func(error)) {
	r, left := s.node.recovery, 1
	one := func(err error) {
		if left--; left == 0 {
			r.callWith(done, err)
		}
	}
	if r.open.has(s) {
		for _, room := range rooms {
			if _, in := s.rooms[room]; in {
				left++
				s.awaitLocked(&s.kept.joins, room, one)
				x.Join(s.kept.pid, room)
			}
		}
	}
	one(nil)
}

// leftLocked tells the machine of a room that the session has left. Who waits for having joined it waits no more.
func (r *recoverer) leftLocked(s *Session, room string, add func() func(error)) {
	if !r.open.has(s) {
		return
	}
	for _, f := range s.kept.joins[room] {
		f(nil)
	}
	delete(s.kept.joins, room)
	if add != nil {
		done := add()
		s.awaitLocked(&s.kept.leaves, room, func(err error) { r.callWith(done, err) })
	}
	r.atLocked().Leave(s.kept.pid, room)
}

// maxUnacked limits the messages whose publishers wait for their copies. They wait long
// when a node has just died.
const maxUnacked = 64 << 10

// errUnacked is the answer to a publisher who is one too many.
var errUnacked = Errorf(CodeLimit, "too many messages wait for their copies")

// errNoCopy is the answer when nobody can say that a message has a copy.
var errNoCopy = Errorf(CodeUnavailable, "it is not known whether the message has a copy")

// awaitCopies has done called when m, which has its number, has its copies.
func (r *recoverer) awaitCopies(m *wire.Message, done func(error)) {
	switch {
	case done == nil:
	case len(r.unacked) >= maxUnacked:
		r.callWith(done, errUnacked)
	default:
		r.unacked[stamp{m.Flags.Stream(), m.Seq}] = done
	}
}

// acked is the machine's word that an own message has copies, or that there is no other node.
func (r *recoverer) acked(e recovery.Acked) {
	if len(r.unacked) == 0 {
		return
	}
	at := stamp{e.Stream, e.Seq}
	done := r.unacked[at]
	delete(r.unacked, at)
	var err error
	if e.Doubted {
		err = errNoCopy
	}
	r.callWith(done, err)
}

// stop lets go of all publishers that wait, and of all who wait for rooms: the node ends.
func (r *recoverer) stop() {
	r.n.mu.Lock()
	for at, done := range r.unacked {
		delete(r.unacked, at)
		r.callWith(done, ErrClosed)
	}
	for _, s := range r.open.list {
		r.release(s)
	}
	calls := r.calls
	r.calls = nil
	r.n.mu.Unlock()
	run(calls)
}

// EmitSafe is Emit that returns when the message outlives this node: it is at a second one, which
// hands it out should this one die, or there is no other. Without Config.Recovery, and for messages that are not
// recovered (Volatile, Local), that is at once. It waits at most as Timeout says: some seconds when a node has just died. An
// error of CodeLimit or CodeUnavailable after the message was sent says that it is not known to be safe; it may arrive all the same.
func (o Operator) EmitSafe(ctx context.Context, event string, args ...any) error {
	m, err := o.event(event, args)
	if err != nil {
		return err
	}
	return o.sendSafely(ctx, m)
}

// EmitArgsSafe is EmitSafe with the arguments of EmitArgs.
func (o Operator) EmitArgsSafe(ctx context.Context, event string, args wire.Args, attachments [][]byte) error {
	payload, err := joinEvent(event, args, attachments)
	if err != nil {
		return err
	}
	m, err := o.message(payload, attachments)
	if err != nil {
		return err
	}
	return o.sendSafely(ctx, m)
}

func (o Operator) sendSafely(ctx context.Context, m *wire.Message) error {
	if o.node.recovery == nil {
		return o.send(m, nil)
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	done := make(chan error, 1)
	if err := o.send(m, func(err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &Error{Code: CodeUnavailable, Message: "the message has no copy yet: " + ctx.Err().Error(), Err: ctx.Err()}
	}
}

// EmitArgsFunc is EmitArgs that calls done, once, when EmitSafe would return, possibly before it returns itself. done must not
// block. It is called with the error of EmitArgs, too. At most maxUnacked messages of the node wait;
// beyond it the error is one of CodeLimit, though the message was sent.
func (o Operator) EmitArgsFunc(event string, args wire.Args, attachments [][]byte, done func(error)) {
	payload, err := joinEvent(event, args, attachments)
	if err == nil {
		var m *wire.Message
		if m, err = o.message(payload, attachments); err == nil {
			err = o.send(m, done)
		}
	}
	if err != nil {
		done(err)
	}
}

// tally counts what is under way, itself as one, and calls then when all of it is done.
type tally struct {
	left atomic.Int64
	then func()
}

func newTally() *tally {
	t := &tally{}
	t.left.Store(1)
	return t
}

// add is a function that has to be called once.
func (t *tally) add() func(error) {
	t.left.Add(1)
	return t.one
}

func (t *tally) one(error) {
	if t.left.Add(-1) == 0 {
		t.then()
	}
}
