//go:build linux

package torture

import (
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/meshrt/meshrt/cluster/netlab"
)

// trial is one fault, and the calm that follows.
type trial struct {
	w      *world
	r      *rand.Rand
	row    *row
	began  time.Time
	paused *node
	// deadly tells which nodes may take which for dead; nil: none.
	deadly  func(at, of int) bool
	starved time.Duration // the longest that this machine let the test wait
}

// fault does something to nodes or lines, and heals it before it returns. What
// it may cause it says first.
type fault struct {
	name  string
	takes time.Duration // about, with the calm
	long  bool          // for long runs only
	do    func(t *trial)
}

var faults = []fault{
	{"kill -9, back in 0.3 s", 6 * time.Second, false, func(t *trial) { t.kill(300 * time.Millisecond) }},
	{"kill -9, back in 6 s", 10 * time.Second, false, func(t *trial) { t.kill(6 * time.Second) }},
	{"kill -9 at 5 % loss, 40 ms", 12 * time.Second, false, (*trial).killInRain},
	{"SIGTERM and restart", 6 * time.Second, false, (*trial).stop},
	{"SIGSTOP 2 s", 5 * time.Second, false, func(t *trial) { t.freeze(2 * time.Second) }},
	{"SIGSTOP 15 s", 20 * time.Second, false, func(t *trial) { t.freeze(15 * time.Second) }},
	{"partition 2 s", 5 * time.Second, false, func(t *trial) { t.partition(2 * time.Second) }},
	{"partition 30 s", 36 * time.Second, false, func(t *trial) { t.partition(30 * time.Second) }},
	{"restart while parted, 15 s", 20 * time.Second, false, (*trial).restartParted},
	{"partition 2 min", 130 * time.Second, true, func(t *trial) { t.partition(2 * time.Minute) }},
	{"a node is not heard, 8 s", 13 * time.Second, false, (*trial).mute},
	{"one way of a pair cut, 8 s", 11 * time.Second, false, (*trial).oneWay},
	{"loss 5 %", 8 * time.Second, false, func(t *trial) { t.weather(6*time.Second, netlab.Rule{Loss: 0.05}) }},
	{"loss 20 %", 10 * time.Second, false, func(t *trial) { t.weather(8*time.Second, netlab.Rule{Loss: 0.2}) }},
	{"loss 20 %, 1 min", 63 * time.Second, true, func(t *trial) { t.weather(time.Minute, netlab.Rule{Loss: 0.2}) }},
	{"doubled, overtaking", 7 * time.Second, false, func(t *trial) {
		t.weather(5*time.Second, netlab.Rule{Duplicate: 0.1, Delay: 5 * time.Millisecond, Jitter: 30 * time.Millisecond})
	}},
	{"150 ms round trip", 8 * time.Second, false, func(t *trial) { t.weather(6*time.Second, netlab.Rule{Delay: 75 * time.Millisecond}) }},
	{"a node at 8 KB/s", 9 * time.Second, false, (*trial).throttle},
	{"a node's lines flap, 200 ms", 9 * time.Second, false, (*trial).flap},
	{"a node's UDP blocked", 10 * time.Second, false, (*trial).blockUDP},
}

func (t *trial) node() *node { return t.w.nodes[t.r.IntN(len(t.w.nodes))] }

// mayKill says whom nodes may take for dead.
func (t *trial) mayKill(deadly func(at, of int) bool) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.deadly = deadly
}

// known is the promise for how soon all nodes know of a crash.
const known = 5 * time.Second

// request is the promise for a question to the whole cluster while a node is dead.
const request = time.Second

func (t *trial) kill(away time.Duration) {
	n := t.node()
	gone := n.run.Load()
	start := time.Now()
	n.kill()
	t.ask(n)
	back := time.Until(start.Add(away))
	if t.w.until(start.Add(min(away, known)), func() bool { return t.w.knowsNot(gone) }) {
		t.row.known = max(t.row.known, time.Since(start))
	} else if away > known {
		t.w.problem("kill -9 of %s was not known to all after %v", n.name, known)
	}
	time.Sleep(min(back, time.Until(start.Add(away))))
	n.start()
}

func (t *trial) killInRain() {
	t.w.lab.All(netlab.Rule{Loss: 0.05, Delay: 20 * time.Millisecond})
	t.kill(6 * time.Second)
	t.w.lab.All(netlab.Rule{})
}

// ask asks the cluster while n is dead: the answer comes at once and says who is
// missing.
func (t *trial) ask(n *node) {
	var answer struct {
		Missing []struct{ Node, Reason string }
	}
	other := t.w.nodes[(n.i+1)%len(t.w.nodes)]
	start := time.Now()
	err := other.get("/api/sockets", &answer)
	took := time.Since(start)
	t.row.asked = max(t.row.asked, took)
	missing := false
	for _, m := range answer.Missing {
		missing = missing || m.Node == n.name
	}
	if err != nil || took > request || !missing {
		t.w.problem("/api/sockets after kill -9 of %s took %v: missing %v, %v", n.name, took, answer.Missing, err)
	}
}

func (t *trial) stop() {
	n := t.node()
	n.stop()
	n.start()
}

func (t *trial) freeze(d time.Duration) {
	n := t.node()
	t.w.mu.Lock()
	t.paused = n
	if d > detection {
		t.deadly = func(at, of int) bool { return at == n.i || of == n.i }
	}
	t.w.mu.Unlock()
	n.signal(syscall.SIGSTOP)
	time.Sleep(d)
	n.signal(syscall.SIGCONT)
}

// partition cuts two nodes off from three.
func (t *trial) partition(d time.Duration) {
	side := map[int]bool{}
	for _, i := range t.r.Perm(len(t.w.nodes))[:2] {
		side[i] = true
	}
	if d > detection {
		t.mayKill(func(at, of int) bool { return side[at] != side[of] })
	}
	t.w.lab.Part(side)
	time.Sleep(d)
	t.w.lab.All(netlab.Rule{})
}

// restartParted starts a node again while it and another are cut off: it does not
// know the three, nor they it.
func (t *trial) restartParted() {
	p := t.r.Perm(len(t.w.nodes))
	side := map[int]bool{p[0]: true, p[1]: true}
	t.mayKill(func(at, of int) bool { return side[at] != side[of] })
	t.w.lab.Part(side)
	time.Sleep(2 * time.Second)
	t.w.nodes[p[0]].kill()
	t.w.nodes[p[0]].start()
	time.Sleep(13 * time.Second)
	t.w.lab.All(netlab.Rule{})
}

// mute lets a node hear the others, who do not hear it.
func (t *trial) mute() {
	n := t.node()
	t.mayKill(func(at, of int) bool { return at == n.i || of == n.i })
	for i := range t.w.nodes {
		t.w.lab.Set(n.i, i, netlab.Rule{Cut: true})
	}
	time.Sleep(8 * time.Second)
	t.w.lab.All(netlab.Rule{})
}

// oneWay cuts one direction of one pair: gossip still reaches both by way of
// the others, so nobody is dead, and all that is published meanwhile arrives.
func (t *trial) oneWay() {
	p := t.r.Perm(len(t.w.nodes))
	t.w.lab.Set(p[0], p[1], netlab.Rule{Cut: true})
	time.Sleep(8 * time.Second)
	t.w.lab.All(netlab.Rule{})
}

func (t *trial) weather(d time.Duration, r netlab.Rule) {
	t.w.lab.All(r)
	time.Sleep(d)
	t.w.lab.All(netlab.Rule{})
}

func (t *trial) throttle() {
	t.w.lab.Around(t.node().i, netlab.Rule{BytesPerSec: 8000})
	time.Sleep(6 * time.Second)
	t.w.lab.All(netlab.Rule{})
}

func (t *trial) flap() {
	n := t.node()
	for range 15 {
		t.w.lab.Around(n.i, netlab.Rule{Cut: true})
		time.Sleep(200 * time.Millisecond)
		t.w.lab.Around(n.i, netlab.Rule{})
		time.Sleep(200 * time.Millisecond)
	}
}

func (t *trial) blockUDP() {
	t.w.lab.Around(t.node().i, netlab.Rule{BlockUDP: true})
	time.Sleep(8 * time.Second)
	t.w.lab.All(netlab.Rule{})
}
