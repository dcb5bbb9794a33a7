package recovery

import "github.com/meshrt/meshrt/wire"

// Handed says that the node hands x, own or foreign, to the clients that it is for, in this place
// among all others, and gives the cursor that they get with it. Own ones are Published before. A cursor is for those who
// get x now: one that is made later says less.
func (m *Machine) Handed(x *wire.Message) Cursor {
	for _, g := range m.gathers {
		g.live(x)
	}
	r := RefOf(x)
	return m.ahead(r, m.placed(r))
}

// Reached says that a dead origin's messages up to heads have been handed out.
func (m *Machine) Reached(origin wire.NodeID, heads wire.Frontiers) {
	m.reach(origin, heads)
	m.checkGathers()
}

func (m *Machine) reach(origin wire.NodeID, heads wire.Frontiers) {
	for k, seq := range heads {
		if r := (Ref{origin, wire.Stream(k), seq}); !m.order.current.Has(r) {
			m.placed(r)
		}
	}
}

// fence asks all linked peers for barriers, so that whoever waits for it knows: all that they published before
// has come, or is not for this node.
type fence struct {
	round   uint64
	waiting map[wire.NodeID]uint8 // streams whose barrier has not come
	done    []func()              // of this round
	next    []func()              // of the next: this one may have begun before
}

const allStreams = 1<<wire.Streams - 1

func (m *Machine) afterFence(done func()) { m.fence.next = append(m.fence.next, done) }

// fenceTick begins a round if somebody waits.
func (m *Machine) fenceTick() {
	f := &m.fence
	if len(f.waiting) > 0 || len(f.next) == 0 {
		return
	}
	m.nextID++
	*f = fence{round: m.nextID, waiting: map[wire.NodeID]uint8{}, done: f.next}
	if !m.breaks(BreakFence) {
		for _, id := range m.linked() {
			f.waiting[id] = allStreams
			m.send(id, AskBarrier{f.round})
		}
	}
	m.fenceEnd()
}

// Passed says that a barrier has come, in its place among the messages of its stream.
func (m *Machine) Passed(r Ref, round uint64) {
	m.placed(r)
	if left, ok := m.fence.waiting[r.Origin]; ok && round == m.fence.round {
		if left &^= 1 << r.Stream; left > 0 {
			m.fence.waiting[r.Origin] = left
		} else {
			delete(m.fence.waiting, r.Origin)
		}
		m.fenceEnd()
	}
	m.checkGathers()
}

// fenceLost: nobody waits for a peer without a link. What it publishes meanwhile is kept for this node, and
// may be of before a join.
func (m *Machine) fenceLost(id wire.NodeID) {
	if _, ok := m.fence.waiting[id]; ok {
		delete(m.fence.waiting, id)
		m.fenceEnd()
	}
}

func (m *Machine) fenceEnd() {
	if len(m.fence.waiting) > 0 {
		return
	}
	done := m.fence.done
	m.fence.done = nil
	for _, f := range done {
		f()
	}
}
