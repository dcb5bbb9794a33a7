package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// fakeMesh drives cores by hand: frames wait in a queue per direction until the
// test delivers them, so that every schedule can be had.
type fakeMesh struct {
	t     testing.TB
	cores map[wire.NodeID]*core
	wires map[[2]wire.NodeID][]wire.Frame
	got   map[wire.NodeID][]*wire.Message
}

func newFakeMesh(t testing.TB, n int) *fakeMesh {
	x := &fakeMesh{t: t, cores: map[wire.NodeID]*core{}, wires: map[[2]wire.NodeID][]wire.Frame{}, got: map[wire.NodeID][]*wire.Message{}}
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
	x.do(a, func(c *core) { c.linkDown(b, false) })
	x.do(b, func(c *core) { c.linkDown(a, false) })
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
	if f.Kind() == wire.KindGap {
		g, _ := wire.DecodeGap(f)
		c.gap(from, g)
		return
	}
	if f.Kind() != wire.KindData {
		control(c, from, f)
		return
	}
	m, err := wire.DecodeData(f, from)
	if err != nil {
		x.t.Fatal(err)
	}
	if c.accept(c.peer(from), m.Flags.Stream(), m.Seq) {
		x.got[at] = append(x.got[at], m)
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

// sleep lets time pass at all nodes, at once.
func (x *fakeMesh) sleep(d time.Duration) {
	for id, c := range x.cores {
		c.now += d
		x.do(id, func(c *core) { c.tick() })
	}
}

// publishOne is what the owner does, but for the time.
func (c *core) publishOne(m *wire.Message) []wire.NodeID { return c.publish(m, c.writer.Run(m)) }

func (x *fakeMesh) publish(id wire.NodeID, room string) *wire.Message {
	m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/"}, Payload: fmt.Appendf(nil, `["e",%d]`, id)}
	if room != "" {
		m.Rooms = []string{room}
	}
	x.do(id, func(c *core) { c.publishOne(m) })
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

// A node without a link may still trust what it was told last, for as long as
// it was promised.
func TestJoinWaitsForAPromiseAndThenForNobody(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.link(1, 2)
	x.settle()
	in := x.join(1, "r")
	x.cut(1, 2)
	x.sleep(lanTiming.lease)
	if *in {
		t.Fatal("in force although node 2 may trust the old interest")
	}
	x.sleep(lanTiming.slack + time.Millisecond)
	if !*in {
		t.Error("still waiting for a node without a link")
	}
}

// What is published while a link is cut waits for it, as far as it is wanted.
func TestMessagesOutliveABreakOfTheLink(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	x.publish(1, "r")
	x.cut(1, 2) // it is on its way
	x.publish(1, "r")
	x.sleep(2 * time.Second)
	x.publish(1, "r")
	x.publish(1, "nobody")
	x.link(1, 2)
	x.settle()
	if got := numbers(x.got[2]); fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("got %v, want [1 2 3]", got)
	}
}

// Of a peer that was down for a moment nothing is known any more, so there is nothing to trust: what is published
// before its next SYNC waits for that.
func TestAPeerThatWasDownForAMomentIsNotTrusted(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	x.publish(1, "r")
	x.settle()
	x.cut(1, 2)
	x.do(1, func(c *core) { c.down(2); c.member(2) })
	x.publish(1, "r")
	x.link(1, 2)
	x.settle()
	if got := numbers(x.got[2]); len(got) != 2 {
		t.Errorf("got %v, want [1 2]", got)
	}
}

// A question may be answered late: the answer is about that time.
func TestAnAnswerBeforeTheSyncOfItsLinkMeansNothing(t *testing.T) {
	c := newCore()
	c.settle()
	c.now = time.Second
	c.linkUp(2)
	c.granted(2, uint64(c.now), wire.Frontiers{})
	if c.peers[2].trusted(c) {
		t.Error("trusted before SYNC")
	}
	c.sync(2, wire.Sync{Version: 1, Topics: []wire.Topic{{Namespace: "/", Room: "r"}}})
	c.granted(2, uint64(c.now-1), wire.Frontiers{})
	if c.peers[2].trusted(c) {
		t.Error("trusted by an answer to a question of an earlier link")
	}
	c.granted(2, uint64(c.now+1), wire.Frontiers{})
	if c.peers[2].trusted(c) {
		t.Error("trusted by an answer to a question that was never asked")
	}
	c.granted(2, uint64(c.now), wire.Frontiers{})
	if !c.peers[2].trusted(c) {
		t.Error("not trusted by an answer")
	}
	c.now += lanTiming.lease
	if c.peers[2].trusted(c) {
		t.Error("trusted for longer than the lease")
	}
}

// A link that is full takes back what it refused, and what comes behind it.
func TestAFullLinkGoesOnWhereItStopped(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	c := x.cores[1]
	for range 5 {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: []byte(`["e"]`)})
	}
	c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: wire.Volatile}, Payload: []byte(`["e"]`)})
	c.refused(2, mesh.LaneNormal, 3)
	c.effects = slices.DeleteFunc(c.effects, func(e effect) bool { return e.seq >= 3 || e.seq == 0 })
	x.do(1, func(c *core) {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: []byte(`["e"]`)})
	})
	x.settle()
	if got := numbers(x.got[2]); fmt.Sprint(got) != "[1 2]" {
		t.Fatalf("got %v, want [1 2]", got)
	}
	x.do(1, func(c *core) {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: wire.Volatile}, Payload: []byte(`["e"]`)})
	})
	x.sleep(tickEvery)
	x.settle()
	if got := numbers(x.got[2]); fmt.Sprint(got) != "[1 2 3 4 5 7]" || c.counts.volatile != 1 {
		t.Errorf("got %v, %d volatile ones dropped, want [1 2 3 4 5 7] and 1", got, c.counts.volatile)
	}
}

func numbers(ms []*wire.Message) (seqs []uint64) {
	for _, m := range ms {
		seqs = append(seqs, m.Seq)
	}
	return seqs
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
	c.asked(2, 1, wire.Frontiers{}) // promised: joins wait for it
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
		if got := c.accept(c.peer(7), wire.StreamNormal, tt.seq); got != tt.want {
			t.Errorf("accept(%d) = %v, want %v", tt.seq, got, tt.want)
		}
	}
	c.linkUp(7)
	c.linkDown(7, false)
	if c.accept(c.peer(7), wire.StreamNormal, 6) {
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
