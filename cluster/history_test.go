package cluster

import (
	"fmt"
	"time"

	checker "github.com/meshrt/meshrt/cluster/history"
	"github.com/meshrt/meshrt/wire"
)

// history knows what was promised and tells what was not kept: messages lost,
// silently lost, doubled or out of order, joins that took too long.
type history struct {
	promises  checker.Promises[*simMember, wire.NodeID]
	order     checker.Order[wire.NodeID, wire.NodeID]
	of        map[sent][]*simMember
	links     map[[2]wire.NodeID]time.Duration  // when the one first had a link to the other
	gaps      map[[2]wire.NodeID]wire.Frontiers // receiver, origin: up to these
	dead      map[wire.NodeID]bool
	cut       map[[2]wire.NodeID]bool // pairs that took each other for dead: G5
	mayGap    bool                    // logs are too small for every break
	pairs     int
	lost      int // in gaps that were told
	joins     int
	slowest   time.Duration
	problems  []string
	discarded int
}

// sent is one message.
type sent = checker.Message[wire.NodeID]

func sentAs(m *wire.Message) sent {
	return sent{Origin: m.Origin, Seq: m.Seq, Priority: uint8(m.Flags.Stream())}
}

func newHistory() *history {
	return &history{of: map[sent][]*simMember{}, links: map[[2]wire.NodeID]time.Duration{}, gaps: map[[2]wire.NodeID]wire.Frontiers{},
		dead: map[wire.NodeID]bool{}, cut: map[[2]wire.NodeID]bool{}}
}

func (h *history) problem(format string, args ...any) {
	if len(h.problems) < 5 {
		h.problems = append(h.problems, fmt.Sprintf(format, args...))
	}
}

// published promises a message to all whose join is acknowledged.
func (h *history) published(msg *wire.Message, nodes map[wire.NodeID]*simNode) {
	origin, x := msg.Origin, sentAs(msg)
	for _, n := range nodes {
		if n.dead || n.id == origin {
			continue
		}
		// Of a node that was linked when the join was acknowledged, or that has had the
		// interest since.
		linked, ok := h.links[[2]wire.NodeID{n.id, origin}]
		p := nodes[origin].core.peers[n.id]
		step := p != nil && p.met && p.version > 0
		for _, m := range n.members {
			if m.room == msg.Rooms[0] && m.acked && ok && (m.since > linked || step) {
				h.of[x] = append(h.of[x], m)
				h.promises.Add(x, m)
			}
		}
	}
}

// delivered is a message that came to a node.
func (h *history) delivered(n *simNode, m *wire.Message) {
	x := sentAs(m)
	switch h.order.Deliver(n.id, x) {
	case checker.Duplicate:
		h.problem("duplicate: node %d got %v message %d of node %d twice", n.id, m.Flags.Stream(), m.Seq, m.Origin)
	case checker.Reordered:
		h.problem("order: node %d got %v message %d of node %d after later ones", n.id, m.Flags.Stream(), m.Seq, m.Origin)
	}
	for _, to := range h.of[x] {
		if to.node == n.id && !to.left {
			h.promises.Keep(x, to)
		}
	}
}

func (h *history) linked(at, to wire.NodeID, now time.Duration) {
	if k := [2]wire.NodeID{at, to}; h.links[k] == 0 {
		h.links[k] = now
	}
}

func (h *history) left(m *simMember) { h.promises.Forget(m) }

func (h *history) gap(at, origin wire.NodeID, g wire.Gap) {
	k := [2]wire.NodeID{at, origin}
	f := h.gaps[k]
	f[g.Stream] = g.Seq
	h.gaps[k] = f
}

func (h *history) died(id wire.NodeID) { h.dead[id] = true }

func (h *history) parted(a, b wire.NodeID) {
	h.cut[[2]wire.NodeID{a, b}], h.cut[[2]wire.NodeID{b, a}] = true, true
}

// maxJoin is what a join may take: the time until a silent peer gets no promise
// any more, the promise, and two ticks, by the slowest clock.
const maxJoin = (400 + 250 + 1050 + 100 + 50) * time.Millisecond

func (h *history) joined(took time.Duration) {
	h.joins++
	h.slowest = max(h.slowest, took)
	if took > maxJoin {
		h.problem("a join took %v", took)
	}
}

// finish looks at what has not arrived. It may be excused: the other was dead, or
// taken for dead, or its log was too small; and then, if both live, the receiver
// was told.
func (h *history) finish() {
	h.pairs = h.promises.Kept
	for member, m := range h.promises.Open() {
		k := [2]wire.NodeID{member.node, m.Origin}
		stream := wire.Stream(m.Priority)
		switch {
		case h.dead[member.node], h.dead[m.Origin]:
			h.discarded++
		case !h.cut[k] && !h.mayGap:
			h.problem("lost: %v message %d of node %d for a member at node %d", stream, m.Seq, m.Origin, member.node)
		case h.gaps[k][stream] < m.Seq:
			h.problem("lost in silence: %v message %d of node %d for a member at node %d, told of a gap up to %d", stream, m.Seq, m.Origin, member.node, h.gaps[k][stream])
		default:
			h.lost++
		}
	}
}
