package once

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// world is some nodes, the links between them, and a client that tries one key at several of
// them, in virtual time. All that happens comes from the seed.
type world struct {
	rng       *rand.Rand
	now       time.Duration
	queue     events
	count     int
	nodes     []*simNode
	latency   map[[2]int]time.Duration // of a pair, smaller first
	last      map[[2]int]time.Duration // when the last notice on a link arrives, from and to
	cut       [2]int                   // a pair, smaller first
	cutFrom   time.Duration
	cutTo     time.Duration
	published []*publication
	tries     int // of nodes that live, and their answers
	answers   int
	against   bool // a node published though a living one had said that it does
	trace     []string
}

type publication struct {
	by     int
	unsure bool
	seen   map[int]bool // by whose clients
}

type simNode struct {
	w       *world
	i       int
	id      wire.NodeID
	table   *Table
	dead    bool
	linked  map[int]bool
	round   int // of the try
	waiting int // tries of this node that wait for that one
	start   time.Duration
	left    map[int]bool // nodes that have not answered
	mine    map[int]bool // nodes whose last word was that they publish
}

type event struct {
	at time.Duration
	n  int
	do func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.queue, event{w.now + d, w.count, do})
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d))) }

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8v ", w.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// arrives is when what leaves now gets from one node to another.
func (w *world) arrives(a, b int) time.Duration {
	at := w.now + w.latency[pair(a, b)] + w.upTo(3*time.Millisecond)
	if pair(a, b) == w.cut && at >= w.cutFrom && at < w.cutTo {
		at = w.cutTo + w.upTo(5*time.Millisecond)
	}
	return at
}

var (
	simKey  = KeyOf("/", "key")
	simHash = Hash{1}
)

// newWorld draws a run: cuts of up to long.
func newWorld(seed uint64, broken rule, long time.Duration) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), latency: map[[2]int]time.Duration{}, last: map[[2]int]time.Duration{}}
	count := 2 + w.rng.IntN(3)
	for i := range count {
		id := wire.NodeID(100 + i)
		n := &simNode{w: w, i: i, id: id, table: New(Config{ID: id}), linked: map[int]bool{}}
		n.table.broken = broken
		for k := range count {
			if k != i {
				n.linked[k] = true
				w.latency[pair(i, k)] = []time.Duration{time.Millisecond, 10 * time.Millisecond, 400 * time.Millisecond}[w.rng.IntN(3)]
			}
		}
		w.nodes = append(w.nodes, n)
	}
	span := []time.Duration{10 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second}[w.rng.IntN(3)]
	for range 2 + w.rng.IntN(3) {
		n := w.nodes[w.rng.IntN(count)]
		w.after(w.upTo(span), n.begin)
	}
	if w.rng.IntN(2) == 0 {
		w.after(w.upTo(span+500*time.Millisecond), w.nodes[w.rng.IntN(count)].kill)
	}
	if w.rng.IntN(2) == 0 {
		w.cut = pair(0, 1+w.rng.IntN(count-1))
		w.cutFrom = w.upTo(span)
		w.cutTo = w.cutFrom + w.upTo(long)
	}
	return w
}

func (w *world) run() {
	for w.queue.Len() > 0 && w.now < 30*time.Second {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
}

func (n *simNode) begin() {
	if n.dead {
		return
	}
	v := n.table.Begin(simKey, simHash, n.w.now)
	n.w.log("node %d: tries, %d", n.i, v)
	n.w.tries++
	switch v {
	case Ask:
		n.start, n.mine = n.w.now, map[int]bool{}
		n.ask()
	case Underway:
		n.waiting++
	default:
		n.w.answers++
	}
}

// ask is one round.
func (n *simNode) ask() {
	if n.dead || n.table.tries[simKey] == nil {
		return
	}
	n.round++
	round, claim := n.round, n.table.Claim(simKey)
	n.table.Round(simKey)
	n.left = map[int]bool{}
	for k, other := range n.w.nodes {
		if k == n.i {
			continue
		}
		n.left[k] = true
		n.w.after(n.w.arrives(n.i, k)-n.w.now, func() { other.asked(n, round, claim) })
	}
	n.w.after(Patience, func() {
		if n.is(round) {
			for k := range n.left {
				n.table.Silent(simKey, n.w.nodes[k].id)
			}
			n.decide()
		}
	})
}

// is tells whether the node waits for the answers of that round.
func (n *simNode) is(round int) bool { return !n.dead && n.round == round && n.left != nil }

func (n *simNode) asked(by *simNode, round int, claim Claim) {
	w := n.w
	if n.dead { // which is found out by dials, when the link has ended
		w.after(300*time.Millisecond+w.upTo(300*time.Millisecond), func() {
			if by.linked[n.i] {
				n.asked(by, round, claim)
			} else {
				by.answered(n, round, Reply{}, false)
			}
		})
		return
	}
	r := n.table.Asked(by.id, claim, w.now, func(id wire.NodeID) bool { return n.linked[int(id)-100] })
	w.log("node %d: asked by %d: %+v", n.i, by.i, r)
	w.after(w.arrives(n.i, by.i)-w.now, func() { by.answered(n, round, r, true) })
}

func (n *simNode) answered(of *simNode, round int, r Reply, is bool) {
	if !n.is(round) || !n.left[of.i] {
		return
	}
	delete(n.left, of.i)
	n.mine[of.i] = r.Mine
	if is {
		n.table.Answered(simKey, of.id, r)
	} else {
		n.table.Gone(simKey, of.id)
	}
	if r.Done || len(n.left) == 0 {
		n.decide()
	}
}

func (n *simNode) decide() {
	w := n.w
	n.left = nil
	v := n.table.Decide(simKey, w.now-n.start < Patience, w.now)
	w.log("node %d: decides %d", n.i, v)
	switch {
	case v == Publish || v == Unsure:
		for k, mine := range n.mine {
			w.against = w.against || mine && !w.nodes[k].dead
		}
		w.after(w.upTo(5*time.Millisecond), func() { n.publish(v == Unsure) })
	case v == Again && w.now-n.start < Bound:
		round := n.round
		w.after(20*time.Millisecond, func() {
			if n.round == round {
				n.ask()
			}
		})
	default:
		of := n.table.Claim(simKey).N
		n.end(false)
		if v == Again {
			n.tell(Notice{Key: simKey, Released: true, N: of}, nil)
		}
	}
}

func (n *simNode) publish(unsure bool) {
	if n.dead {
		return
	}
	n.w.log("node %d: publishes", n.i)
	p := &publication{by: n.i, unsure: unsure, seen: map[int]bool{n.i: true}}
	n.w.published = append(n.w.published, p)
	n.tell(Notice{Key: simKey, Hash: simHash}, p)
	n.end(true)
}

func (n *simNode) end(published bool) {
	n.table.End(simKey, published, Place{}, n.w.now)
	n.w.answers++
	again := n.waiting
	n.waiting = 0
	n.w.tries -= again
	for range again {
		n.w.after(0, n.begin)
	}
}

// tell sends a notice, and the message before it, to all, in order on each link.
func (n *simNode) tell(of Notice, p *publication) {
	w := n.w
	for k, other := range w.nodes {
		if k == n.i {
			continue
		}
		link := [2]int{n.i, k}
		w.last[link] = max(w.last[link], w.arrives(n.i, k)) + time.Microsecond
		w.after(w.last[link]-w.now, func() {
			if other.dead || !other.linked[n.i] {
				return // the end of the link was before it
			}
			if p != nil {
				p.seen[k] = true
			}
			other.table.Heard(n.id, of, Place{}, w.now)
		})
	}
}

// kill ends a node. Of what is on its links some arrives, and then their end.
func (n *simNode) kill() {
	n.w.log("node %d: killed", n.i)
	if n.table.tries[simKey] != nil {
		n.w.tries -= 1 + n.waiting
	}
	n.dead = true
	for k, other := range n.w.nodes {
		if k != n.i {
			rest := max(n.w.last[[2]int{n.i, k}]-n.w.now, 0) + n.w.latency[pair(n.i, k)]
			n.w.after(time.Duration(n.w.rng.Float64()*1.5*float64(rest)), func() { other.linked[n.i] = false })
		}
	}
}

// wrong says what is wrong with how a run ended.
func (w *world) wrong() string {
	seen, unsure := 0, false
	for _, p := range w.published {
		unsure = unsure || p.unsure
		for i := range p.seen {
			if !w.nodes[i].dead {
				seen++
				break
			}
		}
	}
	long := w.cutTo-w.cutFrom > short
	switch {
	case seen > 1 && !(unsure && long):
		return "published twice"
	case w.against:
		return "published against a word"
	case w.tries != w.answers:
		return fmt.Sprintf("%d of %d tries have no answer", w.tries-w.answers, w.tries)
	case w.answers > 0 && len(w.published) == 0:
		return "not published"
	}
	return ""
}

// simulate runs one seed. In every other run patience outlasts a cut, with any latency.
func simulate(seed uint64, broken rule) *world {
	w := newWorld(seed, broken, []time.Duration{short, 4 * time.Second}[seed%2])
	w.run()
	return w
}

const short = 100 * time.Millisecond

func TestNothingIsPublishedTwice(t *testing.T) {
	const seeds = 5000
	several := 0
	for seed := range uint64(seeds) {
		w := simulate(seed, 0)
		if wrong := w.wrong(); wrong != "" {
			for _, line := range w.trace {
				t.Log(line)
			}
			t.Fatalf("seed %d: %s", seed, wrong)
		}
		if w.answers > 1 {
			several++
		}
	}
	if several < seeds/2 {
		t.Errorf("only %d runs had more than one try", several)
	}
}

// Each rule that is broken makes some run go wrong. The search begins a little before a seed that did.
func TestEveryRuleIsNeeded(t *testing.T) {
	for name, tt := range map[string]struct {
		broken rule
		from   uint64
	}{"mine": {breakMine, 0}, "yield": {breakYield, 0}, "held": {breakHeld, 2800}, "claim": {breakClaim, 2800},
		"done": {breakDone, 0}, "silent": {breakSilent, 0}, "word": {breakWord, 3800}, "commit": {breakCommit, 0}} {
		seed := tt.from
		for simulate(seed, tt.broken).wrong() == "" {
			if seed++; seed == tt.from+100_000 {
				t.Fatalf("without the rule %s all is well", name)
			}
		}
		t.Logf("%s: seed %d", name, seed)
	}
}
