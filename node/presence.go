package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// presencePrefix makes the namespace of what nodes tell one another of presence, and
// in a shard the topics of who watches a room. No client can be a member: namespaces start
// with a slash.
const presencePrefix = "presence:"

// Events that tell who watches a room of its members; see Session.WatchPresence.
const (
	EventMemberJoined = "member_joined"
	EventMemberLeft   = "member_left"
)

// presences is this node's part in presence: package presence says what is to be done,
// and the one goroutine of runPresence does it, so in that order.
type presences struct {
	active atomic.Bool   // some room is followed: joins and leaves are to be told
	wake   chan struct{} // capacity one
	begun  time.Time

	// mu is below Node.mu, and above the locks of cluster and of the shards.
	mu        sync.Mutex
	m         *presence.Machine
	follows   map[wire.Topic]*followed
	waits     map[wire.Topic]*followed // those that are not ready
	address   map[wire.NodeID]string   // a session id of each node: a room that needs no interest
	watchers  int                      // of all rooms
	listed    map[wire.Topic]*followed // those with a list that is kept
	listBytes int                      // of these
	lists     ListStats
	scans     scans
}

// followed is a room that this node follows.
type followed struct {
	ready     chan struct{} // closed when a list has all that it can have
	live      int           // watchers that are in the shards' groups
	priming   map[*Session]*heldEvents
	list      *listing      // the last, while it is kept
	gathering *gathering    // who waits for the next
	turn      chan struct{} // of who makes one; capacity one
}

// heldEvents are those behind a list that its session has not been told yet; at most maxHeld.
type heldEvents struct {
	list []*Delivery
	over bool // there were more
}

func (p *presences) init(n *Node) {
	p.m = presence.New(presence.Config{Self: n.ID(), Name: n.Name(), Grace: n.cfg.PresenceGrace})
	p.wake, p.begun = make(chan struct{}, 1), time.Now()
	p.scans.of = map[wire.Topic]*scan{}
	for _, s := range n.shards {
		s.found = n.foundMembers
	}
	p.listed = map[wire.Topic]*followed{}
	p.follows, p.waits, p.address = map[wire.Topic]*followed{}, map[wire.Topic]*followed{}, map[wire.NodeID]string{}
}

// lock sets the time, too.
func (p *presences) lock() {
	p.mu.Lock()
	p.m.Now(1 + time.Since(p.begun))
}

// unlock has the goroutine do what has come of it.
func (p *presences) unlock() {
	p.mu.Unlock()
	p.awake()
}

func (p *presences) awake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// runPresence ends with ctx, when what has happened before has been told.
func (n *Node) runPresence(ctx context.Context) {
	p := &n.presences
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		changed := n.cluster.Changed()
		n.followNodes()
		for again := true; again; {
			if due := n.stepPresence(ctx); due > 0 {
				timer.Reset(max(0, due-time.Since(p.begun)))
			}
			select {
			case <-p.wake:
			case <-timer.C:
			case <-changed:
				again = false
			case <-ctx.Done():
				p.lock()
				p.m.Hurry()
				p.mu.Unlock()
				n.stepPresence(ctx)
				return
			}
		}
	}
}

// followNodes tells which nodes there are.
func (n *Node) followNodes() {
	var list []presence.Peer
	for _, i := range n.others() {
		list = append(list, presence.Peer{ID: i.ID, Name: i.Name, Up: i.State == "up", Link: i.Since.UnixNano()})
	}
	p := &n.presences
	p.lock()
	defer p.unlock()
	p.m.Follow(list)
	for id := range p.address {
		if !slices.ContainsFunc(list, func(x presence.Peer) bool { return x.ID == id }) {
			delete(p.address, id)
		}
	}
}

// stepPresence does all that is to be done now, and says when there is more, by the clock
// of begun; 0 is not at all. When ctx has ended all changes are told, and no more parts of sets than one each: who wants them will
// hear that this node has gone, and the end of the cluster waits.
func (n *Node) stepPresence(ctx context.Context) (due time.Duration) {
	p := &n.presences
	for more := true; more; n.cluster.Flush() {
		n.slowDown() // as every publisher
		n.scanPresence()
		n.joinScanned()
		p.lock()
		if p.m.Strange() {
			p.mu.Unlock()
			n.followNodes()
			p.lock()
		}
		now := 1 + time.Since(p.begun)
		if due = p.m.Due(); due > 0 && due <= now {
			p.m.Tick()
		}
		more = n.applyPresenceLocked() && ctx.Err() == nil
		due = p.m.Due()
		p.mu.Unlock()
	}
	return due
}

// applyPresenceLocked does what the Machine says. presences.mu is held: what comes of the
// next event comes behind it.
func (n *Node) applyPresenceLocked() (more bool) {
	p := &n.presences
	e := p.m.Take()
	for _, i := range e.Interest {
		n.cluster.SetInterest(wire.Topic{Namespace: presencePrefix + i.Topic.Namespace, Room: i.Topic.Room}, i.On)
		if !i.On && !p.m.Follows(i.Topic) { // else it is followed anew
			delete(p.follows, i.Topic)
			delete(p.waits, i.Topic)
		}
	}
	for _, s := range e.Send {
		rooms := s.Rooms
		for _, id := range s.To {
			if p.address[id] == "" {
				p.address[id] = string(wire.NewSessionID(id))
			}
			rooms = append(rooms, p.address[id])
		}
		n.cluster.Publish(wire.NewMessage(wire.Envelope{Namespace: presencePrefix + s.Namespace, Rooms: rooms}, s.Payload))
	}
	for _, v := range e.Events {
		n.tellPresenceLocked(v)
	}
	for t, f := range p.waits {
		if p.m.Complete(t) {
			close(f.ready)
			delete(p.waits, t)
		}
	}
	p.forgetListsLocked()
	p.active.Store(!p.m.Idle())
	return e.More
}

// presenceMessage takes what another node has sent.
func (n *Node) presenceMessage(m *wire.Message, namespace string) {
	p := &n.presences
	p.lock()
	err := p.m.Receive(m.Origin, namespace, m.Payload)
	p.active.Store(!p.m.Idle())
	p.unlock()
	if err != nil {
		n.log.Warn("presence of another node makes no sense", "peer", m.Origin, "err", err)
	}
}

func (s *Session) presenceEntry() presence.Entry {
	e := presence.Entry{ID: string(s.id)}
	if s.who != nil {
		e.User, e.Info = s.who.user, s.who.info
	}
	return e
}

// presentLocked says that the session, which is open, is in rooms. Node.mu is held.
func (s *Session) presentLocked(rooms ...string) {
	p := &s.node.presences
	if len(rooms) == 0 || !p.active.Load() {
		return
	}
	p.lock()
	defer p.unlock()
	for _, r := range rooms {
		p.m.Join(wire.Topic{Namespace: s.ns.name, Room: r}, s.presenceEntry())
	}
}

// absentLocked says that it has left rooms.
func (s *Session) absentLocked(reason string, returns bool, rooms ...string) {
	p := &s.node.presences
	if len(rooms) == 0 || !s.present || !p.active.Load() {
		return
	}
	p.lock()
	defer p.unlock()
	for _, r := range rooms {
		p.m.Leave(wire.Topic{Namespace: s.ns.name, Room: r}, string(s.id), reason, returns)
	}
}

// appearLocked says that the session is open: whoever is told of it may write to it.
func (s *Session) appearLocked() {
	s.present = true
	s.presentLocked(s.toldLocked()...)
}

// vanishLocked says that it is not, and that its client watches nothing. With returns it may be
// again, with the same id, here or on another node. The second call does nothing.
func (s *Session) vanishLocked(reason string, returns bool) {
	for r := range s.watching {
		s.unwatchLocked(r)
	}
	s.absentLocked(reason, returns, s.toldLocked()...)
	s.present = false
}

// toldLocked are its rooms, if any room is followed. They are told together: thousands of clients that are cut at once would
// stand in line for presences.mu, behind links and the goroutine, for each of their rooms.
func (s *Session) toldLocked() (rooms []string) {
	if s.node.presences.active.Load() {
		rooms = slices.Collect(maps.Keys(s.rooms))
	}
	return rooms
}

func (p *presences) stats(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Presence, s.Watchers = p.m.Stats(), p.watchers
	s.Lists = p.lists
	s.Lists.Bytes = p.listBytes
}
