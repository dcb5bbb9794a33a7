package presence

import (
	"cmp"
	"container/list"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// ErrFull is that a node has as many rooms or entries of presence as it may.
var ErrFull = errors.New("too many rooms or members whose presence is asked for")

// Config is what a Machine needs. Zero values are the defaults.
type Config struct {
	Self wire.NodeID
	Name string // of this node
	// Grace is how long one may be gone who comes back: default 2 s (MESH §6).
	Grace time.Duration
	// Linger is how long a room that nobody asks for any more is followed: default 60 s.
	Linger time.Duration
	// MaxRooms limits the rooms that this node follows; those that it is wanted for may be
	// twice as many. Default 10,000.
	MaxRooms int
	// MaxBytes limits the entries of all sets, roughly: what is over it is not kept, and lists name the node in
	// Missing whose entries they lack. Default 256 MiB.
	MaxBytes int
}

const (
	digestEvery = 10 * time.Second // between two kindState of a room
	slowEvery   = time.Second      // between two looks at what time brings, but for grace
	patience    = 2 * time.Second  // of a new room, for nodes that are linked and do not answer
	evictAfter  = 5 * time.Second  // since it was asked for, a room that nobody watches may make way for others
	retryFirst  = 5 * time.Second  // a want without an answer is said again, and then
	retryMost   = time.Minute      // ... after twice as long each time, up to this
	quietMost   = 3 * digestEvery  // of a node whose set is known; then it is wanted again
	maxPending  = 64 << 10         // changes of a room that are not told yet
	maxMoves    = 100              // members that come or go between two lists and keep the order of their room
	deltaEvery  = 20 * time.Millisecond
	freeDeltas  = 64 // within deltaEvery; then changes wait for the next, and go together
)

// Machine is one node's part in presence. Its owner sets the time (Now) before it calls
// anything, calls Tick when Due says so, and does what Take gives after each call.
type Machine struct {
	cfg      Config
	now      time.Duration // a monotonic clock, from 1 on
	counter  uint64        // the last version of an own set
	own      map[wire.Topic]*own
	rooms    map[wire.Topic]*room
	idle     list.List // of the topics of rooms that nobody watches, the longest unused first
	nodes    map[wire.NodeID]*peer
	dirty    map[wire.Topic]struct{} // own sets with something to say
	changed  map[wire.Topic]struct{} // ... with changes, which may wait
	graces   []grace                 // by deadline
	bytes    int
	deltasAt time.Duration // since when deltas counts
	deltas   int           // frames of changes
	prompt   int           // as many wait for nobody: freeDeltas
	held     bool          // changed are left to the next Take
	slowAt   time.Duration // 0: nothing is followed
	digestAt time.Duration
	strange  bool // one has spoken that Follow has not named
	stats    Stats
	out      Effects
}

// peer is another node.
type peer struct {
	name string
	up   bool
	link int64 // which link
}

// Stats are counters since New and the state of now.
type Stats struct {
	Rooms, Told      int    // rooms that are followed here; those whose own entries others follow
	Members, Bytes   int    // in the rooms followed; of all entries
	Snapshots        uint64 // sets told to another node as a whole
	Deltas           uint64
	Repairs          uint64 // sets wanted anew, as changes of them were missing
	Joined, Left     uint64 // events
	Returned         uint64 // members that were back within the grace
	Refused, Dropped uint64 // rooms refused for a limit; entries, changes and frames given up for one, or malformed
}

// Effects are what the owner is to do: in this order.
type Effects struct {
	Interest []Interest
	Send     []Send
	Events   []Event
	More     bool // Take again soon
}

// Interest is that this node wants to hear of a room, or no more.
type Interest struct {
	Topic wire.Topic
	On    bool
}

// Send is a message to those with interest in Rooms, or to the nodes To, numbered and in order.
type Send struct {
	Namespace string
	Rooms     []string
	To        []wire.NodeID
	Payload   []byte
}

// Event is that a member of a room that is followed came or went.
type Event struct {
	Topic  wire.Topic
	Left   bool
	Reason string // of Left
	Member Member
}

// New makes a Machine.
func New(cfg Config) *Machine {
	cfg.Grace = cmp.Or(cfg.Grace, 2*time.Second)
	cfg.Linger = cmp.Or(cfg.Linger, time.Minute)
	cfg.MaxRooms = cmp.Or(cfg.MaxRooms, 10_000)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 256<<20)
	return &Machine{cfg: cfg, now: 1, prompt: freeDeltas, own: map[wire.Topic]*own{}, rooms: map[wire.Topic]*room{}, nodes: map[wire.NodeID]*peer{}, dirty: map[wire.Topic]struct{}{}, changed: map[wire.Topic]struct{}{}}
}

// Now sets the time.
func (m *Machine) Now(t time.Duration) { m.now = t }

// Idle tells that Join and Leave would do nothing.
func (m *Machine) Idle() bool { return len(m.own) == 0 }

// Stats is a snapshot.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Rooms, s.Bytes = len(m.rooms), m.bytes
	for _, r := range m.rooms {
		s.Members += len(r.members)
	}
	for _, o := range m.own {
		if len(o.watchers) > 0 {
			s.Told++
		}
	}
	return s
}

// Peer is another node as the cluster lists it.
type Peer struct {
	ID   wire.NodeID
	Name string
	Up   bool  // linked
	Link int64 // another number for every link
}

// Follow tells which nodes there are. One that is listed no more is down.
func (m *Machine) Follow(list []Peer) {
	m.strange = false
	listed := map[wire.NodeID]bool{}
	for _, p := range list {
		listed[p.ID] = true
		n := m.meet(p.ID)
		n.name = p.Name
		fresh := p.Up && (!n.up || n.link != p.Link)
		if n.up, n.link = p.Up, p.Link; fresh {
			m.wantAll(p.ID)
		}
	}
	for id := range m.nodes {
		if !listed[id] {
			m.down(id)
		}
	}
}

// Strange tells that Follow is to be called: one has spoken that it has not named.
func (m *Machine) Strange() bool { return m.strange }

func (m *Machine) meet(id wire.NodeID) *peer {
	n := m.nodes[id]
	if n == nil {
		n = &peer{name: id.String()}
		m.nodes[id] = n
	}
	return n
}

// down lets go of a node: what it has told, and what it wants.
func (m *Machine) down(id wire.NodeID) {
	for t, r := range m.rooms {
		if c := r.copies[id]; c != nil {
			m.free(c.next)
			m.replace(t, r, id, c, nil, ReasonNodeDown, true)
			delete(r.copies, id)
		}
	}
	for _, o := range m.own {
		o.unwant(id)
	}
	delete(m.nodes, id)
}

// Receive takes what another node has sent. The error is about a frame that makes no sense.
func (m *Machine) Receive(from wire.NodeID, namespace string, payload []byte) error {
	f, err := decode(payload)
	if err != nil {
		m.stats.Dropped++
		return err
	}
	if m.nodes[from] == nil {
		m.meet(from)
		m.strange = true
	}
	switch f.Kind {
	case kindWant:
		for _, s := range f.Rooms {
			m.wanted(from, wire.Topic{Namespace: namespace, Room: s.Room}, s.Version)
		}
	case kindUnwant:
		for _, s := range f.Rooms {
			if o := m.own[wire.Topic{Namespace: namespace, Room: s.Room}]; o != nil {
				o.unwant(from)
			}
		}
	case kindState:
		for _, s := range f.Rooms {
			m.heardState(from, wire.Topic{Namespace: namespace, Room: s.Room}, s)
		}
	case kindPart:
		m.heardPart(from, wire.Topic{Namespace: namespace, Room: f.Room}, f)
	case kindDelta:
		m.heardDelta(from, wire.Topic{Namespace: namespace, Room: f.Room}, f)
	}
	return nil
}

// Due is when Tick wants to be called; 0 is not at all.
func (m *Machine) Due() time.Duration {
	due := m.slowAt
	if len(m.graces) > 0 && (due == 0 || m.graces[0].at < due) {
		due = m.graces[0].at
	}
	if next := m.deltasAt + deltaEvery; m.held && (due == 0 || next < due) {
		due = next
	}
	return due
}

// busy has Tick called from now on.
func (m *Machine) busy() {
	if m.slowAt == 0 {
		m.slowAt, m.digestAt = m.now+slowEvery, m.now+digestEvery
	}
}

// Tick does what time brings.
func (m *Machine) Tick() {
	m.endGraces()
	if m.slowAt == 0 || m.now < m.slowAt {
		return
	}
	m.slowAt = m.now + slowEvery
	for t, r := range m.rooms {
		if r.watchers == 0 && m.now-r.used >= m.cfg.Linger {
			m.drop(t, r)
			continue
		}
		for id, c := range r.copies {
			if m.nodes[id].up && m.now >= c.retryAt {
				m.ask(t, id, c)
			}
		}
	}
	if m.now >= m.digestAt {
		m.digestAt = m.now + digestEvery
		m.digest()
	}
	m.dropOwn()
	m.refill()
	if len(m.rooms) == 0 && len(m.own) == 0 {
		m.slowAt = 0
	}
}

// Take is what is to be done. It gives each thing once.
func (m *Machine) Take() Effects {
	if !m.deltasFull() && len(m.changed) > 0 {
		maps.Copy(m.dirty, m.changed)
		m.changed = map[wire.Topic]struct{}{}
	}
	m.held = len(m.changed) > 0
	for _, t := range slices.SortedFunc(maps.Keys(m.dirty), compareTopics) {
		o := m.own[t]
		if o == nil || !m.emit(t, o) {
			delete(m.dirty, t)
		}
	}
	e := m.out
	e.More = len(m.dirty) > 0
	m.out = Effects{}
	return e
}

// deltasFull tells that changes are to wait, as many have been told a moment ago. A thousand members that leave one by one, as
// their clients are cut, would be a thousand frames for each of their rooms, of which each costs three nodes 50 us.
func (m *Machine) deltasFull() bool {
	if m.now >= m.deltasAt+deltaEvery {
		m.deltasAt, m.deltas = m.now, 0
		if m.held { // who has waited goes with all others, who comes then waits again
			m.deltas = m.prompt - 1
		}
	}
	return m.deltas >= m.prompt
}

// Hurry has the next Take give what waits to be told together with more.
func (m *Machine) Hurry() { m.deltas = 0 }

// TakeEvents is Take of the events alone: a list has what they tell already, so who is to be
// told of later events has had these before it is made.
func (m *Machine) TakeEvents() []Event {
	e := m.out.Events
	m.out.Events = nil
	return e
}

func compareTopics(a, b wire.Topic) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Room, b.Room))
}

func (m *Machine) send(to wire.NodeID, namespace string, f frame) {
	m.out.Send = append(m.out.Send, Send{Namespace: namespace, To: []wire.NodeID{to}, Payload: f.encode()})
}

// sendRooms sends frames of a kind that has Rooms, as many as are needed.
func (m *Machine) sendRooms(k kind, list map[string][]state, send func(namespace string, f frame)) {
	for namespace, rooms := range list {
		for part := range slices.Chunk(rooms, frameRooms) {
			send(namespace, frame{Kind: k, Rooms: part})
		}
	}
}
