package node

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Handshake is what is known of a client when it connects.
type Handshake struct {
	Protocol string // "socket.io", "websocket", "sse"
	Query    url.Values
	Header   http.Header
	Remote   string // address of the peer of the connection
	// Auth is the JSON that a Socket.IO client gave with its CONNECT, nil if none.
	Auth json.RawMessage
}

// SessionConfig opens a session.
type SessionConfig struct {
	Namespace string
	Sink      Sink
	Handshake Handshake
	Affinity  Affinity
	// Wait is how long Open waits for the other nodes at most; 0 is as long as its ctx.
	Wait time.Duration
	// Resume names the session that the client had before. Zero: a new one.
	Resume Resume
	// NoRecovery is for a client that has no use for a PID: nothing is kept for it.
	NoRecovery bool
}

// Affinity keeps the sessions of one connection on one shard, where their
// deliveries keep their order.
type Affinity uint32

// NewAffinity is for a new connection.
func (n *Node) NewAffinity() Affinity { return Affinity(n.next.Add(1)) }

// Session is one client in one namespace. Its methods may be called from
// anywhere.
type Session struct {
	sink Sink

	// owned by the shard; a delivery needs no more than this
	sweep   uint64
	touched bool
	dropped bool
	held    bool   // not open yet: deliveries wait in pending
	last    uint64 // place of its last delivery that has one, whether its Sink took it or not

	id        wire.SessionID
	node      *Node
	ns        *Namespace
	shard     *shard
	handshake Handshake
	since     time.Time

	// guarded by Node.mu
	state   sessionState
	rooms   map[string]uint64 // since which place, see Node.lastPlace
	moving  *moving           // a move to another node is under way
	movedTo wire.NodeID       // where it lives now

	movedFrom wire.NodeID         // where it lived before
	owing     int                 // so many answers that node may wait for; set before it is open, then the reader's
	owed      bool                // it waits for some
	gates     *gates              // of its move; set before its shard hears of it
	who       *who                // see SetUser
	present   bool                // others are told of it
	watching  map[string]struct{} // rooms whose presence its client is told
	kept      *kept               // for recovery; nil: it cannot be recovered
	spoke     atomic.Bool         // it may have published, or its handlers

	share atomic.Pointer[keyShares] // of idempotency keys; made by its first

	joins   sync.Once
	joining chan struct{} // a place for each JoinFunc that waits; made by the first

	data    sync.Map                        // of the application
	told    atomic.Pointer[json.RawMessage] // data that lists tell
	acks    acks                            // that the client owes
	backlog backlog                         // of its events
	life    life
	asking  asking                        // for history
	answer  atomic.Pointer[chan struct{}] // Delivery.handed of the last with a SharedAck, which may be large: it is not kept

	// owned by the shard
	spots   spots       // where in the groups' lists
	pending []*Delivery // at most maxHeld
}

type sessionState uint8

const (
	sessionOpening sessionState = iota
	sessionOpen
	sessionClosed
)

// Open makes a session. It runs the namespace's OnConnect handlers and waits,
// at most until ctx ends, for the other nodes to know that this one has
// sessions in the namespace; then the Sink gets its KindConnect, and after it
// all that came for the session meanwhile. An error is the application's answer
// to the client, see CodeOf, unless ErrNotNow is in it: then the client should
// connect again, elsewhere.
//
// A client that names a session with cfg.Resume gets that one back, or a new one: see Session.Recovered.
func (n *Node) Open(ctx context.Context, cfg SessionConfig) (*Session, error) {
	if n.recovery != nil && !cfg.NoRecovery && cfg.Resume.PID != "" {
		if s, err := n.resume(ctx, cfg); !isRefusal(err) {
			return s, err
		}
	}
	return n.openNew(ctx, cfg)
}

func (n *Node) openNew(ctx context.Context, cfg SessionConfig) (*Session, error) {
	ns, err := n.enter(cfg.Namespace)
	if err != nil {
		return nil, err
	}
	s := n.newSession(wire.NewSessionID(n.ID()), ns, cfg)
	if n.recovery != nil && !cfg.NoRecovery {
		s.keep(newPID(), false)
	}
	version, err := s.register()
	if err == nil && s.kept != nil {
		if err = n.inForceWithin(ctx, cfg.Wait, version); err == nil {
			err = s.beKept(ctx)
		}
	}
	if err == nil {
		err = s.runConnect()
	}
	if err == nil {
		err = n.inForceWithin(ctx, cfg.Wait, version)
	}
	if err == nil {
		err = s.userKept(ctx)
	}
	if err == nil && !s.admit() {
		err = ErrClosed
	}
	if err != nil {
		s.end()
		return nil, err
	}
	n.stats.opened.Add(1)
	return s, nil
}

func (n *Node) newSession(id wire.SessionID, ns *Namespace, cfg SessionConfig) *Session {
	s := &Session{id: id, node: n, ns: ns, shard: n.shards[int(cfg.Affinity)%len(n.shards)],
		sink: cfg.Sink, handshake: cfg.Handshake, since: time.Now(), rooms: map[string]uint64{}}
	if _, ok := cfg.Sink.(Recaller); ok {
		s.handshake.Query, s.handshake.Header = nil, nil
	}
	s.backlog.space.L = &s.backlog.mu
	return s
}

// register makes the session a member of its namespace. Its shard holds back
// what comes for it until it is open: a room that an OnConnect handler joins
// loses nothing.
func (s *Session) register() (version uint64, err error) {
	n := s.node
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions[s.id] = s
	topic := wire.Topic{Namespace: s.ns.name}
	version = n.countInLocked(topic, s.shard)
	if n.closed {
		return 0, ErrClosed
	}
	if s.outside() {
		s.pushLocked(item{op: opHold, flag: true})
		return version, nil
	}
	s.pushLocked(item{op: opHold})
	s.pushLocked(item{op: opJoin, topic: topic})
	return version, nil
}

// admit lets the session have what waits for it, behind the news that it is open.
func (s *Session) admit() bool {
	n := s.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.state != sessionOpening || n.closed {
		return false
	}
	s.state = sessionOpen
	s.appearLocked()
	s.pushLocked(item{op: opOpen, d: &Delivery{Kind: KindConnect, Session: s}})
	return true
}

// pushLocked is for items of this session. Node.mu is held.
func (s *Session) pushLocked(it item) bool {
	if s.state == sessionClosed {
		return false
	}
	it.session = s
	s.shard.push(it)
	return true
}

// addLocked is pushLocked for who sweeps when Node.mu is free.
func (s *Session) addLocked(t *turns, it item) bool {
	if s.state == sessionClosed {
		return false
	}
	it.session = s
	t.push(s.shard, it)
	return true
}

func (s *Session) runConnect() (err error) {
	defer s.node.recoverHandler(s.ID(), "connect", &err)
	for _, h := range s.ns.connectHandlers() {
		if err := h(s); err != nil {
			return err
		}
	}
	return nil
}

// recoverHandler keeps a panic of a handler from ending more than its event.
func (n *Node) recoverHandler(session, what string, err *error) {
	if r := recover(); r != nil {
		n.stats.panics.Add(1)
		n.log.Error("handler panicked", "event", what, "session", session, "panic", r, "stack", string(debug.Stack()))
		*err = Errorf(CodeUnavailable, "internal error")
	}
}

// ID is the session's public id, the one that Socket.IO clients know as
// socket.id.
func (s *Session) ID() string { return string(s.id) }

// Namespace is where the session is.
func (s *Session) Namespace() *Namespace { return s.ns }

// Recaller is what a Sink may be besides: it knows the query and the header of the
// client's first request, so that the session keeps neither. Locks are held: it calls
// nothing of the node, and does not block. What it gives is nobody else's to change.
type Recaller interface {
	Recall() (query url.Values, header http.Header)
}

// Handshake is what the client came with. It may be made anew for each call.
func (s *Session) Handshake() *Handshake {
	h := s.handshake
	if r, ok := s.sink.(Recaller); ok {
		h.Query, h.Header = r.Recall()
	}
	return &h
}

// Since is when it came.
func (s *Session) Since() time.Time { return s.since }

// Disconnect ends the session; with connection also the others of the same
// client. What was emitted before arrives before, and nothing after; events of
// the client that wait for their handlers are thrown away. The OnDisconnect
// handlers run once the protocol has said Close.
func (s *Session) Disconnect(connection bool) {
	s.lockSettled()
	s.node.mu.Unlock()
	s.backlog.end()
	var calls []func()
	defer func() { s.node.afterwards(calls) }()
	s.lockSettled()
	defer s.node.mu.Unlock()
	if s.pushLocked(item{op: opClose, flag: connection}) {
		calls = s.node.endKeptLocked(s, false) // at once: it may not come back
	}
}

// Close is the protocol's word that the client is gone, with the reason in the
// official server's words. When the handlers of what it said before have
// returned, or after lastWords, those of OnDisconnecting run, the rooms are
// left, and those of OnDisconnect run. The second call does nothing.
func (s *Session) Close(reason string) {
	if s.markClosed(reason, false) {
		s.finish(reason)
	}
}

// finish is the end of a session that is closed, which nobody else has finished.
func (s *Session) finish(reason string) {
	s.acks.close(s)
	s.backlog.wait(lastWords)
	s.backlog.end() // of a handler that hangs
	leaving, left := s.ns.disconnectHandlers()
	s.runDisconnect(leaving, reason)
	s.end()
	s.runDisconnect(left, reason)
	s.node.stats.closed.Add(1)
}

func (s *Session) runDisconnect(handlers []func(*Session, string), reason string) {
	for _, h := range handlers {
		func() {
			var err error // reported by recoverHandler
			defer s.node.recoverHandler(s.ID(), "disconnect", &err)
			h(s, reason)
		}()
	}
}

// markClosed ends what the session may do. With lost its client may come back for it.
func (s *Session) markClosed(reason string, lost bool) bool {
	var calls []func()
	defer func() { s.node.afterwards(calls) }()
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if s.state == sessionClosed {
		return false
	}
	s.state = sessionClosed
	s.vanishLocked(reason, lost && s.kept != nil)
	if s.moving != nil { // its client is lost on the way
		s.thawLocked()
	}
	s.life.end()
	calls = s.node.endKeptLocked(s, lost)
	return true
}

// endKeptLocked has nothing kept of a session any more, or with lost for a time. The caller calls afterwards with
// what it gives.
func (n *Node) endKeptLocked(s *Session, lost bool) (calls []func()) {
	if n.recovery == nil {
		return nil
	}
	n.recovery.endLocked(s, lost)
	return n.recovery.applyLocked()
}

// end takes the session out of everything.
func (s *Session) end() {
	n := s.node
	var calls []func()
	defer func() { n.afterwards(calls) }()
	n.mu.Lock()
	defer n.mu.Unlock()
	s.state = sessionClosed
	s.vanishLocked("", false) // as the next one: if nothing has before
	s.life.end()
	calls = n.endKeptLocked(s, false)
	if n.sessions[s.id] != s {
		return
	}
	s.acks.close(s)
	s.removeLocked()
	if s.owed {
		n.asideLocked(func() { n.tellEnd(s) })
	}
}

// removeLocked takes the session out of its rooms and lists.
func (s *Session) removeLocked() {
	n := s.node
	delete(n.sessions, s.id)
	s.shard.push(item{op: opDrop, session: s})
	for r := range s.rooms {
		n.countOutLocked(wire.Topic{Namespace: s.ns.name, Room: r})
	}
	n.countOutLocked(wire.Topic{Namespace: s.ns.name})
	if s.movedFrom != 0 {
		n.cluster.SetInterest(s.topic(), false)
	}
	n.exitLocked(s.ns)
}
