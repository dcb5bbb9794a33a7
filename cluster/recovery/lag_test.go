package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// unconfirmed has a session at node 1, and then a message to its room from each of these, of which no mirror knows the place.
// It gives the cursors of node 1, the first that of before.
func unconfirmed(tb testing.TB, nodes int, of []wire.NodeID) (x *trio, cursors []Cursor) {
	x = newTrio(tb, nodes, Config{})
	x.open(1, 10*nodes)
	x.pass(time.Second)
	for _, id := range of {
		cursors = append(cursors, x.handed[1])
		x.publish(id, "r0")
		x.settle()
	}
	return x, append(cursors, x.handed[1])
}

// Who comes from a node that was killed gets nothing twice, whichever message was the last that came to him.
func TestACursorSaysWhatItsMirrorLacks(t *testing.T) {
	of := []wire.NodeID{2, 3, 2, 1, 1, 3, 4, 2, 5, 1}
	for i := range len(of) + 1 {
		x, cursors := unconfirmed(t, 5, of)
		for id, m := range x.nodes {
			if known, whole := m.Kept(1); whole && known.D >= x.handed[1].D {
				t.Fatalf("node %d knows place %d of %d: that tests nothing", id, known.D, x.handed[1].D)
			}
		}
		c, ok := ParseCursor(cursors[i].String())
		x.kill(1)
		x.nodes[3].Recover("pid0", c)
		x.pass(100 * time.Millisecond)
		if want := len(of) - i; !ok || x.answers["recovered"] != 1 || x.replayed != want {
			t.Errorf("after %d of %d: %v, %d are replayed, want %d", i, len(of), x.answers, x.replayed, want)
		}
	}
}

// What it has of a dead node, and the mirror that is asked has not, goes with its session: another mirror may have it.
func TestWhatACursorSaidGoesWithTheSession(t *testing.T) {
	x, _ := unconfirmed(t, 5, nil)
	m := wire.NewMessage(wire.Envelope{Origin: 1, Namespace: "/", Rooms: []string{"r0"}}, nil)
	m.Seq = x.number(1, 0)
	x.nodes[1].Published(m)
	c := x.nodes[1].Handed(m)
	x.kill(1) // before a mirror has it
	for at := wire.NodeID(3); at < 6; at++ {
		x.nodes[at].Recover("pid0", c)
		x.pass(100 * time.Millisecond)
		if s := x.nodes[at].sessions["pid0"]; s == nil || !slices.Equal(s.rec.Replay.Want.Got, []Ref{RefOf(m)}) || x.replayed != 0 {
			t.Errorf("at node %d: %+v, %d are replayed", at, s, x.replayed)
		}
		x.publish(at, "r0")
		c = x.handed[at]
		x.pass(100 * time.Millisecond)
	}
}

// A barrier raises what a mirror knows of a stream, too: what a cursor says is not less, or it would be read as the next number with those bits.
func TestACursorSaysHowFarTheOrderIs(t *testing.T) {
	m, x := pair(t), &mirror{order: newOrder(), met: map[wire.NodeID]wire.Frontiers{2: {}, 3: {}}}
	for seq := uint64(5); seq < 200; seq += 5 {
		for _, origin := range []wire.NodeID{2, 3} {
			y := message(seq, 0)
			y.Origin = origin
			c := m.Handed(y)
			want := []Ref{{2, 0, m.order.current[2][0]}, {3, 0, m.order.current[3][0]}}
			got := x.got(1, c.Lag)
			if slices.SortFunc(got, func(a, b Ref) int { return cmp.Compare(a.Origin, b.Origin) }); origin == 3 && !slices.Equal(got, want) {
				t.Fatalf("a mirror that has %v takes %v for said, want %v", x.order.current, got, want)
			}
			m.Passed(Ref{2, 0, seq + 1}, 99)
		}
		x.order.add(Ref{2, 0, seq + 1}, 0) // its confirmation is lost
		if c := m.Handed(message(seq, 0)); slices.ContainsFunc(x.got(1, c.Lag), func(r Ref) bool { return r.Origin == 2 }) {
			t.Fatalf("a mirror that has %v takes %v for said", x.order.current, x.got(1, c.Lag))
		}
	}
}

// Where a mirror has the places a cursor says nothing, or what is new.
func TestACursorSaysNoMoreThanIsNew(t *testing.T) {
	x, cursors := unconfirmed(t, 3, []wire.NodeID{1, 2, 3})
	long := func(c Cursor) int { return len(c.String()) }
	if long(cursors[1]) != 23 || long(cursors[2]) != 27 || long(cursors[3]) != 30 {
		t.Errorf("cursors %v, want one to three streams", cursors[1:])
	}
	x.pass(10 * TickEvery)
	x.publish(2, "r0")
	if c := x.handed[1]; long(c) != 23 {
		t.Errorf("%v says more than is new", c)
	}
	alone := New(Config{ID: 1})
	alone.At(time.Second)
	if c := alone.Handed(message(1, 0)); long(c) != 22 {
		t.Errorf("%v is for nobody", c)
	}
}

// What does not fit comes again, and is counted.
func TestWhatACursorHasNoRoomForComesAgain(t *testing.T) {
	x, _ := unconfirmed(t, 8, nil)
	before := x.nodes[1].Stats().Vague
	for id := range wire.NodeID(8) {
		x.publish(id+1, "r0")
		x.settle()
	}
	if n := x.nodes[1].Stats().Vague - before; n != 3 {
		t.Errorf("%d cursors are vague, want 3 of 8", n)
	}
	x.kill(1)
	x.nodes[3].Recover("pid0", x.handed[1])
	x.pass(100 * time.Millisecond)
	if x.answers["recovered"] != 1 || x.replayed != 3 {
		t.Errorf("%v, %d are replayed, want 3", x.answers, x.replayed)
	}
}

// Whoever lies harms himself alone: nothing is taken from others, and nothing of what is to come.
func TestALieOfACursorIsItsClientsOwn(t *testing.T) {
	x, cursors := unconfirmed(t, 3, []wire.NodeID{2, 3, 2})
	x.nodes[1].Open("pid1", "pid1", "/", "")
	for _, room := range []string{"", "pid1", "r0"} {
		x.nodes[1].Join("pid1", room)
	}
	x.pass(time.Second)
	base := x.nodes[1].order.last()
	x.publish(2, "r0")
	x.settle()
	lie := x.handed[1]
	lie.D += 1000
	n, f, _ := lie.Lag.form()
	for i := range uint(n) { // each stream is about as far as can be said
		lie.Lag[1] += 1 << (i*f.bits() + f.number - 2)
	}
	x.kill(1)
	x.nodes[3].Recover("pid0", lie)
	x.nodes[3].Recover("pid1", Cursor{Node: 1, D: base})
	x.pass(100 * time.Millisecond)
	if x.answers["recovered"] != 2 || x.replayed != 1 {
		t.Errorf("%v, %d are replayed, want one, to who has not lied; cursors %v", x.answers, x.replayed, cursors)
	}
	for id, m := range x.nodes {
		for origin, at := range m.order.current {
			if id != 1 && behind(x.seq[origin], at) {
				t.Errorf("node %d takes %v of node %d for processed, which is at %v", id, at, origin, x.seq[origin])
			}
		}
	}
}

// alike are two nodes whose hashes begin with the same bits.
func alike(bits uint) (a, b wire.NodeID) {
	seen := map[uint64]wire.NodeID{}
	for id := wire.NodeID(100); ; id++ {
		h := hashOf(id) >> (64 - bits)
		if seen[h] > 0 {
			return seen[h], id
		}
		seen[h] = id
	}
}

// An origin that has no name of its own is not spoken of, nor is one believed to be that has the name of two.
func TestOriginsAreToldApart(t *testing.T) {
	a, b := alike(16)
	m := pair(t)
	hand := func(of wire.NodeID) (streams int) {
		x := message(1, 0)
		x.Origin = of
		n, _, _ := m.Handed(x).Lag.form()
		return n
	}
	if n := hand(a); n != 1 {
		t.Fatalf("%d streams are said, want one", n)
	}
	if n := hand(b); n != 0 || m.Stats().Vague != 1 {
		t.Errorf("%d streams are said of two that are alike, %d cursors are vague", n, m.Stats().Vague)
	}
	if n := hand(50); n != 1 || m.Stats().Vague != 2 {
		t.Errorf("%d streams are said, want that of the third; %d cursors are vague", n, m.Stats().Vague)
	}
	x := &mirror{order: newOrder(), met: map[wire.NodeID]wire.Frontiers{b: {}}}
	said := (&lag{streams: [maxLag]lagging{{Ref: Ref{a, 1, 7}}}, n: 1}).said()
	if got := x.got(1, said); fmt.Sprint(got) != fmt.Sprint([]Ref{{b, 1, 7}}) {
		t.Errorf("a mirror that knows one of the name has %v", got)
	}
	if x.order.add(Ref{a, 0, 1}, 0); x.got(1, said) != nil {
		t.Errorf("a mirror that knows two of the name has %v", x.got(1, said))
	}
}

// A number is the least with those bits that is not less than what the mirror has: never more than was meant.
func TestNumbersAreFoundByTheirLastBits(t *testing.T) {
	for _, tt := range []struct{ has, said, want uint64 }{
		{0, 1, 1},
		{65535, 65536, 65536},
		{65000, 65000, 0},
		{65000, 70000, 70000},
		{1 << 40, 1<<40 + 32767, 1<<40 + 32767},
		{1 << 40, 1<<40 + 32768, 0},
		{100, 99, 0},
		{10, 10 + 65536, 0},
		{10, 12 + 65536, 12},
	} {
		x := &mirror{order: newOrder(), met: map[wire.NodeID]wire.Frontiers{7: {}}}
		x.order.add(Ref{7, 2, tt.has}, 0)
		got := x.got(1, (&lag{streams: [maxLag]lagging{{Ref: Ref{7, 2, tt.said}}}, n: 1}).said())
		if tt.want == 0 && got != nil || tt.want > 0 && !slices.Equal(got, []Ref{{7, 2, tt.want}}) {
			t.Errorf("of one that has %d, %d is read as %v, want %d", tt.has, tt.said, got, tt.want)
		}
	}
}
