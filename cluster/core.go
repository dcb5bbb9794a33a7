package cluster

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// core is the protocol between nodes as a state machine: what happened goes in
// as a method call, what is to be done comes out as effects. It has no lock,
// clock or socket, so that any schedule can be driven through it: the simulator
// drives the same code as the links. Its owner (Cluster) sets the time before each
// call, and applies the effects of one call before it makes the next.
//
// It implements MESH §5: versioned interest and its acknowledgement
// (interest.go), the SYNC of a new link (opening.go), the lease under which interest may be trusted (lease.go), the own
// logs and what of them each peer lacks (log.go, stream.go, deliver.go).
type core struct {
	id     wire.NodeID // of this node
	timing timing
	now    time.Duration // a monotonic clock of this node, from 1 on

	logs    logs
	writer  wire.DataWriter
	version uint64             // of the own interest: +1 with every change
	own     map[wire.Topic]int // where in topics
	topics  []wire.Topic       // the own interest
	peers   map[wire.NodeID]*peer
	every   []*peer               // peers as a list, or nil: see everyPeer
	gone    map[wire.NodeID]*peer // those that are down: their numbers outlive them
	waits   []wait                // by version
	changes []change              // of the own interest, those of lately
	settled bool                  // before, no join counts as in force: see settle

	led   bool          // a peer with a lower id is linked: see lease.go
	early bool          // it has asked, so the next tick asks too
	round time.Duration // when the last questions began
	due   time.Duration // of the next tick
	soon  time.Duration // when something that waits wants one; 0 nothing does

	openings   int // peers whose SYNC is under way
	syncTopics int // of a part
	flushBytes int // to a lane of a link at a time

	counts counts
	broken rule // for tests: see rules_test.go

	effects []effect      // of the call under way
	reached []wire.NodeID // by the last publish
	rooms   []string      // of the frame that was last looked at
}

// timing is how long things may take, MESH §5.
type timing struct {
	lease    time.Duration // how long interest may be trusted after it was asked for
	slack    time.Duration // what a promise lasts longer than the lease: clocks drift
	withhold time.Duration // how long a change may stay unacknowledged before promises end
	ask      time.Duration // between two questions to a peer
}

var lanTiming = timing{lease: time.Second, slack: 50 * time.Millisecond, withhold: 400 * time.Millisecond, ask: 250 * time.Millisecond}

// wanTiming lets one lost packet pass without an end of trust.
var wanTiming = timing{lease: 3 * time.Second, slack: 150 * time.Millisecond, withhold: 1200 * time.Millisecond, ask: 500 * time.Millisecond}

// tickEvery is how often the owner calls tick while something waits for time to pass. Else it does
// when questions are due (core.due): a process that wakes for nothing costs more than what it then does.
const tickEvery = 50 * time.Millisecond

// counts are for Stats.
type counts struct {
	resent   uint64               // messages sent again on a new link
	expired  uint64               // times that trust in a linked peer ended
	lost     [wire.Streams]uint64 // messages that left the log before a peer had them
	gaps     uint64               // gaps that peers told of
	volatile uint64               // volatile messages that were not sent as the peer was not ready
}

// rule is a set of rules of the protocol that a test breaks, to see that it is
// noticed. Zero in every program.
type rule uint32

const (
	breakJoinAtOnce       rule = 1 << iota // joins wait for nobody
	breakTrustForever                      // no lease
	breakLeaseFromReceipt                  // the lease counts from the answer, not from the question
	breakPromiseOfCut                      // joins do not wait for promises to peers without a link
	breakConfirm                           // joins do not wait for the SYNC of a new link
	breakResend                            // what was on the way when a link broke is not sent again
	breakDataBeforeSync                    // data flows before the peer's SYNC
	breakOrder                             // a message that is wanted overtakes those that wait
	breakRenewal                           // a renewed lease does not send what waits
	breakFrontier                          // the numbers of peers that are down are forgotten
	breakGap                               // nobody is told of messages that are gone
	breakWithhold                          // promises are made though a change is not acknowledged
	breakNumbers                           // the numbers of all streams are taken for those of one
	breakGapStream                         // a gap is taken for one of another stream
	breakGapLane                           // a gap overtakes what is on the way before it
	breakLow                               // a message of low priority overtakes those of its stream that wait
	breakFrontiers                         // a new link begins after the frontier of one stream only
)

func (c *core) breaks(r rule) bool { return c.broken&r != 0 }

// peer is what the node knows of one other run of a node. It outlives breaks of
// the link.
type peer struct {
	id       wire.NodeID
	linked   bool
	heard    bool          // its SYNC has begun on this link: it keeps for this node what it publishes
	synced   bool          // ... and its whole interest has come
	opening  *opening      // of this node's SYNC to it; nil when that is sent
	linkedAt time.Duration // when this link came up
	met      bool          // had a link
	missed   bool          // ... or has not got all that was kept for it
	down     bool          // by gossip, and without a link: it ends with the promise to it

	topics  map[wire.Topic]struct{} // its interest
	looked  uint64                  // the run of messages that wants looked at last, and what it found
	found   bool
	version uint64                  // of topics
	parts   map[wire.Topic]struct{} // of a SYNC that is not whole yet
	acked   uint64                  // version of the own interest that is in force there

	lease lease

	streams   [wire.Streams]stream
	processed int // messages since it was told the frontiers
}

// effect is a frame to send, or a wait that is over.
type effect struct {
	to    wire.NodeID
	frame []byte // or several; good until the next call of the core, or while lent is not 0
	// frames, seq and lent are set for messages: how many, the number of the first if they stay in
	// the log until they are confirmed, which refused takes back with those behind it, and their chunk's.
	frames    int
	seq       uint64
	lent      *atomic.Int32
	lane      mesh.Lane
	droppable bool // data: the link may refuse it
	more      bool // follows when the link has room: it says so though it refuses nothing
	done      func()
}

// effect sends the message of e.
func (e *entry) effect(to wire.NodeID, seq uint64, lane mesh.Lane) effect {
	return effect{to: to, frame: e.frame(), frames: 1, seq: seq, lent: &e.chunk.lent, lane: lane, droppable: true}
}

// lengthen adds the message that follows in the same chunk, of size bytes.
func (e *effect) lengthen(size int) {
	e.frame = e.frame[:len(e.frame)+size]
	e.frames++
}

// The defaults of Config.
const (
	logBytes     = 64 << 20
	queueBytes   = 256 << 10 // as many blocks as a link fills again; what is behind them is in the log once, not twice
	controlBytes = 64 << 20
)

func newCore() *core {
	return &core{timing: lanTiming, now: 1, logs: logs{limit: logBytes}, own: map[wire.Topic]int{}, syncTopics: syncTopics, flushBytes: flushBytes,
		peers: map[wire.NodeID]*peer{}, gone: map[wire.NodeID]*peer{}}
}

// take hands out the effects since the last call. The slice is good until the
// next call of any method.
func (c *core) take() []effect { return c.effects }

// applied lets go of the effects that take handed out.
func (c *core) applied() {
	clear(c.effects)
	c.effects = c.effects[:0]
}

// send is for what is neither a message nor a GAP: those go in their stream's lane.
func (c *core) send(to wire.NodeID, frame []byte) {
	c.effects = append(c.effects, effect{to: to, frame: frame})
}

// peer finds a peer, or makes it. One that was down is back: what was published
// meanwhile is missing.
func (c *core) peer(id wire.NodeID) *peer {
	p := c.peers[id]
	switch {
	case p != nil && !p.down:
		return p
	case p == nil && c.gone[id] != nil:
		p = c.gone[id]
		delete(c.gone, id)
	case p == nil:
		p = &peer{id: id}
	}
	if p.down {
		p.down = false
		for k := range p.streams {
			p.streams[k].out.evicted = c.logs.of[k].last()
		}
	}
	if p.topics == nil {
		p.topics = map[wire.Topic]struct{}{}
	}
	c.peers[id], c.every = p, nil
	return p
}

// everyPeer lists peers: every publish goes through them, and a map takes long for that.
func (c *core) everyPeer() []*peer {
	if c.every == nil {
		c.every = slices.AppendSeq(make([]*peer, 0, len(c.peers)), maps.Values(c.peers))
	}
	return c.every
}

// member says that gossip has id alive: from now on what is published is kept
// for it until there is a link.
func (c *core) member(id wire.NodeID) {
	if !c.peer(id).linked {
		c.hurry() // questions to it look whether its process is there
	}
}

// linkDown ends what belongs to a link. A peer that has left on purpose
// publishes nothing more, so that no promise to it counts.
func (c *core) linkDown(id wire.NodeID, left bool) {
	p := c.peer(id)
	p.linked, p.heard, p.synced, p.parts = false, false, false, nil
	c.opened(p)
	for k := range p.streams {
		p.streams[k].out.unlink()
	}
	p.lease.trusted = false
	if left {
		p.lease.promisedUntil = 0
	}
	c.follow()
	c.hurry()
	c.progress()
}

// maxGone limits the nodes that are down and remembered: some 600 bytes each, and a
// node that comes back after so many others takes its lost messages for new.
const maxGone = 4096

// down says that gossip has lost id. With a link it is alive all the same
// (MESH §0.4); without, what waited for it is dropped. It tells whether that is news.
func (c *core) down(id wire.NodeID) bool {
	p := c.peers[id]
	if p == nil || p.linked || p.down {
		return false
	}
	for k := range p.streams {
		o, log := &p.streams[k].out, &c.logs.of[k]
		for _, seq := range o.refs {
			log.release(seq)
		}
		log.trim()
		p.missed = p.missed || len(o.refs) > 0 || o.evicted > 0
		*o = outbox{}
	}
	p.down, p.topics, p.looked = true, nil, 0
	p.lease.trustedUntil = 0 // should it be back before: nothing is known of its interest
	c.bury(id, p)
	return true
}

// bury moves a peer that is down out of the way once no promise to it is left.
func (c *core) bury(id wire.NodeID, p *peer) {
	if !p.down || c.now < p.lease.promisedUntil {
		return
	}
	delete(c.peers, id)
	c.every = nil
	if (p.met || p.missed) && !c.breaks(breakFrontier) {
		for old := range c.gone {
			if len(c.gone) < maxGone {
				break
			}
			delete(c.gone, old)
		}
		c.gone[id] = p
	}
}

// tick does what time brings: questions, ends of promises and of leases, and
// another try for links that were full. It sets due, when it is to be called next; other events
// may bring that forward.
func (c *core) tick() {
	for k := range c.logs.of {
		c.logs.of[k].arena.trim()
	}
	c.soon = 0
	c.askAll()
	waiting := false
	for id, p := range c.peers {
		if p.linked {
			c.look(p)
		}
		for k := range p.streams {
			p.streams[k].out.blocked = false
		}
		if !c.breaks(breakRenewal) {
			c.flush(id, p)
		}
		for k := range p.streams {
			waiting = waiting || p.streams[k].out.blocked
		}
		waiting = waiting || !p.linked
		c.bury(id, p)
	}
	c.progress()
	c.due = c.nextTick()
	if waiting || c.openings > 0 || len(c.waits) > 0 {
		c.hurry()
	}
}

// hurry asks for a tick soon: something waits.
func (c *core) hurry() {
	if c.soon == 0 {
		c.soon = c.now + tickEvery
		c.due = min(c.due, c.soon)
	}
}

// nextTick is when the next question is due, or something that waits. Without peers nothing is for long.
func (c *core) nextTick() time.Duration {
	next := c.now + 2*c.timing.ask
	if c.soon > 0 {
		next = c.soon
	}
	for _, p := range c.peers {
		if p.linked {
			next = min(next, p.lease.askAt)
		}
	}
	return next
}
