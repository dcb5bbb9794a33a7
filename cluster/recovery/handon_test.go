package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// bereft is a number of nodes of which 1 has died, with 50 sessions and 400 messages, and mirror speaks for it.
func bereft(t *testing.T, n int, cfg Config) (x *trio, mirror wire.NodeID) {
	x = newTrio(t, n, cfg)
	x.open(50, 400)
	x.pass(100 * time.Millisecond)
	x.kill(1)
	for id, m := range x.nodes {
		if id != 1 && m.speaksFor(1) {
			mirror = id
		}
	}
	if mirror == 0 || len(x.nodes[mirror].mirrors[1].sessions) != 50 {
		t.Fatalf("%v mirrors the dead node: that tests nothing", mirror)
	}
	return x, mirror
}

// heirs are those that speak for node 1.
func (t *trio) heirs() (ids []wire.NodeID) {
	for _, id := range sorted(t.nodes) {
		if id != 1 && t.nodes[id].speaksFor(1) {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestWhatIsHandedOnIsWhole(t *testing.T) {
	x, from := bereft(t, 4, Config{})
	old := x.nodes[from].mirrors[1]
	x.nodes[from].Drain()
	if x.nodes[from].Drained() {
		t.Error("drained before anybody else speaks for the dead one")
	}
	x.pass(time.Second)
	heirs := x.heirs()
	if len(heirs) != 2 || !x.nodes[from].Drained() {
		t.Fatalf("%v speak for the dead one, drained %v", heirs, x.nodes[from].Drained())
	}
	for _, id := range heirs {
		of := x.nodes[id].mirrors[1]
		if of.gen != old.gen || len(of.sessions) != 50 || of.log.heads() != old.log.heads() || of.log.bytes != old.log.bytes ||
			of.order.first != old.order.first || of.order.last() != old.order.last() || len(of.met) != len(old.met) || !of.closed {
			t.Errorf("node %v has other things than node %v had", id, from)
		}
		for k := range of.log.streams {
			if got, want := of.log.streams[k].dropped, old.log.streams[k].dropped; got != want {
				t.Errorf("node %v has left out up to %d of stream %d, want %d", id, got, k, want)
			}
		}
	}
}

// Frames that are lost are sent again, and who drains as well takes nothing.
func TestHandingOnGoesOnElsewhere(t *testing.T) {
	x, from := bereft(t, 4, Config{FrameEntries: 3})
	heir := x.nodes[from].heir(1)
	n := 0
	x.lose = func(f Frame) bool {
		switch f.(type) {
		case HandOn, HandedOn:
			n++
			return n%7 == 0
		}
		return false
	}
	x.nodes[from].Drain()
	x.pass(40 * time.Millisecond)
	if h := x.nodes[from].hands.now; h == nil || h.to != heir {
		t.Fatalf("under way is %+v, want it to %v", h, heir)
	}
	x.nodes[heir].Drain()
	x.lose = nil
	x.pass(3 * time.Second)
	if heirs := x.heirs(); len(heirs) != 2 || heirs[0] == heir || heirs[1] == heir || !x.nodes[from].Drained() || !x.nodes[heir].Drained() {
		t.Errorf("%v speak for the dead one, without %v; drained %v", heirs, heir, x.nodes[from].Drained())
	}
	if n == 0 {
		t.Error("that tests nothing")
	}
}

// Who mirrors as many dead nodes as he may takes no more, and nobody waits for him.
func TestAFullNodeInheritsNothing(t *testing.T) {
	x, from := bereft(t, 3, Config{Mirrors: 2})
	heir := x.nodes[from].heir(1)
	m := x.nodes[heir]
	for id := wire.NodeID(10); id < 12; id++ {
		m.peers[id] = &peer{down: true, since: m.now}
		m.mirrors[id] = &mirror{gen: 1}
	}
	x.nodes[from].Drain()
	x.pass(time.Second)
	if got := x.heirs(); len(got) != 1 || !x.nodes[from].Drained() || len(m.hands.taking) > 0 || m.Stats().Full != 1 {
		t.Errorf("%v speak for the dead one, drained %v, %d on their way", got, x.nodes[from].Drained(), len(m.hands.taking))
	}
}

// What is said to be handed on may make no sense.
func TestStrayPartsAreNotKept(t *testing.T) {
	x := newTrio(t, 3, Config{})
	m := x.nodes[2]
	for i, f := range []HandOn{
		{Origin: 2, Gen: 9, Part: Mirror{Reset: true}},                                                      // itself
		{Origin: 3, Gen: 9, Part: Mirror{Reset: true}},                                                      // it is alive
		{Origin: 7, Gen: 9, Part: Mirror{Epoch: 5, From: State{D: 7}}},                                      // in the midst
		{Origin: 7, Gen: 9, Whole: State{D: 9}, Part: Mirror{Epoch: 5, Reset: true}},                        // begins ...
		{Origin: 8, Gen: 9, Whole: State{D: 9}, Part: Mirror{Epoch: 6, From: State{D: 1}}},                  // ... and goes on as another one
		{Origin: 7, Gen: 9, Whole: State{D: 9}, Part: Mirror{Epoch: 5, From: State{D: 8}, To: State{D: 9}}}, // with a hole
	} {
		m.Frame(1, f)
		x.settle()
		if m.mirrors[f.Origin] != nil && m.mirrors[f.Origin].gen == 9 || m.peers[7] != nil || m.peers[8] != nil {
			t.Errorf("part %d: %v", i, fmt.Sprintf("%+v", f))
		}
	}
	m.Unlinked(1)
	if len(m.hands.taking) > 0 {
		t.Error("a part is kept whose sender is gone")
	}
}

// Who does not take the dead one for dead is told the beginning of it now and then, and not all again and again.
func TestWhatIsNotTakenIsNotSentInVain(t *testing.T) {
	x, from := bereft(t, 4, Config{FrameEntries: 1})
	heir := x.nodes[from].heir(1)
	x.nodes[heir].peers[1].down = false
	n := 0
	x.lose = func(f Frame) bool {
		if _, is := f.(HandOn); is {
			n++
		}
		return false
	}
	x.nodes[from].Drain()
	const times = 8
	x.pass(times * retryEvery)
	if n == 0 || n > times*maxFlight {
		t.Errorf("%d parts are sent in vain, want %d at most", n, times*maxFlight)
	}
	x.nodes[heir].peers[1].down = true
	x.pass(time.Second)
	if !x.nodes[heir].speaksFor(1) || !x.nodes[from].Drained() {
		t.Errorf("it speaks for the dead one %v, drained %v", x.nodes[heir].speaksFor(1), x.nodes[from].Drained())
	}
}

// What both had of a session is old when somebody has it: who speaks for the dead one, too, and was not asked for it.
func TestASessionThatHasMovedIsNobodysWhoHasInherited(t *testing.T) {
	x, from := bereft(t, 4, Config{})
	x.nodes[from].Drain()
	x.pass(time.Second)
	heirs := x.heirs()
	at := 9 - from - heirs[0] - heirs[1] + from // the one of 2, 3 and 4 that is none
	if len(heirs) != 2 || at < 2 || at > 4 {
		t.Fatalf("%v speak for the dead one", heirs)
	}
	m := x.nodes[at]
	m.Recover("pid0", x.last["pid0"])
	x.pass(time.Second)
	m.Join("pid0", "new")
	x.pass(time.Second)
	x.publish(at, "new")
	c := x.handed[at]
	m.End("pid0") // a gap, or it has outgrown
	x.pass(time.Second)
	x.nodes[heirs[1]].Recover("pid0", c)
	x.pass(time.Second)
	if x.answers["recovered"] != 1 || x.answers["nobody knows the session"] != 1 {
		t.Errorf("%v, want that it is recovered once, and refused then", x.answers)
	}
}

// Nor of who is just being told: of the parts that are here, and of those to come.
func TestASessionThatHasMovedIsNotInherited(t *testing.T) {
	x, from := bereft(t, 4, Config{FrameEntries: 2})
	heir := x.nodes[x.nodes[from].heir(1)]
	x.delay = 100 * time.Millisecond
	x.nodes[from].Drain()
	for range 100 {
		if t := heir.hands.taking[from]; t != nil && len(t.x.sessions) > 0 {
			break
		}
		x.pass(TickEvery)
	}
	of := heir.hands.taking[from]
	if of == nil || len(of.x.sessions) == 0 {
		t.Fatal("nothing is on its way")
	}
	delete(of.x.sessions, "pid1") // it comes in another part
	for _, pid := range []PID{"pid0", "pid1"} {
		heir.given(from, Done{pid, Claim{2, from}})
	}
	of.x.save(&Saved{Record: Record{PID: "pid1", Claim: Claim{1, 1}}})
	x.pass(3 * time.Second)
	if got := heir.mirrors[1]; got != of.x || len(got.sessions) != 48 || got.sessions["pid0"] != nil || got.sessions["pid1"] != nil || len(got.moved) > 0 {
		t.Errorf("of 50 sessions it has %d, with the two that have moved %v and %v", len(of.x.sessions), of.x.sessions["pid0"], of.x.sessions["pid1"])
	}
}
