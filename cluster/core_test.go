package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// fakeMesh drives cores by hand: frames wait in a queue per direction until the
// test delivers them, so that every schedule can be had.
type fakeMesh struct {
	t     testing.TB
	cores map[wire.NodeID]*core
	wires map[[2]wire.NodeID][]wire.Frame
	got   map[wire.NodeID][]*wire.Message
	seen  map[[3]uint64]bool // receiver, origin, number
}

func newFakeMesh(t testing.TB, n int) *fakeMesh {
	x := &fakeMesh{t: t, cores: map[wire.NodeID]*core{}, wires: map[[2]wire.NodeID][]wire.Frame{}, got: map[wire.NodeID][]*wire.Message{}, seen: map[[3]uint64]bool{}}
	for id := wire.NodeID(1); id <= wire.NodeID(n); id++ {
		x.cores[id] = newCore()
		x.cores[id].settle()
	}
	return x
}

// do makes a call on a core and puts its frames on the wires.
func (x *fakeMesh) do(id wire.NodeID, call func(c *core)) {
	call(x.cores[id])
	var done []func()
	for _, e := range x.cores[id].take() {
		if e.done != nil {
			done = append(done, e.done)
			continue
		}
		r := wire.NewReader(bytes.NewReader(e.frame))
		for f, err := r.Next(); err == nil; f, err = r.Next() {
			x.wires[[2]wire.NodeID{id, e.to}] = append(x.wires[[2]wire.NodeID{id, e.to}], f)
		}
	}
	x.cores[id].applied()
	for _, f := range done {
		f()
	}
}

func (x *fakeMesh) link(a, b wire.NodeID) {
	x.do(a, func(c *core) { c.linkUp(b) })
	x.do(b, func(c *core) { c.linkUp(a) })
}

// cut loses what is on the way.
func (x *fakeMesh) cut(a, b wire.NodeID) {
	delete(x.wires, [2]wire.NodeID{a, b})
	delete(x.wires, [2]wire.NodeID{b, a})
	x.do(a, func(c *core) { c.linkDown(b) })
	x.do(b, func(c *core) { c.linkDown(a) })
}

// step delivers the oldest frame from a to b.
func (x *fakeMesh) step(a, b wire.NodeID) bool {
	k := [2]wire.NodeID{a, b}
	if len(x.wires[k]) == 0 {
		return false
	}
	f := x.wires[k][0]
	x.wires[k] = x.wires[k][1:]
	x.do(b, func(c *core) { x.receive(c, a, b, f) })
	return true
}

func (x *fakeMesh) receive(c *core, from, at wire.NodeID, f wire.Frame) {
	switch f.Kind() {
	case wire.KindSync:
		s, _ := wire.DecodeSync(f)
		c.sync(from, s)
	case wire.KindInterest:
		i, _ := wire.DecodeInterest(f)
		c.interest(from, i)
	case wire.KindIntAck:
		v, _ := wire.DecodeNumber(f, wire.KindIntAck)
		c.intAck(from, v)
	case wire.KindData:
		m, err := wire.DecodeData(f, from)
		if err != nil {
			x.t.Fatal(err)
		}
		if c.accept(from, m.Seq) {
			x.got[at] = append(x.got[at], m)
			x.seen[[3]uint64{uint64(at), uint64(from), m.Seq}] = true
		}
	}
}

func (x *fakeMesh) settle() {
	for moved := true; moved; {
		moved = false
		for _, k := range slices.SortedFunc(maps.Keys(x.wires), func(a, b [2]wire.NodeID) int { return int(a[0]*100+a[1]) - int(b[0]*100+b[1]) }) {
			moved = x.step(k[0], k[1]) || moved
		}
	}
}

func (x *fakeMesh) publish(id wire.NodeID, room string) *wire.Message {
	m := &wire.Message{Namespace: "/", Payload: fmt.Appendf(nil, `["e",%d]`, id)}
	if room != "" {
		m.Rooms = []string{room}
	}
	x.do(id, func(c *core) { c.publish(m) })
	return m
}

// join says interest in a room and tells in the result when it is in force.
func (x *fakeMesh) join(id wire.NodeID, room string) *bool {
	in := new(bool)
	x.do(id, func(c *core) {
		v := c.setInterest(wire.Topic{Namespace: "/", Room: room}, true)
		c.whenInForce(v, func() { *in = true })
	})
	return in
}

func TestMessagesGoOnlyToNodesWithMembers(t *testing.T) {
	x := newFakeMesh(t, 4)
	for _, p := range [][2]wire.NodeID{{1, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 4}} {
		x.link(p[0], p[1])
	}
	x.join(2, "a")
	x.join(3, "b")
	x.join(4, "")
	x.settle()
	x.publish(1, "a")
	for id, want := range map[wire.NodeID]int{2: 1, 3: 0, 4: 0} {
		if got := len(x.wires[[2]wire.NodeID{1, id}]); got != want {
			t.Errorf("room a: node %d gets %d frames, want %d", id, got, want)
		}
	}
	x.settle()
	x.publish(1, "") // everyone in the namespace
	for id, want := range map[wire.NodeID]int{2: 0, 3: 0, 4: 1} {
		if got := len(x.wires[[2]wire.NodeID{1, id}]); got != want {
			t.Errorf("namespace: node %d gets %d frames, want %d", id, got, want)
		}
	}
	x.settle()
	x.publish(1, string(wire.NewSessionID(3))) // a session needs no interest
	for id, want := range map[wire.NodeID]int{2: 0, 3: 1, 4: 0} {
		if got := len(x.wires[[2]wire.NodeID{1, id}]); got != want {
			t.Errorf("session of node 3: node %d gets %d frames, want %d", id, got, want)
		}
	}
}

func TestJoinIsInForceOnlyWhenEveryLinkedPeerHasAcknowledged(t *testing.T) {
	x := newFakeMesh(t, 3)
	x.link(1, 2)
	x.link(1, 3)
	x.settle()
	in := x.join(1, "r")
	x.step(1, 2)
	x.step(2, 1)
	if *in {
		t.Fatal("in force although node 3 has not heard of it")
	}
	x.step(1, 3)
	if *in {
		t.Fatal("in force although node 3 has not answered")
	}
	x.step(3, 1)
	if !*in {
		t.Error("not in force although all have acknowledged")
	}
}

func TestJoinDoesNotWaitForANodeThatIsGone(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.link(1, 2)
	x.settle()
	in := x.join(1, "r")
	if *in {
		t.Fatal("in force at once")
	}
	x.cut(1, 2)
	if !*in {
		t.Error("still waiting for a node without a link")
	}
}

func TestJoinDuringLinkUpWaitsForTheNewPeer(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.link(1, 2) // nothing delivered yet
	in := x.join(1, "r")
	if *in {
		t.Fatal("in force before the new peer has the interest")
	}
	x.settle()
	if !*in {
		t.Error("not in force")
	}
	x.publish(2, "r")
	x.settle()
	if len(x.got[1]) != 1 {
		t.Errorf("got %d messages, want 1", len(x.got[1]))
	}
}

func TestJoinBeforeTheNodeHasSettledWaits(t *testing.T) {
	x := newFakeMesh(t, 1)
	x.cores[1] = newCore()
	in := x.join(1, "r")
	if *in {
		t.Fatal("in force while the node starts")
	}
	x.do(1, func(c *core) { c.settle() })
	if !*in {
		t.Error("not in force after settle")
	}
}

func TestDataWaitsForTheInterestOfThePeer(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.publish(1, "r") // the SYNC of 2 is still on its way
	for _, f := range x.wires[[2]wire.NodeID{1, 2}] {
		if f.Kind() == wire.KindData {
			t.Error("data before the peer's SYNC")
		}
	}
}

// TestReconnectedPeerGetsNothingBeforeItsSync: what it wanted on the last link
// it may not want any more, and its frontier is not known.
func TestReconnectedPeerGetsNothingBeforeItsSync(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	x.cut(1, 2)
	x.link(1, 2)
	x.publish(1, "r")
	for _, f := range x.wires[[2]wire.NodeID{1, 2}] {
		if f.Kind() == wire.KindData {
			t.Error("data before the peer's SYNC")
		}
	}
}

func TestReconnectBringsTheWholeInterest(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "stale")
	x.link(1, 2)
	x.settle()
	x.cut(1, 2)
	x.do(2, func(c *core) { c.setInterest(wire.Topic{Namespace: "/", Room: "stale"}, false) })
	x.join(2, "fresh")
	x.link(1, 2)
	x.settle()
	x.publish(1, "stale")
	x.publish(1, "fresh")
	x.settle()
	if len(x.got[2]) != 1 || x.got[2][0].Rooms[0] != "fresh" {
		t.Errorf("got %v, want the message to fresh alone", x.got[2])
	}
}

// TestManyWaitsCostLittleEach: a stalled peer collects joins, and its recovery
// must not stop the node while they end.
func TestManyWaitsCostLittleEach(t *testing.T) {
	c := newCore()
	c.settle()
	c.linkUp(2)
	c.sync(2, wire.Sync{})
	const count = 200_000
	ended := 0
	for range count {
		v := c.setInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		c.whenInForce(v, func() { ended++ })
		c.applied()
	}
	for v := range uint64(count) {
		c.intAck(2, v+1)
		for _, e := range c.take() {
			e.done()
		}
		c.applied()
	}
	if ended != count || len(c.waits) != 0 {
		t.Errorf("%d of %d ended, %d left", ended, count, len(c.waits))
	}
}

func TestDuplicateMessagesAreDropped(t *testing.T) {
	c := newCore()
	for _, tt := range []struct {
		seq  uint64
		want bool
	}{{1, true}, {1, false}, {5, true}, {4, false}, {5, false}, {6, true}} {
		if got := c.accept(7, tt.seq); got != tt.want {
			t.Errorf("accept(%d) = %v, want %v", tt.seq, got, tt.want)
		}
	}
	c.linkUp(7)
	c.linkDown(7)
	if c.accept(7, 6) {
		t.Error("a new link forgot the frontier")
	}
}

func TestFramesForAPeerThatIsNotLinkedAreIgnored(t *testing.T) {
	c := newCore()
	c.sync(9, wire.Sync{Version: 3, Topics: []wire.Topic{{Namespace: "/", Room: "r"}}})
	c.interest(9, wire.Interest{Version: 4, On: true})
	c.intAck(9, 99)
	if e := c.take(); len(e) != 0 {
		t.Errorf("effects %v, want none", e)
	}
}

// TestRandomSchedules: whatever the order of joins, leaves, publishes, breaks
// of links and deliveries, a message published after a join was in force is
// delivered once and in order, as long as no link breaks in between.
func TestRandomSchedules(t *testing.T) {
	delivered := 0
	for seed := range uint64(60) {
		delivered += schedule(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
	if delivered < 10_000 {
		t.Errorf("%d messages were promised in all runs: the test tests nothing", delivered)
	}
}

func schedule(t *testing.T, r *rand.Rand, seed uint64) (promised int) {
	const nodes, rooms = 4, 3
	x := newFakeMesh(t, nodes)
	node := func() wire.NodeID { return wire.NodeID(1 + r.IntN(nodes)) }
	up := map[[2]wire.NodeID]bool{}
	pair := func() [2]wire.NodeID {
		a, b := node(), node()
		for a == b {
			b = node()
		}
		return [2]wire.NodeID{min(a, b), max(a, b)}
	}
	type member struct {
		id   wire.NodeID
		room string
	}
	in := map[member]*bool{}
	type promise struct {
		at, origin wire.NodeID
		seq        uint64
		room       string
	}
	promises := map[promise]bool{}
	// drop takes back what was promised and has not arrived yet.
	drop := func(which func(promise) bool) {
		for p := range promises {
			if which(p) && !x.seen[[3]uint64{uint64(p.at), uint64(p.origin), p.seq}] {
				delete(promises, p)
			}
		}
	}
	for range 600 {
		switch k := r.IntN(100); {
		case k < 50:
			for range r.IntN(30) { // most picks find nothing on that wire
				x.step(node(), node())
			}
		case k < 75:
			from, room := node(), fmt.Sprint("r", r.IntN(rooms))
			m := x.publish(from, room)
			for at := wire.NodeID(1); at <= nodes; at++ {
				if f := in[member{at, room}]; at != from && f != nil && *f && up[[2]wire.NodeID{min(at, from), max(at, from)}] {
					promises[promise{at, from, m.Seq, room}] = true
				}
			}
		case k < 85:
			m := member{node(), fmt.Sprint("r", r.IntN(rooms))}
			if in[m] == nil {
				in[m] = x.join(m.id, m.room)
			} else if *in[m] {
				delete(in, m)
				x.do(m.id, func(c *core) { c.setInterest(wire.Topic{Namespace: "/", Room: m.room}, false) })
				drop(func(p promise) bool { return p.at == m.id && p.room == m.room })
			}
		case k < 99:
			if p := pair(); !up[p] {
				up[p] = true
				x.link(p[0], p[1])
				for m, f := range in { // a new peer may not know of a member yet
					if (m.id == p[0] || m.id == p[1]) && *f {
						*f = false
						x.do(m.id, func(c *core) { c.whenInForce(c.version, func() { *f = true }) })
					}
				}
			}
		default:
			if p := pair(); up[p] {
				up[p] = false
				drop(func(q promise) bool { return q.at == p[0] && q.origin == p[1] || q.at == p[1] && q.origin == p[0] })
				x.cut(p[0], p[1])
			}
		}
	}
	x.settle()
	have := map[promise]int{}
	for at, ms := range x.got {
		last := map[wire.NodeID]uint64{}
		for _, m := range ms {
			have[promise{at, m.Origin, m.Seq, m.Rooms[0]}]++
			if m.Seq <= last[m.Origin] {
				t.Fatalf("seed %d: node %d got %d of node %d after %d", seed, at, m.Seq, m.Origin, last[m.Origin])
			}
			last[m.Origin] = m.Seq
		}
	}
	for p := range promises {
		if have[p] != 1 {
			t.Fatalf("seed %d: node %d got message %d of node %d %d times", seed, p.at, p.seq, p.origin, have[p])
		}
	}
	return len(promises)
}
