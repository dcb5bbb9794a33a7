package cluster

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// simLink is the connection between two nodes; side 0 is the lesser id.
type simLink struct {
	ids   [2]wire.NodeID
	alive bool    // frames arrive
	gen   int     // of the connection
	up    [2]bool // what each end believes
	last  [2]time.Duration
	lanes [2][mesh.Lanes]simLane // to side i
	room  int                    // messages that a lane takes
}

// simLane keeps the order of what is in it.
type simLane struct {
	queue   []wire.Frame
	refused bool // a message: ready is owed
}

func (l *simLink) side(id wire.NodeID) int {
	if l.ids[0] == id {
		return 0
	}
	return 1
}

// send puts frames on a link; false when the lane takes no more data.
func (s *sim) send(from wire.NodeID, e effect) bool {
	l := s.links[[2]wire.NodeID{min(from, e.to), max(from, e.to)}]
	if l == nil || !l.up[l.side(from)] {
		return true // lost with the link
	}
	to := l.side(e.to)
	lane := &l.lanes[to][e.lane]
	if e.droppable && len(lane.queue) >= l.room {
		lane.refused = true
		return false
	}
	if !l.alive {
		return true
	}
	lane.refused = lane.refused || e.more
	for b := bytes.Clone(e.frame); len(b) > 0; { // as a link does
		size := 4 + int(binary.BigEndian.Uint32(b))
		var f wire.Frame
		f, b = wire.Frame(b[4:size]), b[size:]
		lane.queue = append(lane.queue, f)
		at := max(l.last[to], s.now+s.between(100*time.Microsecond, 5*time.Millisecond))
		l.last[to] = at
		s.arrive(l, to, l.gen, at-s.now)
	}
	return true
}

func (s *sim) arrive(l *simLink, to, gen int, d time.Duration) {
	s.on(l.ids[to], d, func(n *simNode) {
		if gen != l.gen || !l.up[to] {
			return
		}
		lane := s.someLane(&l.lanes[to])
		q := &l.lanes[to][lane]
		f := q.queue[0]
		q.queue = q.queue[1:]
		if q.refused && len(q.queue) < l.room/2 {
			q.refused = false
			s.on(l.ids[1-to], 0, func(sender *simNode) {
				if gen == l.gen && l.up[1-to] {
					s.do(sender, func() { sender.core.ready(n.id, lane) })
				}
			})
		}
		s.do(n, func() { s.receive(n, l.ids[1-to], f) })
	})
}

// someLane is one of those in which something waits: any may overtake any.
func (s *sim) someLane(lanes *[mesh.Lanes]simLane) mesh.Lane {
	var waiting []mesh.Lane
	for i := range lanes {
		if len(lanes[i].queue) > 0 {
			waiting = append(waiting, mesh.Lane(i))
		}
	}
	return waiting[s.r.IntN(len(waiting))]
}

// receive is what links.go does with a frame.
func (s *sim) receive(n *simNode, from wire.NodeID, f wire.Frame) {
	switch k := f.Kind(); k {
	case wire.KindData:
		m, err := wire.DecodeData(f, from)
		if err != nil {
			panic(err)
		}
		switch {
		case !n.core.accept(n.core.peer(from), m.Flags.Stream(), m.Seq):

			s.h.problem("node %d was sent %v message %d of node %d twice", n.id, m.Flags.Stream(), m.Seq, from)
		case s.layer != nil:
			s.layer.message(n, m)
		default:
			s.h.delivered(n, m)
		}
	case wire.KindGap:
		g, _ := wire.DecodeGap(f)
		if n.core.gap(from, g) {
			s.h.gap(n.id, from, g)
			if s.layer != nil {
				s.layer.gap(n, from)
			}
		}
	default:
		control(n.core, from, f)
	}
}

// control takes the frames that are neither messages nor gaps.
func control(c *core, from wire.NodeID, f wire.Frame) {
	switch k := f.Kind(); k {
	case wire.KindSync:
		v, _ := wire.DecodeSync(f)
		c.sync(from, v)
	case wire.KindInterest:
		v, _ := wire.DecodeInterest(f)
		c.interest(from, v)
	case wire.KindIntAck:
		v, _ := wire.DecodeNumber(f, k)
		c.intAck(from, v)
	case wire.KindAck:
		v, _ := wire.DecodeAck(f)
		c.ackedTo(from, v)
	case wire.KindAsk:
		at, frontiers, _ := wire.DecodeLease(f, k)
		c.asked(from, at, frontiers)
	case wire.KindGrant:
		at, frontiers, _ := wire.DecodeLease(f, k)
		c.granted(from, at, frontiers)
	}
}

// connect brings a link up, at the one end somewhat after the other.
func (s *sim) connect(l *simLink) {
	if s.nodes[l.ids[0]].dead || s.nodes[l.ids[1]].dead {
		return
	}
	l.gen++
	l.alive, l.lanes = true, [2][mesh.Lanes]simLane{}
	gen := l.gen
	for side := range 2 {
		lag := s.between(0, 40*time.Millisecond)
		if s.r.IntN(6) == 0 {
			lag = s.between(0, time.Second)
		}
		l.last[side] = s.now + lag
		s.on(l.ids[side], lag, func(n *simNode) {
			if gen != l.gen {
				return
			}
			l.up[side], n.linked = true, s.now
			s.h.linked(l.ids[side], l.ids[1-side], s.now)
			s.linkUp(n, l.ids[1-side])
		})
	}
}

// cut breaks a link and loses what is on the way. Each end notices when it does,
// and after both have, and some time, there is a new link. A long cut makes each
// take the other for dead.
func (s *sim) cut(l *simLink, long bool) {
	if !l.alive || !l.up[0] || !l.up[1] {
		return
	}
	l.alive = false
	l.gen++
	gen, ended := l.gen, 0
	for side := range 2 {
		id, other := l.ids[side], l.ids[1-side]
		s.on(id, s.between(time.Millisecond, 2500*time.Millisecond), func(n *simNode) {
			l.up[side] = false
			s.linkDown(n, other)
			if !long && s.layer == nil && s.r.IntN(20) == 0 {
				s.lose(n, other)
			}
			if ended++; ended == 2 && !long && gen == l.gen {
				s.after(s.between(time.Millisecond, time.Second), func() { s.reconnect(l, gen) })
			}
		})
		if long {
			s.on(id, s.between(3*time.Second, 6*time.Second), func(n *simNode) {
				s.h.parted(id, other)
				s.down(n, other)
			})
		}
	}
	if long {
		s.after(s.between(7*time.Second, 9*time.Second), func() { s.reconnect(l, gen) })
	}
}

// lose has gossip lose a node for a moment: what is published meanwhile is gone, of which the node is told.
func (s *sim) lose(n *simNode, other wire.NodeID) {
	s.h.parted(n.id, other)
	s.do(n, func() { n.core.down(other) })
	s.on(n.id, s.between(time.Millisecond, 300*time.Millisecond), func(n *simNode) {
		s.do(n, func() { n.core.member(other) })
	})
}

func (s *sim) reconnect(l *simLink, gen int) {
	if gen != l.gen || s.nodes[l.ids[0]].dead || s.nodes[l.ids[1]].dead {
		return
	}
	if l.up[0] || l.up[1] { // an end is paused and has not noticed
		s.after(200*time.Millisecond, func() { s.reconnect(l, gen) })
		return
	}
	s.connect(l)
}
