package cluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// pipe is a link between two tallies that delivers when it is told to.
type pipe struct {
	queue [][]byte
	bytes int
}

func (p *pipe) SendIn(_ mesh.Lane, frame []byte) error {
	p.queue = append(p.queue, frame)
	p.bytes += len(frame)
	return nil
}

func (p *pipe) Queued() int { return p.bytes }

// deliver gives some frames to the other end.
func (p *pipe) deliver(t *testing.T, to *tally, from wire.NodeID, frames int) {
	for ; frames > 0 && len(p.queue) > 0; frames-- {
		c, err := wire.DecodeCounts(p.queue[0][4:])
		if err != nil {
			t.Fatal(err)
		}
		p.bytes -= len(p.queue[0])
		p.queue = p.queue[1:]
		to.told(from, c)
	}
}

// list is all of c.
func (c *memberCounts) list() (all []wire.Count) {
	for from, more := (wire.Topic{}), true; more; {
		var part []wire.Count
		part, from, more = c.part(from, 7)
		all = append(all, part...)
	}
	return all
}

// TestCountsAreTheMapThatTheyWereToldOf: the trees are a map in order.
func TestCountsAreTheMapThatTheyWereToldOf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	c, model := newMemberCounts(), map[wire.Topic]uint64{}
	for i := range 20_000 {
		topic := wire.Topic{Namespace: fmt.Sprint("/", r.IntN(4)), Room: fmt.Sprint(r.IntN(300))}
		if r.IntN(20) == 0 {
			topic.Room = ""
		}
		n := uint64(r.IntN(3))
		if i > 15_000 {
			n = 0
		}
		c.set(topic, n)
		if model[topic] = n; n == 0 {
			delete(model, topic)
		}
		if i%500 == 0 || i > 19_990 {
			sum := 0
			var want []wire.Count
			for topic, n := range model {
				want = append(want, wire.Count{Topic: topic, Members: n})
				if topic.Room == "" {
					sum += int(n)
				}
			}
			slices.SortFunc(want, func(a, b wire.Count) int {
				return cmp.Or(cmp.Compare(a.Topic.Namespace, b.Topic.Namespace), cmp.Compare(a.Topic.Room, b.Topic.Room))
			})
			if got := c.list(); !slices.Equal(got, want) || c.total != sum || c.topics != len(model) || c.members(topic) != int(n) {
				t.Fatalf("step %d: %d counts, want %d; %d sessions, want %d; %d topics", i, len(got), len(want), c.total, sum, c.topics)
			}
		}
	}
	c.set(wire.Topic{Namespace: "/", Room: "many"}, 1<<40)
	if got := c.members(wire.Topic{Namespace: "/", Room: "many"}); got != 1<<32-1 {
		t.Errorf("%d members", got)
	}
}

// Whatever changes while all counts are told, links break and fill up, the peer has
// what there is in the end and nothing else.
func TestCountsArriveWhateverHappens(t *testing.T) {
	const room = 400 // bytes that a link takes
	ready := map[wire.NodeID]bool{2: true}
	restarts := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := newTally(), newTally()
		a.part = 1 + r.IntN(20)
		var l *pipe
		for range 400 {
			switch k := r.IntN(100); {
			case k < 40:
				var list []wire.Count
				for range 1 + r.IntN(20) {
					topic := wire.Topic{Namespace: fmt.Sprint("/", r.IntN(2)), Room: fmt.Sprint(r.IntN(60))}
					list = append(list, wire.Count{Topic: topic, Members: uint64(r.IntN(3))})
				}
				was := l != nil && a.peers[2].opening
				if a.set(list, room); l != nil && a.peers[2].opening && !was {
					restarts++
				}
			case k < 60 && l != nil:
				l.deliver(t, b, 1, r.IntN(4))
			case k < 80:
				a.advance(ready, room)
			case k < 83 && l == nil:
				l = &pipe{}
				a.linkUp(2, l)
				b.linkUp(1, &pipe{})
			case k < 85 && l != nil:
				l = nil
				a.linkDown(2, false)
				b.linkDown(1, false)
			}
		}
		if l == nil {
			l = &pipe{}
			a.linkUp(2, l)
			b.linkUp(1, &pipe{})
		}
		for len(l.queue) > 0 || a.advance(ready, room) {
			l.deliver(t, b, 1, 1)
		}
		if p := b.peers[1]; p.known == nil || p.next != nil || !slices.Equal(p.known.list(), a.own.list()) {
			t.Fatalf("seed %d: the peer has not what there is", seed)
		}
	}
	if restarts < 10 {
		t.Errorf("links were full %d times: that tests nothing", restarts)
	}
}

func TestWhatIsKnownOfAPeer(t *testing.T) {
	told := func(x *tally) {
		x.told(2, wire.Counts{Part: wire.CountsWhole | wire.CountsFirst | wire.CountsLast, Counts: []wire.Count{{Topic: wire.Topic{Namespace: "/"}, Members: 5}}})
	}
	for _, tt := range []struct {
		name string
		do   func(x *tally)
		want int
		err  error
	}{
		{"a stranger", func(x *tally) {}, 0, ErrNotLinked},
		{"a link", func(x *tally) { x.linkUp(2, &pipe{}) }, 0, ErrNoCounts},
		{"a part", func(x *tally) {
			x.linkUp(2, &pipe{})
			x.told(2, wire.Counts{Part: wire.CountsWhole | wire.CountsFirst, Counts: []wire.Count{{Topic: wire.Topic{Namespace: "/"}, Members: 3}}})
		}, 3, ErrNoCounts},
		{"all", func(x *tally) { x.linkUp(2, &pipe{}); told(x) }, 5, nil},
		{"a break", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.linkDown(2, false) }, 5, ErrNotLinked},
		{"a new link", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.linkDown(2, false); x.linkUp(2, &pipe{}) }, 5, nil},
		{"it left", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.linkDown(2, true) }, 0, nil},
		{"it died", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.linkDown(2, false); x.died(2) }, 0, nil},
		{"late news of a death", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.died(2) }, 5, nil},
		{"no member", func(x *tally) {
			x.linkUp(2, &pipe{})
			told(x)
			x.linkDown(2, false)
			x.keep(nil)
		}, 0, ErrNotLinked},
		{"no member, linked", func(x *tally) { x.linkUp(2, &pipe{}); told(x); x.keep(nil) }, 5, nil},
	} {
		c := &Cluster{tally: newTally()}
		tt.do(c.tally)
		if got, err := c.Sessions(2); got != tt.want || err != tt.err {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
		if got, err := c.Members(2, wire.Topic{Namespace: "/"}); got != tt.want || err != tt.err {
			t.Errorf("%s: %d members, %v; want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// Very many rooms are told in parts, none of which holds the lock for long, and changes
// meanwhile go on.
func TestManyCountsAreToldInParts(t *testing.T) {
	const topics = 200_000
	a, b := newTally(), newTally()
	list := make([]wire.Count, 0, topics)
	for i := range topics {
		list = append(list, wire.Count{Topic: wire.Topic{Namespace: "/", Room: fmt.Sprintf("room-%07d", i*7919%topics)}, Members: 1})
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for part := range slices.Chunk(list, countTopics) {
		a.set(part, countBytes)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(list)
	l := &pipe{}
	a.linkUp(2, l)
	b.linkUp(1, &pipe{})
	var took, takes []time.Duration
	for more := true; more; {
		start := time.Now()
		more = a.advance(map[wire.NodeID]bool{2: true}, countBytes)
		took = append(took, time.Since(start))
		start = time.Now()
		l.deliver(t, b, 1, 1)
		takes = append(takes, time.Since(start))
	}
	slices.Sort(took)
	slices.Sort(takes)
	t.Logf("%d bytes a topic; %d parts, median %v, p99 %v to tell, %v, %v to take", int64(after.HeapAlloc-before.HeapAlloc)/topics,
		len(took), took[len(took)/2], took[len(took)*99/100], takes[len(takes)/2], takes[len(takes)*99/100])
	if p := b.peers[1]; p.known == nil || p.known.topics != topics {
		t.Error("not all came")
	}
}
