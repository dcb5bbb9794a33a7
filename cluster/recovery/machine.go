package recovery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Config are the limits of a Machine. Zero values are the defaults.
type Config struct {
	ID wire.NodeID
	// Copies are how many nodes have each message, session and order, the own included. 2.
	Copies int
	// Window is for how long a client may be away. 2 minutes.
	Window time.Duration
	// Slack is how much longer messages are kept: how late they may be on a link,
	// and how long a recovery takes. 40 s.
	Slack time.Duration
	// LogBytes limits the own messages, and those that are mirrored of each other node: beyond it
	// the oldest go, and who lacks them is not recovered. 64 MiB.
	LogBytes int
	// OrderEntries limits the order, 32 bytes each. 1 Mi.
	OrderEntries int
	// FrameEntries are the most messages of a frame to a mirror. 256.
	FrameEntries int
	// Mirrors are how many nodes that live this one mirrors: the next is refused, and chooses another one. And how many
	// dead ones: beyond it the one that died first is forgotten, and its sessions are lost. 16.
	Mirrors int
	// RecordBytes limits the rooms and data of a session: one that has more is kept no more, and is not recovered. 64 KiB.
	RecordBytes int
	// AwayBytes limits the records of sessions whose client is away or that were given to another node: beyond it those that
	// were first are ended before their Window is over. 64 MiB.
	AwayBytes int
	// PartBytes is what a part of a replay, or of what a dead node has published, has at most, but for its last
	// message. 256 KiB.
	PartBytes int
	// Recoveries are how many go on at a time, and Waiting how many more may wait for their turn: beyond that they are
	// refused. 1,024 and 16,384.
	Recoveries, Waiting int
	// HoldBytes limits what is held for recoveries that go on: beyond it they are refused. 64 MiB.
	HoldBytes int
	// ReplayBytes limits what is replayed to one client: it goes into its queue at once, and one that is full ends the
	// connection, at each attempt anew. Who lacks more is refused. 512 KiB.
	ReplayBytes int
	// UnsentBytes limits what was replayed and has not left for clients, of all together: beyond it nobody is admitted
	// until there is half as much, see Unsent. 128 MiB.
	UnsentBytes int
	// Patience is how long a client waits for its recovery: more than a busy machine takes to find a node dead. 20 s.
	Patience time.Duration
	// AckPatience is how long publishers and sessions wait for mirrors: beyond it publishers hear that nobody knows of a copy, and the
	// sessions are kept no more. It is more than a death takes to be noticed, and the choice of others. 30 s.
	AckPatience time.Duration
	// Wants tells whether a peer wants a message: so by its interest, or because that may not be
	// trusted now.
	Wants func(peer wire.NodeID, m *wire.Message) bool
	// Broken is for the simulator.
	Broken Rule
}

func (c Config) withDefaults() Config {
	c.Copies = cmp.Or(c.Copies, 2)
	c.Window = cmp.Or(c.Window, 2*time.Minute)
	c.Slack = cmp.Or(c.Slack, 40*time.Second)
	c.LogBytes = cmp.Or(c.LogBytes, 64<<20)
	c.OrderEntries = cmp.Or(c.OrderEntries, 1<<20)
	c.FrameEntries = cmp.Or(c.FrameEntries, 256)
	c.Mirrors = cmp.Or(c.Mirrors, 16)
	c.RecordBytes = cmp.Or(c.RecordBytes, 64<<10)
	c.AwayBytes = cmp.Or(c.AwayBytes, 64<<20)
	c.PartBytes = cmp.Or(c.PartBytes, 256<<10)
	c.Recoveries = cmp.Or(c.Recoveries, 1024)
	c.Waiting = cmp.Or(c.Waiting, 16384)
	c.HoldBytes = cmp.Or(c.HoldBytes, 64<<20)
	c.ReplayBytes = cmp.Or(c.ReplayBytes, 512<<10)
	c.UnsentBytes = cmp.Or(c.UnsentBytes, 128<<20)
	c.Patience = cmp.Or(c.Patience, 20*time.Second)
	c.AckPatience = cmp.Or(c.AckPatience, 30*time.Second)
	return c
}

// Machine is one node's part in recovery. See the package.
type Machine struct {
	cfg       Config
	id        wire.NodeID
	now       time.Duration
	nextSweep time.Duration
	asleep    time.Duration // in all

	log   history // own messages
	order order
	lag   lag
	peers map[wire.NodeID]*peer
	met   uint64 // how many there have been

	buddies  map[wire.NodeID]*buddy // who gets what this node mirrors
	feeds    []*buddy               // the same, by id
	set      []wire.NodeID          // of them, those that acks wait for
	gen      uint64                 // of set
	proposal *proposal
	unsure   bool // a proposal was given up: acks wait for the next
	waits    waits
	draining bool
	unables  int // peers that have no recovery, dead ones too

	mirrors     map[wire.NodeID]*mirror // what this node keeps of others
	sessions    map[PID]*session
	unkept      map[PID]struct{} // sessions that are here, and had too much to be kept
	version     uint64           // of sessions
	changed     row[PID]         // the i-th made version firstChange+i
	firstChange uint64
	rooms       map[wire.Topic]int // live sessions whose join is fenced
	contested   map[PID]struct{}   // owned sessions that were claimed from a node that was taken for dead
	away        row[awaySince]     // sessions that are lost or given, the first that was first
	awayBytes   int                // of their records
	replays     row[replayedTo]    // those whose records have a replay, the first that was first

	hands    handsOn
	fence    fence
	attempts map[PID]*attempt
	asking   map[uint64]*attempt // by what they have asked others
	coming   []*attempt          // in the order in which they came
	back     giveBacks
	line     row[*attempt] // those that wait until there is room
	active   int           // those that do not, and are not admitted
	arrived  []*attempt    // those that wait for a gather
	gathers  []*gather
	unsent   int    // bytes of replays that clients have not got
	paused   bool   // nobody is admitted for that
	replayed uint64 // cursor of the last replayed message
	nextID   uint64

	loop    []Frame // to this node itself
	effects []Effect
	stats   Stats
}

// Stats are counters.
type Stats struct {
	Short     uint64 // own messages that left the log before their time
	Completed uint64 // messages of dead nodes that came from mirrors
	Resets    uint64 // buddies that were told everything anew
	Gathers   uint64 // times that messages were fetched for sessions that had come
	TooMany   uint64 // recoveries that were refused as more than Recoveries and Waiting were on their way
	TooMuch   uint64 // ... as more than HoldBytes were held, or too many messages to replay
	Full      uint64 // nodes that were refused, as Mirrors are mirrored, or dead ones that were handed on
	Evicted   uint64 // dead nodes that were forgotten before their time
	Coming    int    // recoveries that go on or wait
	Held      int    // bytes of messages for them
	PutOff    uint64 // times that one had to wait until others had got what was replayed to them
	Outgrown  uint64 // sessions that are kept no more, as they had more than RecordBytes
	// Unmirrored are messages and sessions that were given up, as no mirror had them in AckPatience.
	Unmirrored uint64
	Vague      uint64 // cursors that could not say all that mirrors did not have
	Forgotten  uint64 // sessions whose client could have come back, ended as there were more than AwayBytes
}

// Stats are the counters so far, and the state of now.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Coming, s.Held = len(m.attempts), m.held()
	return s
}

// peer is another run of a node.
type peer struct {
	linked   bool
	met      wire.Frontiers // of the own messages when this node came to know it: those are not for it
	down     bool           // and not linked: its stream is closed
	unmet    bool           // and was before this node heard of it
	since    time.Duration
	ended    time.Duration // when its tail was complete: others may have found it dead long after this node
	draining bool
	full     time.Duration          // until then it mirrors nobody anew
	unable   bool                   // it has no recovery
	gen      uint64                 // of its buddies, the highest that it has told
	tail     *tail                  // while it is down
	asked    map[wire.NodeID]uint64 // who waits for this node to take it for dead, with his nonce
}

// able tells whether a node is to be reckoned with: it is not dead, and has recovery.
func (p *peer) able() bool { return !p.down && !p.unable }

// New makes the machine of a node that has just started.
func New(cfg Config) *Machine {
	cfg = cfg.withDefaults()
	return &Machine{cfg: cfg, id: cfg.ID, order: newOrder(), peers: map[wire.NodeID]*peer{}, buddies: map[wire.NodeID]*buddy{},
		mirrors: map[wire.NodeID]*mirror{}, sessions: map[PID]*session{}, firstChange: 1, attempts: map[PID]*attempt{},
		rooms: map[wire.Topic]int{}, contested: map[PID]struct{}{}, unkept: map[PID]struct{}{}, asking: map[uint64]*attempt{}, replayed: replayedFrom}
}

// asleepAfter is how long nothing happens in a process that was stopped, or has starved.
const asleepAfter = time.Second

// At sets the time on a monotonic clock of this node.
func (m *Machine) At(now time.Duration) {
	if m.now > 0 && now-m.now > asleepAfter {
		m.asleep += now - m.now
	}
	m.now = now
}

// awake is the time for which this node has run. By it messages get old: what was published before a
// sleep had not reached anybody meanwhile.
func (m *Machine) awake() time.Duration { return m.now - m.asleep }

// Take gives what is to be done since the last Take, in order.
func (m *Machine) Take() []Effect {
	for len(m.loop) > 0 {
		f := m.loop[0]
		m.loop = m.loop[1:]
		m.Frame(m.id, f)
	}
	effects := m.effects
	m.effects = nil
	return effects
}

func (m *Machine) do(e Effect) { m.effects = append(m.effects, e) }

// send gives a frame to a peer that is linked, or to this node.
func (m *Machine) send(to wire.NodeID, f Frame) {
	if to == m.id {
		m.loop = append(m.loop, f)
		return
	}
	if p := m.peers[to]; p != nil && p.linked && !p.unable {
		m.do(Send{to, f})
	}
}

// sorted are the keys of a map in order, so that what follows depends on nothing but events.
func sorted[K cmp.Ordered, V any](of map[K]V) []K { return slices.Sorted(maps.Keys(of)) }

// linked are the peers with a link, and with recovery.
func (m *Machine) linked() (ids []wire.NodeID) {
	for _, id := range sorted(m.peers) {
		if p := m.peers[id]; p.linked && !p.unable {
			ids = append(ids, id)
		}
	}
	return ids
}

// Member says that the core knows a node from now on, as gossip has it or a link to it is about to come up, and how far
// the own streams were at that moment: what is published from then on is kept for it.
func (m *Machine) Member(id wire.NodeID, met wire.Frontiers) {
	if p := m.peers[id]; p == nil {
		m.meet(id, met)
	} else if p.unmet { // it is back
		m.meet(id, met).gen = p.gen
	}
	m.alive(id)
}

func (m *Machine) meet(id wire.NodeID, met wire.Frontiers) *peer {
	p := &peer{since: m.now, met: met}
	m.peers[id] = p
	m.met++
	return p
}

// peer is that of a call that Member should have preceded.
func (m *Machine) peer(id wire.NodeID) *peer {
	if p := m.peers[id]; p != nil {
		return p
	}
	return m.meet(id, m.log.heads())
}

// alive: a node that was taken for dead is not.
func (m *Machine) alive(id wire.NodeID) {
	if p := m.peer(id); p.down {
		p.down, p.tail = false, nil
	}
}

// Linked says that a link to a member has come up: what was sent on the last one may be lost.
func (m *Machine) Linked(id wire.NodeID) {
	m.alive(id)
	m.peers[id].linked = true
	if m.peers[id].unable {
		return
	}
	m.reopen(id)
	m.linkedBuddy(id)
	if !m.breaks(BreakRelink) {
		m.afterFence(func() {}) // joins of meanwhile had no barrier of it: those to come need one
	}
	m.askTails(id)
	m.tellContested(id)
	m.giveBackAgain(id)
	for _, a := range m.coming {
		a.retry = retry{} // what was on the way to it may be lost
	}
	for _, g := range m.gathers {
		g.linked(id)
	}
	m.choose()
}

// Unlinked says that a link has ended.
func (m *Machine) Unlinked(id wire.NodeID) {
	m.peer(id).linked = false
	if b := m.buddies[id]; b != nil {
		b.unlink()
	}
	m.hands.unlink(id)
	m.fenceLost(id)
	m.proposalLost(id)
}

// Down says that a node without a link is dead, or taken for that: its stream is closed until
// there is a link to it again.
func (m *Machine) Down(id wire.NodeID) {
	p := m.peer(id)
	if p.linked || p.down {
		return
	}
	p.down, p.since = true, m.now
	m.closeStream(id)
	m.evict()
	if !p.unable {
		m.beginTail(id)
	}
	for _, a := range m.coming {
		a.retry = retry{} // it may be the one that was waited for
	}
	m.choose()
	m.progress()
}

// gone is after how long a dead node is forgotten.
func (m *Machine) gone() time.Duration { return m.cfg.Window + m.cfg.Slack }

// TickEvery is how often Tick wants to be called: the most that clients get twice when their
// node is killed.
const TickEvery = 20 * time.Millisecond

// sweepEvery is how often what is too old is looked for.
const sweepEvery = time.Second

// Tick does what time brings.
func (m *Machine) Tick() {
	if m.now >= m.nextSweep {
		m.nextSweep = m.now + sweepEvery
		m.sweep()
	}
	for _, id := range m.tails() {
		m.peers[id].tail.tick(m, id)
	}
	m.feedAll()
	m.handOnNext()
	m.fenceTick()
	m.tickAttempts()
}

// sweep lets go of what is too old.
func (m *Machine) sweep() {
	since := m.now - m.gone()
	m.stats.Short += uint64(m.log.trim(since-m.asleep, m.cfg.LogBytes))
	m.order.trim(since, m.cfg.OrderEntries)
	for _, x := range m.mirrors {
		x.log.trim(since-m.asleep, m.cfg.LogBytes)
		x.order.trim(since, m.cfg.OrderEntries)
	}
	for id, p := range m.peers {
		if p.down && max(p.since, p.ended) < since {
			m.setUnable(p, false)
			delete(m.peers, id)
			delete(m.mirrors, id)
			m.order.forget(id)
			m.lag.names = nil
		}
	}
	m.giveUpWaits()
	m.forgetReplays()
	m.forgetGiveBacks()
	m.endLost()
	m.choose() // who was full may not be
}

// Frame takes what a peer has sent.
func (m *Machine) Frame(from wire.NodeID, f Frame) {
	switch f := f.(type) {
	case Mirror:
		m.keep(from, f)
	case Mirrored:
		m.mirrored(from, f)
	case Reopened:
		m.doubt(f.Heads)
	case Buddies:
		m.takeBuddies(from, f)
	case BuddiesKnown:
		m.buddiesKnown(from, f.Gen)
	case Drop:
		delete(m.mirrors, from)
	case Draining:
		m.peer(from).draining = true
		m.choose()
	case AskTail:
		m.askedTail(from, f)
	case Tail:
		m.takeTail(from, f)
	case FetchTail:
		m.fetchedTail(from, f)
	case TailEntries:
		m.takeTailEntries(from, f)
	case AskBarrier:
		m.do(Barrier{from, f.Round})
	default:
		m.sessionFrame(from, f)
	}
}

func (m *Machine) sessionFrame(from wire.NodeID, f Frame) {
	switch f := f.(type) {
	case Lookup:
		m.lookup(from, f)
	case Take:
		m.take(from, f)
	case Fetch:
		m.fetch(from, f)
	case Claims:
		m.takeClaims(from, f)
	case Done:
		m.given(from, f)
	case Release:
		m.released(from, f.PID)
	case Found:
		m.found(from, f)
	case Granted:
		m.granted(f)
	case Denied:
		m.denied(f)
	case Fetched:
		m.fetched(from, f)
	case HandOn:
		m.takeHandOn(from, f)
	case HandedOn:
		m.handedOn(from, f)
	}
}
