package cluster

import (
	"bytes"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// rounds is nodes in step with each other, each with a phase of its own, whose frames
// take a millisecond.
type rounds struct {
	*fakeMesh
	n      wire.NodeID
	now    time.Duration
	paused wire.NodeID
	ticks  map[wire.NodeID]int
	writes map[[2]wire.NodeID]int
	least  time.Duration // that some trust had left
	times  []time.Duration
}

func newRounds(t testing.TB, n int) *rounds {
	x := &rounds{fakeMesh: newFakeMesh(t, n), n: wire.NodeID(n)}
	for id, c := range x.cores {
		c.id = id
	}
	for a := range x.n {
		for b := range a {
			x.link(a+1, b+1)
		}
	}
	x.settle()
	for id, c := range x.cores { // as if they had come up one after the other
		for _, p := range c.peers {
			p.lease.askAt += time.Duration(id) * 37 * time.Millisecond
		}
		c.due = c.nextTick()
	}
	x.clear()
	return x
}

func (x *rounds) clear() {
	x.ticks, x.writes, x.least, x.times = map[wire.NodeID]int{}, map[[2]wire.NodeID]int{}, time.Hour, nil
}

// pass lets time go by, in milliseconds.
func (x *rounds) pass(d time.Duration) {
	for end := x.now + d; x.now < end; x.now += time.Millisecond {
		arrived := x.wires
		x.wires = map[[2]wire.NodeID][]wire.Frame{}
		for id, c := range x.cores {
			c.now += time.Millisecond
			for from := range x.n {
				if k := [2]wire.NodeID{from + 1, id}; id == x.paused {
					x.wires[k] = append(arrived[k], x.wires[k]...)
				} else {
					x.arrive(from+1, id, arrived[k])
				}
			}
			if id != x.paused && c.now >= c.due {
				x.ticks[id]++
				x.times = append(x.times, x.now)
				x.count(id, c.tick)
			}
			for other, p := range c.peers {
				if id != x.paused && other != x.paused {
					x.least = min(x.least, p.lease.trustedUntil-c.now)
				}
			}
		}
	}
}

func (x *rounds) arrive(from, to wire.NodeID, fs []wire.Frame) {
	for _, f := range fs {
		x.count(to, func() { x.receive(x.cores[to], from, to, bytes.Clone(f)) })
	}
}

// count makes a call and counts the writes that come of it.
func (x *rounds) count(id wire.NodeID, call func()) {
	call()
	for _, e := range x.cores[id].take() {
		x.writes[[2]wire.NodeID{min(id, e.to), max(id, e.to)}]++
	}
	x.do(id, func(*core) {})
}

// Nodes that began to ask at different times end up with one round in 250 ms for all, in
// which two nodes write three times.
func TestAllNodesAskInOneRound(t *testing.T) {
	x := newRounds(t, 10)
	x.pass(5 * time.Second)
	x.clear()
	x.pass(10 * time.Second)
	for id, n := range x.ticks {
		if n > 41 {
			t.Errorf("node %d woke %d times in 40 rounds", id, n)
		}
	}
	for pair, n := range x.writes {
		if n > 3*41 {
			t.Errorf("nodes %v wrote %d times in 40 rounds, want three a round", pair, n)
		}
	}
	for i := 1; i < len(x.times); i++ {
		if d := x.times[i] - x.times[i-1]; d > 5*time.Millisecond && d < lanTiming.ask-20*time.Millisecond {
			t.Fatalf("nodes woke %v after each other, want them together", d)
		}
	}
	if want := lanTiming.lease - lanTiming.ask - 20*time.Millisecond; x.least < want {
		t.Errorf("some trust had %v left, want %v", x.least, want)
	}
}

// A node whose leader says nothing goes on without it.
func TestALeaderThatIsPausedHoldsNobodyUp(t *testing.T) {
	x := newRounds(t, 4)
	x.pass(2 * time.Second)
	for x.paused = range x.n {
		x.paused++
		x.pass(lanTiming.ask)
		x.clear()
		x.pass(3 * time.Second)
		if want := lanTiming.lease - lanTiming.ask - lanTiming.late() - 20*time.Millisecond; x.least < want {
			t.Errorf("with node %d paused some trust had %v left, want %v", x.paused, x.least, want)
		}
	}
	x.paused = 0
	x.pass(time.Second)
	x.clear()
	x.pass(time.Second)
	if x.least < lanTiming.lease/2 {
		t.Errorf("after the pauses some trust had %v left", x.least)
	}
}

// Whatever waits for time to pass is looked at soon, though idle nodes sleep.
func TestWhatWaitsIsTickedSoon(t *testing.T) {
	for name, wait := range map[string]func(x *rounds, c *core){
		"a join": func(x *rounds, c *core) {
			c.whenInForce(c.setInterest(wire.Topic{Namespace: "/", Room: "r"}, true), func() {})
		},
		"a link that is full": func(x *rounds, c *core) { c.refused(2, 1, 1) },
		"a break":             func(x *rounds, c *core) { c.linkDown(2, false) },
		"a new link":          func(x *rounds, c *core) { c.linkUp(2) },
		"a new member":        func(x *rounds, c *core) { c.member(99) },
	} {
		x := newRounds(t, 2)
		c := x.cores[1]
		c.tick()
		if c.due < c.now+tickEvery+1 {
			t.Fatalf("%s: an idle node ticks after %v", name, c.due-c.now)
		}
		wait(x, c)
		if c.due > c.now+tickEvery {
			t.Errorf("%s: tick in %v, want %v", name, c.due-c.now, tickEvery)
		}
	}
}
