package cluster

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// world is a simulated cluster with clients: on each core of the sim sits a recovery.Machine,
// and this is what node will be to both. What clients see goes to promises.
type world struct {
	*sim
	cfg     recovery.Config
	recs    map[wire.NodeID]*recNode
	lanes   map[*simLink]*[2]recLane
	address map[wire.NodeID]string // a session id of the node: a room that needs no interest
	clients []*simClient
	conns   int
	owed    []*simClient                     // they must be recovered
	rough   map[[2]wire.NodeID][]span        // when the way between two nodes was not in order, the lesser first
	met     map[[2]wire.NodeID]time.Duration // since when the first knows the second
	split   split
	hush    bool // clients do nothing of themselves
	unable  bool // the next node has no recovery
	steady  bool // clocks drift no more than NTP lets them: a 1 % would turn round which of two attempts came first, and who comes then is refused
	p       *clientPromises
}

// recNode is what a node is beside its core.
type recNode struct {
	n        *simNode
	x        *recovery.Machine
	busy     bool
	effects  []recovery.Effect
	refs     map[wire.Topic]int
	sessions []*nodeSession                // its members, in order of arrival
	arriving map[recovery.PID]*nodeSession // ... and those on their way
	waiting  map[recovery.PID]*simConn     // who wants a session back
	draining bool
	last     uint64 // cursor of the last that it has handed out
	unable   bool   // it has no recovery: no clients come to it
}

// nodeSession is a session at a node.
type nodeSession struct {
	rec    recovery.Record
	rooms  map[string]bool
	conn   *simConn
	held   bool // not answered yet
	admit  recovery.Admit
	queue  []func(*simClient)
	joined map[string]bool
	last   uint64 // cursor of the last that it was handed
}

// recLane has the frames of machines on a link to one side.
type recLane struct {
	gen   int
	queue []recovery.Frame
	last  time.Duration
}

func newWorld(seed uint64, cfg recovery.Config) *world {
	w := &world{sim: newSim(seed, 0), cfg: cfg, recs: map[wire.NodeID]*recNode{}, lanes: map[*simLink]*[2]recLane{}, address: map[wire.NodeID]string{},
		rough: map[[2]wire.NodeID][]span{}, met: map[[2]wire.NodeID]time.Duration{}, p: newClientPromises()}
	w.layer = w
	w.watch()
	return w
}

func (w *world) started(n *simNode) {
	cfg := w.cfg
	cfg.ID = n.id
	if w.steady {
		const ppm = 500e-6
		n.rate = 1 + ppm*100*(n.rate-1)
	}
	rn := &recNode{n: n, unable: w.unable, refs: map[wire.Topic]int{}, arriving: map[recovery.PID]*nodeSession{}, waiting: map[recovery.PID]*simConn{}}
	cfg.Wants = func(peer wire.NodeID, m *wire.Message) bool {
		if peer == n.id {
			return slices.ContainsFunc(rn.sessions, func(s *nodeSession) bool { return s.gets(m) })
		}
		return n.core.mayWant(peer, m)
	}
	rn.x = recovery.New(cfg)
	w.unable = false
	w.recs[n.id], w.address[n.id] = rn, string(wire.NewSessionID(n.id))
	w.tick(rn)
}

// span is some time.
type span struct{ from, to time.Duration }

// watchEvery is how often watch looks.
const watchEvery = 5 * time.Millisecond

// watch notes when the way between two nodes is not in order: the link is not up at both ends, a direction stalls, messages wait, one sleeps
// or is dead.
func (w *world) watch() {
	for a := wire.NodeID(1); a <= w.next; a++ {
		for b := a + 1; b <= w.next; b++ {
			pair := [2]wire.NodeID{a, b}
			if w.inOrder(w.links[pair]) {
				continue
			}
			spans := w.rough[pair]
			if n := len(spans); n > 0 && spans[n-1].to >= w.now-watchEvery {
				spans[n-1].to = w.now
			} else {
				w.rough[pair] = append(spans, span{w.now, w.now})
			}
		}
	}
	if s := &w.split; s.minority != nil && !s.healed && w.now > s.from {
		s.to, s.healed = w.now, !w.divided()
	}
	w.after(watchEvery, w.watch)
}

func (w *world) inOrder(l *simLink) bool {
	if l == nil || !l.alive || !l.up[0] || !l.up[1] || max(l.last[0], l.last[1]) > w.now+watchEvery {
		return false
	}
	for side, id := range l.ids {
		n := w.nodes[id]
		if n.dead || n.paused > w.now {
			return false
		}
		p := n.core.peers[l.ids[1-side]]
		if p == nil || !p.synced {
			return false
		}
		for k := range p.streams {
			if o := &p.streams[k].out; o.sent < len(o.refs) {
				return false
			}
		}
	}
	return true
}

// divided tells whether some of the two sides of a partition have no link yet.
func (w *world) divided() bool {
	return slices.ContainsFunc(w.sortedLinks(), func(l *simLink) bool {
		return w.split.minority[l.ids[0]] != w.split.minority[l.ids[1]] && !(l.alive && l.up[0] && l.up[1])
	})
}

func (w *world) tick(rn *recNode) {
	w.on(rn.n.id, recovery.TickEvery, func(*simNode) {
		w.drive(rn, func() { rn.x.Tick(); rn.x.Unsent(0) })
		if w.r.IntN(50) == 0 {
			w.quiet(rn)
		}
		w.tick(rn)
	})
}

// quiet says who gets nothing.
func (w *world) quiet(rn *recNode) {
	for _, s := range slices.Clone(rn.sessions) {
		if s.last != rn.last {
			w.drive(rn, func() { rn.x.Quiet(s.rec.PID, s.last, rn.last) })
		}
	}
}

// drive makes a call on a machine and does what comes of it, in order.
func (w *world) drive(rn *recNode, call func()) {
	if rn.unable {
		return
	}
	rn.x.At(rn.n.offset + time.Duration(float64(w.now)*rn.n.rate))
	call()
	rn.effects = append(rn.effects, rn.x.Take()...)
	if rn.busy {
		return
	}
	rn.busy = true
	for len(rn.effects) > 0 && !rn.n.dead {
		e := rn.effects[0]
		rn.effects = rn.effects[1:]
		w.apply(rn, e)
		rn.effects = append(rn.effects, rn.x.Take()...)
	}
	rn.busy = false
}

func (w *world) apply(rn *recNode, e recovery.Effect) {
	switch e := e.(type) {
	case recovery.Send:
		w.sendFrame(rn.n.id, e.To, e.Frame)
	case recovery.Barrier:
		for _, p := range priorities {
			m := &wire.Message{Envelope: &wire.Envelope{Origin: rn.n.id, Namespace: "/", Rooms: []string{w.address[e.To]}, Flags: p | wire.Barrier}, Payload: binary.BigEndian.AppendUint64(nil, e.Round)}
			w.do(rn.n, func() { rn.n.core.publishOne(m) })
		}
	case recovery.Supply:
		if rn.n.core.supplied(e.Message) {
			w.hand(rn, e.Message)
		}
	case recovery.Completed:
		rn.n.core.skip(e.Origin, e.Heads)
		rn.x.Reached(e.Origin, e.Heads)
	case recovery.Skip:
		rn.n.core.skip(e.Origin, e.Heads)
	case recovery.Acked:
		w.p.acked(rn.n.id, e.Stream, e.Seq, e.Copies)
	default:
		w.applySession(rn, e)
	}
}

func (w *world) sendFrame(from, to wire.NodeID, f recovery.Frame) {
	l := w.links[[2]wire.NodeID{min(from, to), max(from, to)}]
	if l == nil || !l.alive || !l.up[l.side(from)] {
		return
	}
	side := l.side(to)
	if w.lanes[l] == nil {
		w.lanes[l] = &[2]recLane{}
	}
	lane := &w.lanes[l][side]
	if lane.gen != l.gen {
		*lane = recLane{gen: l.gen}
	}
	lane.queue = append(lane.queue, overTheWire(f))
	gen, at := l.gen, max(lane.last, l.last[side], w.now+w.between(100*time.Microsecond, 5*time.Millisecond))
	lane.last = at
	w.on(to, at-w.now, func(n *simNode) {
		if gen != l.gen || !l.up[side] {
			return
		}
		f := lane.queue[0]
		lane.queue = lane.queue[1:]
		rn := w.recs[to]
		w.drive(rn, func() { rn.x.Frame(from, f) })
	})
}

// overTheWire is a frame as it comes to the other end.
func overTheWire(f recovery.Frame) recovery.Frame {
	got, err := recovery.DecodeFrame(recovery.AppendFrame(nil, f))
	if err != nil || got == nil {
		panic(fmt.Sprintf("%+v is read as %v, %v", f, got, err))
	}
	return got
}

func (w *world) linkUp(n *simNode, peer wire.NodeID) {
	if !w.hasMet(n.id, peer) {
		w.met[[2]wire.NodeID{n.id, peer}] = w.now
	}
	rn := w.recs[n.id]
	w.drive(rn, func() {
		rn.x.Member(peer, n.core.logs.heads())
		rn.x.Unable(peer, w.recs[peer].unable)
		rn.x.Linked(peer)
	})
}

func (w *world) linkDown(n *simNode, peer wire.NodeID) {
	w.drive(w.recs[n.id], func() { w.recs[n.id].x.Unlinked(peer) })
}

func (w *world) down(n *simNode, peer wire.NodeID) {
	w.drive(w.recs[n.id], func() { w.recs[n.id].x.Down(peer) })
}

func (w *world) message(n *simNode, m *wire.Message) {
	rn := w.recs[n.id]
	switch {
	case m.Flags&wire.Barrier != 0:
		w.drive(rn, func() { rn.x.Passed(recovery.RefOf(m), binary.BigEndian.Uint64(m.Payload)) })
	case m.Flags&wire.Volatile == 0:
		w.drive(rn, func() { w.hand(rn, m) })
	}
}

func (w *world) gap(n *simNode, origin wire.NodeID) {
	rn := w.recs[n.id]
	w.drive(rn, func() { rn.x.Gap(origin) })
	for _, s := range slices.Clone(rn.sessions) {
		w.tell(s, func(c *simClient) { w.p.gap(c, origin) })
	}
}

// publish is a message of this node.
func (w *world) publish(rn *recNode, m *wire.Message) {
	m.Origin, m.Namespace = rn.n.id, "/"
	w.sim.do(rn.n, func() { rn.n.core.publishOne(m) })
	if m.Flags&wire.Volatile != 0 {
		return
	}
	w.p.published(w, m)
	w.drive(rn, func() {
		rn.x.Published(m)
		w.hand(rn, m)
	})
}

// hand gives a message to the members here.
func (w *world) hand(rn *recNode, m *wire.Message) {
	vague := rn.x.Stats().Vague
	cursor := rn.x.Handed(m)
	w.p.cursor(cursor, rn.x.Stats().Vague > vague)
	rn.last = cursor.D
	for _, s := range rn.sessions {
		if s.gets(m) {
			s.last = cursor.D
			w.tell(s, func(c *simClient) { w.p.got(w, c, m, cursor) })
		}
	}
}

func (s *nodeSession) gets(m *wire.Message) bool {
	if slices.ContainsFunc(m.Except, func(r string) bool { return s.rooms[r] }) {
		return false
	}
	return len(m.Rooms) == 0 && s.rooms[""] || slices.ContainsFunc(m.Rooms, func(r string) bool { return s.rooms[r] })
}

// tell is a word to the client of a session, in order.
func (w *world) tell(s *nodeSession, word func(*simClient)) {
	if s.held {
		s.queue = append(s.queue, word)
		return
	}
	w.toClient(s.conn, word)
}

// want raises the interest in a room, and calls then when it is in force.
func (w *world) want(rn *recNode, room string, then func()) {
	t := wire.Topic{Namespace: "/", Room: room}
	rn.refs[t]++
	w.sim.do(rn.n, func() {
		v := rn.n.core.version
		if rn.refs[t] == 1 {
			v = rn.n.core.setInterest(t, true)
		}
		rn.n.core.whenInForce(v, then)
	})
}

func (w *world) unwant(rn *recNode, room string) {
	t := wire.Topic{Namespace: "/", Room: room}
	if rn.refs[t]--; rn.refs[t] == 0 {
		delete(rn.refs, t)
		w.sim.do(rn.n, func() { rn.n.core.setInterest(t, false) })
	}
}
