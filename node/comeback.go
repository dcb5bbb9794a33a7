package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// comeback is a client that wants its session back. Its Open follows what the machine says:
//
//	Recover   the machine looks for the session, and takes it from its owner or a mirror
//	Arrive    a *Session of that id: its rooms are announced, OnConnect handlers run; in force
//	Admit     it is a member of its rooms here, from one place in the order on; nothing goes to its client yet
//	Recovered KindConnect, what was missed, what has come since
//
// or Refused, at any time before the last.
type comeback struct {
	r      *recoverer
	pid    recovery.PID
	arrive chan recovery.Record // capacity one
	over   chan error           // capacity one: nil when the session is open

	// guarded by Node.mu
	s        *Session // since it arrives
	admitted bool
	ended    bool // over has its answer
	safe     bool // Recovered has come
	joins    int  // of rooms that OnConnect handlers added, which are not safe yet
}

// refusal is why a client gets a new session instead of the one that it had.
type refusal string

func (r refusal) Error() string { return "not recovered: " + string(r) }

func isRefusal(err error) bool {
	_, is := errors.AsType[refusal](err)
	return is
}

// What a node refuses by itself.
const (
	refusedNamespace refusal = "of another namespace"
	refusedUser      refusal = "of another user"
)

// maxComing limits the clients that wait for their session; one more gets a new one.
const maxComing = 16 << 10

// resume takes a session back. A refusal: Open goes on with a new one.
func (n *Node) resume(ctx context.Context, cfg SessionConfig) (*Session, error) {
	if cfg.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.Wait)
		defer cancel()
	}
	c, err := n.recovery.comes(cfg.Resume)
	if err != nil {
		return nil, err
	}
	err = c.follow(ctx, cfg)
	if err != nil && !c.giveUp(err) {
		return nil, err
	}
	n.stats.opened.Add(1)
	return c.s, nil
}

// comes begins a comeback. Another one of the same secret here is over: its client has given it up.
func (r *recoverer) comes(from Resume) (c *comeback, err error) {
	pid, cursor, ok := from.parse()
	r.drive(func(x *recovery.Machine) {
		switch {
		case !ok:
			err = r.refusedLocked("malformed")
		case len(r.coming) >= maxComing:
			err = r.refusedLocked("too many at a time")
		default:
			if old := r.coming[pid]; old != nil {
				old.cancelLocked()
				old.endLocked(r.refusedLocked("came again"))
			}
			c = &comeback{r: r, pid: pid, arrive: make(chan recovery.Record, 1), over: make(chan error, 1)}
			r.coming[pid] = c
			x.Recover(pid, cursor)
		}
	})
	return c, err
}

// refusedLocked counts why a client is not recovered.
func (r *recoverer) refusedLocked(reason string) error {
	r.stats.Refused[reason]++
	r.n.log.Debug("session is not recovered", "cause", reason)
	return refusal(reason)
}

// follow returns when the session is open, or will not be.
func (c *comeback) follow(ctx context.Context, cfg SessionConfig) error {
	var rec recovery.Record
	select {
	case rec = <-c.arrive:
	case err := <-c.over:
		return err
	case <-ctx.Done():
		return notNow("the other nodes did not answer in time")
	case <-c.r.n.done:
		return ErrClosed
	}
	version, err := c.register(cfg, rec)
	if err == nil {
		err = c.s.runConnect()
	}
	if err == nil {
		err = c.s.sameUser(rec.User)
	}
	if err == nil {
		err = c.r.n.inForce(ctx, version)
	}
	if err != nil {
		return c.ending(err)
	}
	c.r.drive(func(x *recovery.Machine) {
		if !c.ended {
			x.Arrived(c.pid)
		}
	})
	select {
	case err := <-c.over:
		return err
	case <-ctx.Done():
		return notNow("the other nodes did not answer in time")
	case <-c.r.n.done:
		return ErrClosed
	}
}

// sameUser refuses who has the secret of somebody else's session, who may come back for it as before.
func (s *Session) sameUser(was string) error {
	if is, _ := s.User(); is != was {
		s.node.log.Info("client came back as another user", "session", s.ID(), "addr", s.handshake.Remote)
		return refusedUser
	}
	return nil
}

// ending is how the comeback ended already, or else err.
func (c *comeback) ending(err error) error {
	select {
	case err := <-c.over:
		return err
	default:
		return err
	}
}

// register makes the *Session, and raises the interest in its rooms. Its shard hears only what
// is told to it alone, until it is admitted.
func (c *comeback) register(cfg SessionConfig, rec recovery.Record) (version uint64, err error) {
	n := c.r.n
	if rec.Namespace != cfg.Namespace || wire.SessionID(rec.SID).Node() == 0 { // the other is what a node has got wrong
		return 0, refusedNamespace
	}
	ns, err := n.enter(cfg.Namespace)
	if err != nil {
		return 0, err
	}
	s := n.newSession(wire.SessionID(rec.SID), ns, cfg)
	s.keep(c.pid, true)
	if len(rec.Data) > 0 {
		raw := json.RawMessage(rec.Data)
		s.told.Store(&raw)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || c.ended {
		n.exitLocked(ns)
		return 0, ErrClosed
	}
	if old := n.sessions[s.id]; old != nil { // its last words are not over, or its comeback was
		old.evictLocked()
	}
	c.s = s
	return s.comeLocked(rec), nil
}

// comeLocked counts a session that comes in. An id that names another node is announced like a room.
func (s *Session) comeLocked(rec recovery.Record) (version uint64) {
	n := s.node
	n.sessions[s.id] = s
	s.pushLocked(item{op: opHold, flag: true})
	if home := s.id.Node(); home != n.ID() {
		s.movedFrom = home
		version = n.cluster.SetInterest(s.topic(), true)
	}
	s.kept.enters = map[string]struct{}{}
	version = max(version, n.countInLocked(wire.Topic{Namespace: s.ns.name}, s.shard)) // whatever the record says: removeLocked counts it out
	for room := range rec.Rooms {
		if room == "" || room == rec.SID {
			continue
		}
		s.rooms[room], s.kept.enters[room] = n.lastPlace(), struct{}{}
		version = max(version, n.countInLocked(wire.Topic{Namespace: s.ns.name, Room: room}, s.shard))
	}
	return version
}

// arrive is the machine's word that the session is this node's.
func (r *recoverer) arrive(rec recovery.Record) {
	if c := r.coming[rec.PID]; c != nil {
		c.arrive <- rec // has room: once a comeback
	} else {
		r.x.Reject(rec.PID)
	}
}

// admit makes the session a member of its rooms, in one step: what is behind this place
// in the order comes live, what is before it is in e.Replay.
func (r *recoverer) admit(e recovery.Admit) {
	pid := e.Record.PID
	c := r.coming[pid]
	if c == nil || c.s == nil || c.s.state != sessionOpening || r.n.closed {
		r.x.Lost(pid) // its client is gone: it may come back, there or elsewhere
		return
	}
	s := c.s
	c.admitted = true
	r.open.add(s)
	s.kept.replay = &replay{e.Replay, recovery.Cursor{Node: r.n.ID(), D: e.D}, r.last}
	r.unsent.add(s, e.Bytes, time.Since(r.started))
	r.stats.Replayed += uint64(len(e.Replay))
	s.enterLocked()
	for room := range s.rooms {
		if _, ok := e.Record.Rooms[room]; !ok {
			c.add(room)
		}
	}
	for room := range e.Record.Rooms {
		if _, in := s.rooms[room]; !in && room != "" && room != e.Record.SID {
			r.x.Leave(pid, room)
		}
	}
	if data := s.Data(); string(data) != string(e.Record.Data) {
		r.x.SetData(pid, data)
	}
}

// add makes a room that an OnConnect handler has joined a part of what is recovered next time.
func (c *comeback) add(room string) {
	c.joins++
	r, s := c.r, c.s
	version := r.n.rooms[wire.Topic{Namespace: s.ns.name, Room: room}].version
	r.calls = append(r.calls, func() {
		s.joinSafely(version, []string{room}, func(error) {
			r.drive(func(*recovery.Machine) { c.joins--; c.openLocked() })
		})
	})
}

// recovered is the machine's word that nothing is missing.
func (r *recoverer) recovered(pid recovery.PID) {
	if c := r.coming[pid]; c != nil && c.admitted {
		c.safe = true
		c.openLocked()
	}
}

// openLocked lets the client hear of it, when all is safe.
func (c *comeback) openLocked() {
	if !c.safe || c.joins > 0 || c.ended || c.s.state != sessionOpening {
		return
	}
	c.s.state = sessionOpen
	c.s.appearLocked()
	c.s.pushLocked(item{op: opOpen, d: &Delivery{Kind: KindConnect, Session: c.s}})
	c.r.stats.Recovered++
	c.endLocked(nil)
}

// refuse is the machine's word that there is no recovery.
func (r *recoverer) refuse(pid recovery.PID, reason string) {
	if c := r.coming[pid]; c != nil {
		c.endLocked(r.refusedLocked(reason))
	}
}

func (c *comeback) endLocked(err error) {
	if c.ended {
		return
	}
	c.ended = true
	if c.r.coming[c.pid] == c {
		delete(c.r.coming, c.pid)
	}
	if err != nil && c.s != nil {
		c.r.open.remove(c.s)
	}
	c.over <- err
}

// cancelLocked tells the machine that the client waits no more.
func (c *comeback) cancelLocked() {
	if c.admitted {
		c.r.x.Lost(c.pid)
	} else {
		c.r.x.Cancel(c.pid)
	}
}

// giveUp ends a comeback that has failed here: the client is gone, or handlers refuse it. It tells
// whether the session has opened just then.
func (c *comeback) giveUp(why error) (open bool) {
	c.r.drive(func(x *recovery.Machine) {
		switch {
		case c.ended:
			open = c.s != nil && c.s.state == sessionOpen && !isRefusal(why)
		case errors.Is(why, ErrNotNow):
			c.cancelLocked()
		default:
			reason, is := errors.AsType[refusal](why)
			if !is {
				reason = "not allowed" // by handlers: the client gets their error
			}
			c.r.refusedLocked(string(reason))
			x.Reject(c.pid)
		}
		c.endLocked(why)
	})
	if s := c.s; s != nil && !open {
		s.end()
	}
	return open
}

// takenOver closes a session that lives elsewhere from now on, or is lost to another one's claim.
// Its client, if it is there still, comes back by itself.
func (r *recoverer) takenOver(pid recovery.PID, reason string) {
	s := r.open.of(pid)
	if s == nil {
		return
	}
	r.open.remove(s)
	r.stats.Taken++
	if c := r.coming[pid]; c != nil && c.s == s {
		c.endLocked(r.refusedLocked(reason))
		return
	}
	r.release(s)
	if s.state == sessionClosed {
		return
	}
	s.pushLocked(item{op: opCut})
	s.evictLocked()
	r.n.asideLocked(func() { s.finish(reason) })
}

// evictLocked takes a session out of everything at once, for another *Session of its id.
func (s *Session) evictLocked() {
	s.state = sessionClosed
	s.vanishLocked("transport close", true)
	s.life.end()
	s.backlog.close()
	if s.node.sessions[s.id] == s {
		s.acks.close(s)
		s.removeLocked()
	}
}
