package cluster

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// core is the protocol between nodes as a state machine: what happened goes in
// as a method call, what is to be done comes out as effects. It has no lock,
// clock or socket, so that any schedule can be driven through it. Its owner
// (Cluster) applies the effects of one call before it makes the next.
//
// It implements MESH §5: versioned interest, its acknowledgement, numbers per
// origin. The lease, the own log and the resend after a break are not here
// yet: a message for a peer without a synced link is not kept for it.
type core struct {
	seq     uint64 // number of the last own message
	version uint64 // of the own interest: +1 with every change
	own     map[wire.Topic]struct{}
	peers   map[wire.NodeID]*peerState
	waits   []wait // by version
	settled bool   // before, no join counts as in force: see settle

	effects []effect // of the call under way
}

// peerState is what the node knows of one other run of a node. It outlives
// breaks of the link; forget ends it.
type peerState struct {
	linked   bool
	synced   bool                    // its whole interest has come on this link: data may flow
	topics   map[wire.Topic]struct{} // its interest
	version  uint64                  // of topics
	parts    []wire.Topic            // of a SYNC that is not whole yet
	acked    uint64                  // version of the own interest that is in force there
	frontier uint64                  // highest number of its messages that was processed
}

// wait is somebody who wants to know when the interest of a version is in force.
type wait struct {
	version uint64
	done    func()
}

// effect is a frame to send, or a wait that is over.
type effect struct {
	to        wire.NodeID
	frame     []byte
	droppable bool
	done      func()
}

func newCore() *core {
	return &core{own: map[wire.Topic]struct{}{}, peers: map[wire.NodeID]*peerState{}}
}

// take hands out the effects since the last call. The slice is good until the
// next call of any method.
func (c *core) take() []effect { return c.effects }

// applied lets go of the effects that take handed out.
func (c *core) applied() {
	clear(c.effects)
	c.effects = c.effects[:0]
}

func (c *core) send(to wire.NodeID, frame []byte) {
	c.effects = append(c.effects, effect{to: to, frame: frame})
}

func (c *core) peer(id wire.NodeID) *peerState {
	p := c.peers[id]
	if p == nil {
		p = &peerState{topics: map[wire.Topic]struct{}{}}
		c.peers[id] = p
	}
	return p
}

// linkUp opens with the whole own interest.
func (c *core) linkUp(id wire.NodeID) {
	p := c.peer(id)
	p.linked, p.synced, p.parts = true, false, nil
	p.acked = 0 // what it had in force it may have forgotten
	c.send(id, wire.AppendSync(nil, wire.Sync{Frontier: p.frontier, Version: c.version, Topics: c.topics()}))
}

// topics is the own interest, those of one namespace together, which SYNC
// makes use of. There may be very many, and publishers wait meanwhile, so they
// are not sorted.
func (c *core) topics() []wire.Topic {
	by := map[string][]wire.Topic{}
	for t := range c.own {
		by[t.Namespace] = append(by[t.Namespace], t)
	}
	all := make([]wire.Topic, 0, len(c.own))
	for _, topics := range by {
		all = append(all, topics...)
	}
	return all
}

// linkDown: nobody waits for a node that is not linked. It learns of the
// interest with its next SYNC.
func (c *core) linkDown(id wire.NodeID) {
	p := c.peer(id)
	p.linked, p.synced, p.parts = false, false, nil
	c.progress()
}

// forget drops what is known of a node that is down for good.
func (c *core) forget(id wire.NodeID) {
	if p := c.peers[id]; p != nil && !p.linked {
		delete(c.peers, id)
	}
}

// setInterest says that the first local member of t came or the last one left,
// and gives the version that a join must see in force. Saying the same twice
// is a programmer's error that costs a version, nothing else.
func (c *core) setInterest(t wire.Topic, on bool) uint64 {
	c.version++
	if on {
		c.own[t] = struct{}{}
	} else {
		delete(c.own, t)
	}
	frame := wire.AppendInterest(nil, wire.Interest{Version: c.version, On: on, Topic: t})
	for id, p := range c.peers {
		if p.linked {
			c.send(id, frame)
		}
	}
	return c.version
}

// whenInForce calls done when every linked peer has the interest of version in
// force: a message that any of them publishes later comes here.
func (c *core) whenInForce(version uint64, done func()) {
	if c.settled && version <= c.floor() {
		c.effects = append(c.effects, effect{done: done})
		return
	}
	i := len(c.waits)
	for i > 0 && c.waits[i-1].version > version {
		i--
	}
	c.waits = slices.Insert(c.waits, i, wait{version, done})
}

// floor is the version that is in force at every linked peer.
func (c *core) floor() uint64 {
	floor := c.version
	for _, p := range c.peers {
		if p.linked {
			floor = min(floor, p.acked)
		}
	}
	return floor
}

// settle says that the node is linked to the cluster that it started into, or
// has waited long enough. A join that was acknowledged before would promise
// messages of nodes that have not heard of it.
func (c *core) settle() {
	c.settled = true
	c.progress()
}

func (c *core) progress() {
	if !c.settled || len(c.waits) == 0 {
		return
	}
	floor := c.floor()
	for len(c.waits) > 0 && c.waits[0].version <= floor {
		c.effects = append(c.effects, effect{done: c.waits[0].done})
		c.waits[0] = wait{}
		c.waits = c.waits[1:] // not shifted: there may be very many
	}
}

// sync takes a part of a peer's interest. The last part puts it in force.
func (c *core) sync(id wire.NodeID, s wire.Sync) {
	p := c.peer(id)
	if !p.linked {
		return
	}
	p.parts = append(p.parts, s.Topics...)
	if s.More {
		return
	}
	p.topics = make(map[wire.Topic]struct{}, len(p.parts))
	for _, t := range p.parts {
		p.topics[t] = struct{}{}
	}
	p.version, p.parts, p.synced = s.Version, nil, true
	c.send(id, wire.AppendNumber(nil, wire.KindIntAck, p.version))
}

// interest takes one change of a peer's interest. Changes that the last SYNC
// contains already are only acknowledged.
func (c *core) interest(id wire.NodeID, i wire.Interest) {
	p := c.peer(id)
	if !p.synced {
		return // cannot be: SYNC is the first frame of a link
	}
	if i.Version > p.version {
		p.version = i.Version
		if i.On {
			p.topics[i.Topic] = struct{}{}
		} else {
			delete(p.topics, i.Topic)
		}
	}
	c.send(id, wire.AppendNumber(nil, wire.KindIntAck, p.version))
}

// intAck: the peer has this version of the own interest in force.
func (c *core) intAck(id wire.NodeID, version uint64) {
	p := c.peer(id)
	if p.linked && version > p.acked {
		p.acked = version
		c.progress()
	}
}

// publish numbers m and sends it to the peers that want it. It tells how many
// those are.
func (c *core) publish(m *wire.Message) int {
	c.seq++
	m.Seq = c.seq
	var frame []byte
	sent := 0
	for id, p := range c.peers {
		if !p.synced || !p.wants(id, m) {
			continue
		}
		if frame == nil {
			frame = wire.AppendData(nil, m, false)
		}
		c.effects = append(c.effects, effect{to: id, frame: frame, droppable: true})
		sent++
	}
	return sent
}

// wants tells whether the peer has members of a room of m, or is the node of a
// session that m is for.
func (p *peerState) wants(id wire.NodeID, m *wire.Message) bool {
	if len(m.Rooms) == 0 {
		_, ok := p.topics[wire.Topic{Namespace: m.Namespace}]
		return ok
	}
	for _, r := range m.Rooms {
		if _, ok := p.topics[wire.Topic{Namespace: m.Namespace, Room: r}]; ok || wire.SessionID(r).Node() == id {
			return true
		}
	}
	return false
}

// accept tells whether message seq of a peer is new. Numbers rise on a link
// and over the links of one peer; what is not above the frontier has been here.
func (c *core) accept(id wire.NodeID, seq uint64) bool {
	p := c.peer(id)
	if seq <= p.frontier {
		return false
	}
	p.frontier = seq
	return true
}
