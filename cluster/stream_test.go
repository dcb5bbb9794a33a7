package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

func (x *fakeMesh) publishAs(id wire.NodeID, flags wire.Flags) {
	x.do(id, func(c *core) {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: flags}, Payload: []byte(`["e"]`)})
	})
}

// streamsOf are messages as stream and number, in the order in which they came.
func streamsOf(ms []*wire.Message) string {
	var s []string
	for _, m := range ms {
		s = append(s, fmt.Sprintf("%v%d", m.Flags.Stream(), m.Seq))
	}
	return fmt.Sprint(s)
}

// What waits for a peer goes by priority, each numbered and in order by itself.
func TestHigherPrioritiesGoFirst(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	x.cut(1, 2)
	for range 2 {
		for _, flags := range []wire.Flags{wire.Low, 0, wire.High, wire.High | wire.Low} {
			x.publishAs(1, flags)
		}
	}
	x.link(1, 2)
	x.settle()
	want := "[high1 high2 high3 high4 normal1 normal2 low1 low2]"
	if got := streamsOf(x.got[2]); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	x.sleep(lanTiming.ask)
	x.settle()
	if x.cores[1].owes() || x.cores[1].logs.bytes() != 0 {
		t.Error("not all of it is confirmed")
	}
}

// A lane that is full holds up its stream alone, and goes on where it stopped.
func TestAFullLaneHoldsUpItsPriorityAlone(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	c := x.cores[1]
	for range 3 {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: wire.Low}, Payload: []byte(`["e"]`)})
	}
	c.refused(2, mesh.LaneLow, 2)
	c.effects = slices.DeleteFunc(c.effects, func(e effect) bool { return e.seq >= 2 })
	for _, flags := range []wire.Flags{wire.Low, 0, wire.High, wire.Low | wire.Volatile, wire.Volatile} {
		x.publishAs(1, flags)
	}
	x.settle()
	if got, want := streamsOf(x.got[2]), "[low1 normal1 high1 normal2]"; got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
	x.do(1, func(c *core) { c.ready(2, mesh.LaneHigh) })
	if n := len(x.wires[[2]wire.NodeID{1, 2}]); n != 0 {
		t.Errorf("%d frames when another lane was ready", n)
	}
	x.do(1, func(c *core) { c.ready(2, mesh.LaneLow) })
	x.settle()
	if got, want := streamsOf(x.got[2]), "[low1 normal1 high1 normal2 low2 low3 low4]"; got != want || c.counts.volatile != 1 {
		t.Errorf("got %v and dropped %d volatile ones, want %v and 1", got, c.counts.volatile, want)
	}
}

// When the logs are full the lowest priority loses its oldest first, but each keeps
// a share, and who lost something is told in that stream.
func TestAFullLogDropsLowFirst(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		flags                  []wire.Flags // of 100 messages each, where 80 have room
		keepLow, keep, keepTop int
	}{
		{"low and high", []wire.Flags{wire.Low, wire.High}, 10, 0, 70},
		{"high and low", []wire.Flags{wire.High, wire.Low}, 10, 0, 70},
		{"all", []wire.Flags{0, wire.High, wire.Low}, 10, 20, 50},
		{"normal alone", []wire.Flags{0}, 0, 80, 0},
		{"low alone", []wire.Flags{wire.Low}, 80, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newFakeMesh(t, 2)
			x.join(2, "r")
			x.link(1, 2)
			x.settle()
			x.cut(1, 2)
			c := x.cores[1]
			for _, flags := range tt.flags {
				for i := range 100 {
					m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: flags}, Payload: bytes.Repeat([]byte("x"), 50)}
					x.do(1, func(c *core) { c.publishOne(m) })
					if i == 0 && flags == tt.flags[0] {
						c.logs.limit = 80 * c.logs.bytes()
					}
				}
			}
			if c.logs.bytes() > c.logs.limit {
				t.Errorf("%d bytes, allowed are %d", c.logs.bytes(), c.logs.limit)
			}
			for k, want := range [wire.Streams]int{tt.keep, tt.keepTop, tt.keepLow} {
				log, lost := &c.logs.of[k], int(c.counts.lost[k])
				if log.count != want || want > 0 && lost != 100-want {
					t.Errorf("%v: %d are kept and %d lost, want %v kept", wire.Stream(k), log.count, lost, want)
				}
			}
			x.link(1, 2)
			x.settle()
			if got, want := x.cores[2].counts.gaps, uint64(len(tt.flags)); got != want {
				t.Errorf("told of %d gaps, want %d", got, want)
			}
		})
	}
}

// Publishers pause for linked peers that hold up the log that is large, not for
// what is about to be confirmed in another.
func TestCongestionIsOfTheStreamThatIsHeldUp(t *testing.T) {
	x := newFakeMesh(t, 3)
	x.join(2, "r")
	x.join(3, "r")
	x.link(1, 2)
	x.link(1, 3)
	x.settle()
	x.cut(1, 3)
	c := x.cores[1]
	c.logs.limit = 100 << 10
	for c.logs.bytes() <= c.logs.limit*9/10 {
		x.publishAs(1, 0)
	}
	x.settle()
	x.sleep(lanTiming.ask)
	x.settle() // node 2 has confirmed all
	x.publishAs(1, wire.High)
	if c.congested() {
		t.Error("congested by a message on its way, the log is full for a peer without a link")
	}
	for range 3 {
		x.publishAs(1, 0)
	}
	if c.congested() {
		t.Error("congested by the newest messages")
	}
	for c.logs.of[wire.StreamHigh].bytes <= c.logs.limit/3 {
		x.publishAs(1, wire.High)
		c.now += time.Millisecond / 4
	}
	if !c.congested() {
		t.Error("not congested by a linked peer that lacks a third of the log")
	}
}

// An outbox that is confirmed as fast as it grows goes round in its space, one that has become short
// lets go of it, and none loses a number.
func TestAnOutboxUsesItsSpaceAgain(t *testing.T) {
	var o outbox
	var log outLog
	var next, first uint64 = 1, 1
	spaces := 0
	step := func(add, confirm int) {
		for range add {
			had := len(o.space)
			if o.add(next); len(o.space) != had {
				spaces++
			}
			log.add(entry{refs: 1})
			next++
		}
		first += uint64(confirm)
		o.confirm(&log, first-1)
		for i, seq := range o.refs {
			if seq != first+uint64(i) {
				t.Fatalf("number %d at %d, want %d", seq, i, first+uint64(i))
			}
		}
		if len(o.refs) != int(next-first) {
			t.Fatalf("%d numbers, want %d", len(o.refs), next-first)
		}
	}
	step(1000, 0)
	before := spaces
	for range 1000 {
		step(10, 10)
	}
	if spaces-before > 2 || len(o.space) > 4*1010 {
		t.Errorf("%d spaces of %d numbers for 1000", spaces-before, len(o.space))
	}
	step(0, 990)
	for range 1000 {
		step(10, 10)
	}
	if len(o.space) > 4*keepRefs {
		t.Errorf("a space of %d numbers for 10", len(o.space))
	}
	step(200, 210)
	if len(o.space) > keepRefs {
		t.Errorf("a space of %d numbers for none", len(o.space))
	}
	if allocs := testing.AllocsPerRun(100, func() { step(1, 1) }); allocs > 0 {
		t.Errorf("%v allocations for a message that is confirmed before the next", allocs)
	}
}
