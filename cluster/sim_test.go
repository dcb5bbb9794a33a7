package cluster

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// sim drives cores through time that it makes up: links with delay whose lanes overtake each
// other, and that break and lose what is on the way, directions that stall, nodes that pause, die and start
// again, clocks that drift, logs that are too small. All of it follows from one
// seed. What happened goes to a history, which knows the promises.
type sim struct {
	r      *rand.Rand
	now    time.Duration
	events events
	count  uint64
	broken rule

	nodes map[wire.NodeID]*simNode
	links map[[2]wire.NodeID]*simLink
	next  wire.NodeID
	calm  bool // no more faults
	found bool // all find each other at once

	h     *history
	layer layer // above the cores; nil none
}

// layer is what sits on the cores of a simulation and is told what happens to them.
type layer interface {
	started(n *simNode)
	died(n *simNode)
	linkUp(n *simNode, peer wire.NodeID)
	linkDown(n *simNode, peer wire.NodeID)
	down(n *simNode, peer wire.NodeID)
	message(n *simNode, m *wire.Message)
	gap(n *simNode, origin wire.NodeID)
}

func (s *sim) linkUp(n *simNode, peer wire.NodeID) {
	s.do(n, func() { n.core.linkUp(peer) })
	if s.layer != nil {
		s.layer.linkUp(n, peer)
	}
}

func (s *sim) linkDown(n *simNode, peer wire.NodeID) {
	s.do(n, func() { n.core.linkDown(peer, false) })
	if s.layer != nil {
		s.layer.linkDown(n, peer)
	}
}

func (s *sim) down(n *simNode, peer wire.NodeID) {
	s.do(n, func() { n.core.down(peer) })
	if p := n.core.peers[peer]; s.layer != nil && (p == nil || !p.linked) {
		s.layer.down(n, peer)
	}
}

// simNode is one run of a node with its clients.
type simNode struct {
	id      wire.NodeID
	core    *core
	rate    float64 // of its clock
	offset  time.Duration
	paused  time.Duration // until then it does nothing
	paused1 time.Duration // the time that it has been paused, in all
	dead    bool
	linked  time.Duration // when a link last came up
	members []*simMember
}

// simMember is a client in a room.
type simMember struct {
	id      int
	node    wire.NodeID
	room    string
	asked   time.Duration
	pausing time.Duration // paused1 then
	acked   bool
	since   time.Duration // when it was acknowledged
	left    bool
}

type event struct {
	at  time.Duration
	n   uint64
	run func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

func newSim(seed uint64, broken rule) *sim {
	return &sim{r: rand.New(rand.NewPCG(seed, 7)), now: time.Second, broken: broken,
		nodes: map[wire.NodeID]*simNode{}, links: map[[2]wire.NodeID]*simLink{}, h: newHistory()}
}

func (s *sim) after(d time.Duration, run func()) {
	s.count++
	heap.Push(&s.events, event{s.now + d, s.count, run})
}

// between is a random time.
func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.r.Int64N(int64(b-a)))
}

// runFor lets time pass.
func (s *sim) runFor(d time.Duration) {
	end := s.now + d
	for len(s.events) > 0 && s.events[0].at <= end {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.run()
	}
	s.now = end
}

// on runs something at a node, when it is not paused, in order.
func (s *sim) on(id wire.NodeID, d time.Duration, run func(n *simNode)) {
	s.after(d, func() {
		n := s.nodes[id]
		switch {
		case n.dead:
		case n.paused > s.now:
			s.on(id, n.paused-s.now, run)
		default:
			run(n)
		}
	})
}

// start brings a new node, which links to all that live.
func (s *sim) start(logBytes int) {
	s.next++
	n := &simNode{id: s.next, core: newCore(), rate: 1 + (s.r.Float64()-0.5)/50, offset: s.between(1, time.Hour)}
	n.core.id, n.core.logs.limit, n.core.broken = n.id, logBytes, s.broken
	n.core.flushBytes = 1000            // several to a lane's room
	n.core.syncTopics = 1 + s.r.IntN(3) // SYNCs take several ticks
	s.nodes[n.id] = n
	if s.layer != nil {
		s.layer.started(n)
	}
	for id := wire.NodeID(1); id < n.id; id++ {
		if !s.nodes[id].dead {
			l := &simLink{ids: [2]wire.NodeID{min(id, n.id), max(id, n.id)}, room: 40}
			s.links[l.ids] = l
			if n.id <= 4 || s.found || s.r.IntN(8) > 0 {
				s.connect(l)
			} else { // found late: the node goes on without it
				s.after(s.between(4*time.Second, 8*time.Second), func() { s.connect(l) })
			}
		}
	}
	s.on(n.id, 5*time.Second, func(n *simNode) {
		if !n.core.settled {
			s.do(n, n.core.settle)
		}
	})
	s.beat(n)
}

// beat is the node's ticker. A start is over when the node is in step with all.
func (s *sim) beat(n *simNode) {
	s.on(n.id, tickEvery, func(n *simNode) {
		s.do(n, func() {
			if n.core.now >= n.core.due {
				n.core.tick()
			}
		})
		s.do(n, func() { n.core.open(func(wire.NodeID) bool { return true }) })
		if !n.core.settled && s.inStep(n) {
			s.do(n, n.core.settle)
		}
		s.beat(n)
	})
}

func (s *sim) inStep(n *simNode) bool {
	for id, other := range s.nodes {
		if p := n.core.peers[id]; id != n.id && !other.dead && (p == nil || !p.synced || p.acked < n.core.version) {
			return false
		}
	}
	return true
}

// do makes a call on a core and sends what comes of it.
func (s *sim) do(n *simNode, call func()) {
	n.core.now = n.offset + time.Duration(float64(s.now)*n.rate)
	call()
	full := map[laneTo]bool{}
	var done []func()
	effects := n.core.take() // to different peers in the order of a map
	slices.SortStableFunc(effects, func(a, b effect) int { return cmp.Compare(a.to, b.to) })
	for _, e := range effects {
		to := laneTo{e.to, e.lane}
		switch {
		case e.done != nil:
			done = append(done, e.done)
		case e.droppable && full[to]:
		case !s.send(n.id, e):
			full[to] = true
			if e.seq > 0 {
				n.core.refused(e.to, e.lane, e.seq)
			}
		}
	}
	n.core.applied()
	for _, f := range done {
		f()
	}
}

// kill ends a node at once; another starts in its place.
func (s *sim) kill(n *simNode, logBytes int) {
	links := s.sortedLinks()
	n.dead = true
	s.h.died(n.id)
	if s.layer != nil {
		s.layer.died(n)
	}
	for _, l := range links {
		side := l.side(n.id)
		if l.ids[side] != n.id {
			continue
		}
		l.alive = false
		l.gen++
		other := l.ids[1-side]
		s.on(other, s.between(time.Millisecond, 3*time.Second), func(o *simNode) {
			if l.up[1-side] {
				l.up[1-side] = false
				s.linkDown(o, n.id)
			}
		})
		s.on(other, s.between(3*time.Second, 5*time.Second), func(o *simNode) { s.down(o, n.id) })
	}
	s.after(s.between(300*time.Millisecond, 2*time.Second), func() { s.start(logBytes) })
}

// living are the nodes that are neither dead nor paused, in order.
func (s *sim) living() (nodes []*simNode) {
	for id := wire.NodeID(1); id <= s.next; id++ {
		if n := s.nodes[id]; n != nil && !n.dead && n.paused <= s.now {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (s *sim) sortedLinks() []*simLink {
	var links []*simLink
	for _, l := range s.links {
		if !s.nodes[l.ids[0]].dead && !s.nodes[l.ids[1]].dead {
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b *simLink) int { return int(a.ids[0]*1000+a.ids[1]) - int(b.ids[0]*1000+b.ids[1]) })
	return links
}

const simRooms = 4

// act is one step of a client, or a fault.
func (s *sim) act(logBytes int) {
	nodes := s.living()
	if len(nodes) == 0 {
		return
	}
	n := nodes[s.r.IntN(len(nodes))]
	room := fmt.Sprint("r", s.r.IntN(simRooms))
	switch k := s.r.IntN(10_000); {
	case k < 8000:
		flags := priorities[s.r.IntN(len(priorities))]
		if s.r.IntN(40) == 0 {
			flags |= wire.Volatile
		}
		s.publish(n, room, flags)
	case k < 9000:
		s.join(n, room)
	case k < 9650:
		s.leave(n)
	case s.calm:
	case k < 9850:
		if links := s.sortedLinks(); len(links) > 0 {
			s.cut(links[s.r.IntN(len(links))], s.r.IntN(12) == 0)
		}
	case k < 9930:
		if links := s.sortedLinks(); len(links) > 0 { // a direction stalls, as by lost packets
			l, side := links[s.r.IntN(len(links))], s.r.IntN(2)
			l.last[side] = max(l.last[side], s.now+s.between(50*time.Millisecond, 2800*time.Millisecond))
		}
	case k < 9990:
		d := s.between(10*time.Millisecond, 2500*time.Millisecond)
		n.paused, n.paused1 = s.now+d, n.paused1+d
	default:
		s.kill(n, logBytes)
	}
}

var priorities = []wire.Flags{0, wire.High, wire.Low}

func (s *sim) publish(n *simNode, room string, flags wire.Flags) {
	m := &wire.Message{Envelope: &wire.Envelope{Origin: n.id, Namespace: "/", Rooms: []string{room}, Flags: flags}, Payload: []byte(`["e"]`)}
	before := n.core.now // that of the last event
	s.do(n, func() {
		if n.core.timeless(m, n.core.writer.Run(m)) {
			n.core.now = before
		}
		n.core.publishOne(m)
	})
	if flags&wire.Volatile == 0 && n.core.settled { // a node that starts does not know the others yet
		s.h.published(m, s.nodes)
	}
}

func (n *simNode) inRoom(room string) (count int) {
	for _, m := range n.members {
		if m.room == room {
			count++
		}
	}
	return count
}

func (s *sim) join(n *simNode, room string) {
	if len(n.members) >= 10 {
		return
	}
	m := &simMember{id: int(s.count), node: n.id, room: room, asked: s.now, pausing: n.paused1}
	s.count++
	first, whole := n.inRoom(room) == 0, n.allSynced()
	n.members = append(n.members, m)
	s.do(n, func() {
		version := n.core.version // rooms that are known have a version at most that
		if first {
			version = n.core.setInterest(wire.Topic{Namespace: "/", Room: room}, true)
		}
		n.core.whenInForce(version, func() {
			m.acked, m.since = true, s.now
			if took := s.now - m.asked - (n.paused1 - m.pausing); whole && n.linked < m.asked {
				s.h.joined(took)
			}
		})
	})
}

// allSynced tells whether no link has just come up, for which joins wait as long as it
// takes to be in step.
func (n *simNode) allSynced() bool {
	for _, p := range n.core.peers {
		if p.linked && !p.synced {
			return false
		}
	}
	return n.core.settled
}

func (s *sim) leave(n *simNode) {
	if len(n.members) == 0 {
		return
	}
	i := s.r.IntN(len(n.members))
	m := n.members[i]
	n.members = slices.Delete(n.members, i, i+1)
	m.left = true
	s.h.left(m)
	if n.inRoom(m.room) == 0 {
		s.do(n, func() { n.core.setInterest(wire.Topic{Namespace: "/", Room: m.room}, false) })
	}
}

// simulate runs one seed: faults for a while, then a calm in which everything
// heals, and a last message to each room, which must arrive.
func simulate(seed uint64, broken rule) *history {
	s := newSim(seed, broken)
	logBytes := 1 << 20
	if seed%5 == 0 {
		logBytes = 4000 // some thirty messages
		s.h.mayGap = true
	}
	for range 4 {
		s.start(logBytes)
	}
	s.runFor(time.Second)
	for range 5000 {
		s.act(logBytes)
		s.runFor(s.between(time.Millisecond, 10*time.Millisecond))
	}
	s.calm = true
	s.runFor(15 * time.Second)
	for _, n := range s.living() {
		for i := range simRooms {
			for _, flags := range priorities {
				s.publish(n, fmt.Sprint("r", i), flags)
			}
		}
	}
	s.runFor(5 * time.Second)
	for _, n := range s.living() {
		if len(n.core.waits) > 0 || n.core.logs.bytes() > 0 {
			s.h.problem("stuck: node %d has %d joins that wait and %d bytes in its log", n.id, len(n.core.waits), n.core.logs.bytes())
		}
	}
	s.h.finish()
	return s.h
}
