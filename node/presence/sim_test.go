package presence

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// sim is nodes with Machines, on a cluster that keeps its promises: what a node sends
// another arrives once and in order, late when the link is cut; when one takes the other
// for dead all that waits is gone, without a word to the Machine.
type sim struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Duration
	nodes []*simNode
	ids   uint64
	rooms []wire.Topic
	truth map[string]simSocket // by id
	left  map[string]bool      // keys that have left or died, ever: of those a left may be told
}

type simSocket struct {
	node  *simNode
	topic wire.Topic
	entry Entry
}

type simNode struct {
	sim      *sim
	id       wire.NodeID
	m        *Machine
	dead     bool
	slow     bool // its scans wait
	interest map[wire.Topic]bool
	to       map[wire.NodeID]*simLine
	watched  map[wire.Topic]map[string]Member // what a client that listed and listens believes
	unscan   []wire.Topic
}

// simLine is what one node knows of another, and what waits for it.
type simLine struct {
	up       bool
	down     bool // for dead; of a line that is not up
	link     int64
	interest map[wire.Topic]bool // as of the last SYNC, and changes behind it
	queue    []Send
}

func newSim(t *testing.T, seed uint64, count int) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 7)), truth: map[string]simSocket{}, left: map[string]bool{}}
	for i := range 3 {
		s.rooms = append(s.rooms, wire.Topic{Namespace: "/", Room: fmt.Sprint("room", i)})
	}
	for range count {
		s.start()
	}
	s.mend()
	return s
}

func (s *sim) start() {
	s.ids++
	n := &simNode{sim: s, id: wire.NodeID(s.ids), interest: map[wire.Topic]bool{}, to: map[wire.NodeID]*simLine{}, watched: map[wire.Topic]map[string]Member{}}
	n.m = New(Config{Self: n.id, Name: fmt.Sprint("n", s.ids)})
	if s.rng.IntN(2) == 0 {
		n.m.prompt = 1 // it has most changes wait
	}
	for _, o := range s.nodes {
		if !o.dead {
			n.to[o.id], o.to[n.id] = &simLine{}, &simLine{}
		}
	}
	s.nodes = append(s.nodes, n)
}

func (s *sim) live() []*simNode {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n *simNode) bool { return n.dead })
}

// link and cut are of both directions.
func (s *sim) link(a, b *simNode) {
	s.ids++
	for _, p := range [][2]*simNode{{a, b}, {b, a}} {
		l := p[0].to[p[1].id]
		if l.up {
			continue
		}
		l.up, l.down, l.link, l.interest = true, false, int64(s.ids), maps.Clone(p[1].interest)
		// What waited is sent as far as it is wanted now.
		l.queue = slices.DeleteFunc(l.queue, func(x Send) bool { return len(x.To) == 0 && !l.wants(x) })
	}
	a.follow()
	b.follow()
}

func (l *simLine) wants(x Send) bool {
	return slices.ContainsFunc(x.Rooms, func(r string) bool { return l.interest[wire.Topic{Namespace: x.Namespace, Room: r}] })
}

func (s *sim) cut(a, b *simNode) {
	a.to[b.id].up, b.to[a.id].up = false, false
	a.follow()
	b.follow()
}

// bury: a takes b for dead, if it has no link.
func (s *sim) bury(a *simNode, b wire.NodeID) {
	if l := a.to[b]; l != nil && !l.up && !l.down {
		l.down, l.queue = true, nil
		for _, x := range s.truth {
			if x.node.id == b {
				s.left[x.topic.Room+" "+x.entry.key()] = true
			}
		}
		a.follow()
	}
}

func (s *sim) kill(n *simNode) {
	n.dead = true
	for id, x := range s.truth {
		if x.node == n {
			s.leaves(id)
		}
	}
	for _, o := range s.live() {
		if l := o.to[n.id]; l != nil {
			l.up = false
			o.follow()
		}
	}
}

func (s *sim) leaves(id string) {
	s.left[s.truth[id].topic.Room+" "+s.truth[id].entry.key()] = true
	delete(s.truth, id)
}

func (n *simNode) follow() {
	var list []Peer
	for id, l := range n.to {
		if l.up || !l.down {
			list = append(list, Peer{ID: id, Name: fmt.Sprint("n", uint64(id)), Up: l.up, Link: l.link})
		}
	}
	n.m.Now(n.sim.now)
	n.m.Follow(list)
	n.do()
}

// do does what the Machine says, as node does. What there is more of goes with the next step.
func (n *simNode) do() {
	n.unscan = append(n.unscan, n.m.Unscanned()...)
	e := n.m.Take()
	for _, i := range e.Interest {
		n.interest[i.Topic] = i.On
		for _, o := range n.sim.live() {
			if l := o.to[n.id]; l != nil && l.up { // control frames overtake messages
				l.interest[i.Topic] = i.On
			}
		}
	}
	for _, x := range e.Send {
		for id, l := range n.to {
			if len(x.To) > 0 && x.To[0] == id || len(x.To) == 0 && !l.down && (!l.up || l.wants(x)) {
				if !l.down {
					l.queue = append(l.queue, x)
				}
			}
		}
	}
	for _, v := range e.Events {
		n.believe(v)
	}
}

// believe is a client that applies an event to its list, and finds contradictions.
func (n *simNode) believe(v Event) {
	list := n.watched[v.Topic]
	if list == nil {
		n.sim.t.Fatalf("event of a room that nobody watches: %+v", v)
	}
	_, is := list[v.Member.Key]
	switch {
	case v.Left && !is:
		n.sim.t.Fatalf("n%d at %v: %s left and was not there", n.id, n.sim.now, v.Member.Key)
	case !v.Left && is:
		n.sim.t.Fatalf("n%d at %v: %s joined twice", n.id, n.sim.now, v.Member.Key)
	case v.Left && !n.sim.left[v.Topic.Room+" "+v.Member.Key]:
		n.sim.t.Fatalf("n%d at %v: %s left (%s), and never did", n.id, n.sim.now, v.Member.Key, v.Reason)
	case v.Left:
		delete(list, v.Member.Key)
	default:
		list[v.Member.Key] = v.Member
	}
}

func (n *simNode) scan() {
	for _, t := range n.unscan {
		for _, id := range slices.Sorted(maps.Keys(n.sim.truth)) {
			if x := n.sim.truth[id]; x.node == n && x.topic == t {
				n.m.Join(t, x.entry)
			}
		}
		n.m.Scanned(t)
	}
	n.unscan = nil
	n.do()
}

// watch is a client that lists a room and listens from then on.
func (n *simNode) watch(t wire.Topic) {
	n.m.Now(n.sim.now)
	if n.watched[t] == nil {
		if err := n.m.Watch(t); err != nil {
			n.sim.t.Fatal(err)
		}
		n.m.Hold(t, 1)
	}
	n.do()
	n.watched[t] = map[string]Member{}
	for _, x := range n.list(t) {
		n.watched[t][x.Key] = x
	}
}

func (n *simNode) unwatch(t wire.Topic) {
	if n.watched[t] != nil {
		n.m.Hold(t, -1)
		delete(n.watched, t)
	}
}

func (n *simNode) list(t wire.Topic) (all []Member) {
	for after := ""; ; {
		page, next := n.m.List(t, after, 7)
		all = append(all, page...)
		if after = next; after == "" {
			return all
		}
	}
}

// step lets some time pass, and some of what is on the way arrive.
func (s *sim) step(d time.Duration) {
	s.now += d
	for _, n := range s.live() {
		n.m.Now(s.now)
		if due := n.m.Due(); due > 0 && s.now >= due {
			n.m.Tick()
		}
		if !n.slow {
			n.scan()
		}
		n.do()
		for _, id := range slices.Sorted(maps.Keys(n.to)) {
			l, o := n.to[id], s.node(id)
			for l.up && len(l.queue) > 0 && s.rng.IntN(8) > 0 {
				x := l.queue[0]
				l.queue = l.queue[1:]
				o.m.Now(s.now)
				if err := o.m.Receive(n.id, x.Namespace, x.Payload); err != nil {
					s.t.Fatal(err)
				}
				o.do()
			}
		}
	}
}

func (s *sim) node(id wire.NodeID) *simNode {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *simNode) bool { return n.id == id })]
}

// mend links all, lets the dead be known, and waits until everything has settled.
func (s *sim) mend() {
	for _, a := range s.live() {
		a.slow = false
		for _, id := range slices.Sorted(maps.Keys(a.to)) {
			if b := s.node(id); b.dead {
				s.bury(a, id)
			} else if !a.to[id].up {
				s.link(a, b)
			}
		}
	}
	for range 140 { // longer than from one digest to the next
		s.step(100 * time.Millisecond)
	}
}

// lose takes a message away that waits, as a log does that is full.
func (s *sim) lose(n *simNode) {
	for _, id := range slices.Sorted(maps.Keys(n.to)) {
		l := n.to[id]
		if k := len(l.queue); k > 0 {
			i := s.rng.IntN(k)
			l.queue = slices.Delete(l.queue, i, i+1)
			for _, x := range s.truth { // who looks gone may be told as left
				s.left[x.topic.Room+" "+x.entry.key()] = true
			}
			return
		}
	}
}

// act does something at random.
func (s *sim) act() {
	nodes := s.live()
	n, o := nodes[s.rng.IntN(len(nodes))], nodes[s.rng.IntN(len(nodes))]
	t := s.rooms[s.rng.IntN(len(s.rooms))]
	switch k := s.rng.IntN(100); {
	case k < 35:
		s.joins(n, t)
	case k < 55:
		s.leavesAny(o)
	case k < 62:
		n.watch(t)
	case k < 65:
		n.unwatch(t)
	case k < 75 && n != o:
		s.cut(n, o)
	case k < 88 && n != o:
		s.link(n, o)
	case k < 92 && n != o:
		s.bury(n, o.id)
	case k < 93:
		s.lose(n)
	case k < 94:
		n.slow = !n.slow
	case k < 95 && len(nodes) > 2:
		s.kill(n)
		s.start()
	default:
		s.step(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
	}
	s.step(time.Duration(s.rng.IntN(20)) * time.Millisecond)
}

func (s *sim) joins(n *simNode, t wire.Topic) {
	s.ids++
	e := Entry{ID: fmt.Sprintf("socket%06d", s.ids)}
	if s.rng.IntN(2) == 0 {
		e.User, e.Info = fmt.Sprint("user", s.rng.IntN(12)), []byte(`{"a":1}`)
	}
	s.truth[e.ID] = simSocket{n, t, e}
	n.m.Now(s.now)
	n.m.Join(t, e)
	n.do()
}

// leavesAny takes a socket out, or moves it to the node to.
func (s *sim) leavesAny(to *simNode) {
	ids := slices.Sorted(maps.Keys(s.truth))
	if len(ids) == 0 {
		return
	}
	id := ids[s.rng.IntN(len(ids))]
	x := s.truth[id]
	if x.node.dead {
		return
	}
	x.node.m.Now(s.now)
	if s.rng.IntN(4) == 0 {
		s.left[x.topic.Room+" "+x.entry.key()] = true // the other node may be out of reach for longer than the grace
		s.truth[id] = simSocket{to, x.topic, x.entry}
		to.m.Now(s.now)
		if x.node != to {
			to.m.Join(x.topic, x.entry)
			x.node.m.Leave(x.topic, id, "moved", true)
		}
		to.do()
	} else {
		s.leaves(id)
		x.node.m.Leave(x.topic, id, []string{"left", "transport close"}[s.rng.IntN(2)], false)
	}
	x.node.do()
}

// check compares what every node lists, and every client believes, with what is.
func (s *sim) check() {
	s.t.Helper()
	for _, n := range s.live() {
		for _, t := range s.rooms {
			if !n.m.Follows(t) {
				continue
			}
			want := map[string]int{}
			for _, x := range s.truth {
				if x.topic == t {
					want[x.entry.key()] = min(want[x.entry.key()]+1, MaxSockets)
				}
			}
			got := map[string]int{}
			for _, x := range n.list(t) {
				got[x.Key] = max(1, len(x.Sockets))
			}
			if !maps.Equal(got, want) {
				s.t.Fatalf("n%d lists %v in %s, want %v", n.id, got, t.Room, want)
			}
			if believed := n.watched[t]; believed != nil && !slices.Equal(slices.Sorted(maps.Keys(believed)), slices.Sorted(maps.Keys(want))) {
				s.t.Fatalf("n%d: a client of %s believes %v, want %v", n.id, t.Room, slices.Sorted(maps.Keys(believed)), want)
			}
			if missing := n.m.Missing(t); len(missing) > 0 {
				s.t.Fatalf("n%d misses %v", n.id, missing)
			}
		}
	}
}

// seeds is how many schedules the tests try.
const seeds = 12
