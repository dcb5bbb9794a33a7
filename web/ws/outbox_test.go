package ws

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// line is the model of an Outbox: what waits, each with the lane that it is in by
// now, 0 before 1 before 2.
type line []struct {
	*Group
	lane int
}

func (l *line) add(g *Group) {
	lane := map[Place]int{High: 0, Normal: 1, Low: 2, Barrier: 1, Fence: 0}[g.place]
	for i := range *l {
		switch {
		case g.place == Fence:
			(*l)[i].lane = 0
		case g.place == Barrier && (*l)[i].lane == 2:
			(*l)[i].lane = 1
		}
	}
	at := len(*l) // a Barrier and a Fence are behind all, and no lane is before another's
	for at > 0 && (*l)[at-1].lane > lane {
		at--
	}
	*l = slices.Insert(*l, at, struct {
		*Group
		lane int
	}{g, lane})
}

// take takes n groups, or all with a negative n.
func (l *line) take(n int) (taken []*Group) {
	if n < 0 || n > len(*l) {
		n = len(*l)
	}
	for _, e := range (*l)[:n] {
		taken = append(taken, e.Group)
	}
	*l = (*l)[n:]
	return taken
}

func bytesOf(groups []*Group) (n int) {
	for _, g := range groups {
		n += g.size
	}
	return n
}

// Against a model that is one list: order, and what counts.
func TestOutboxKeepsOrderAndLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := []Place{Normal}
		if rapid.Bool().Draw(t, "places") {
			places = []Place{Normal, High, Low, Barrier, Fence}
		}
		o := Outbox{MaxBytes: 500 << 10, MaxGroups: 12}
		var waiting line
		var writing []*Group
		take := func(t *rapid.T, got []*Group, want []*Group) {
			if !slices.Equal(got, want) {
				t.Fatalf("took %v, want %v", names(got), names(want))
			}
			writing = slices.Clone(got)
			_ = append(got, nil) // as a poll's answer has it, and harms nobody
			clear(got)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				g := sized(rapid.IntRange(0, 100).Draw(t, "KiB") << 10).At(rapid.SampledFrom(places).Draw(t, "place"))
				all := slices.Clone(waiting)
				held := append(all.take(-1), writing...)
				want := len(held) == 0 || len(held) < 12 && bytesOf(held)+g.size <= 500<<10
				if got := o.Add(g); got != want {
					t.Fatalf("add %d to %d bytes in %d groups = %v, want %v", g.size, bytesOf(held), len(held), got, want)
				}
				if want {
					waiting.add(g)
				}
			},
			"take": func(t *rapid.T) { // a part of one lane
				got := o.Take()
				if len(got) == 0 && len(waiting) > 0 {
					t.Fatalf("took nothing of %d groups", len(waiting))
				}
				take(t, got, waiting.take(len(got)))
			},
			"take all": func(t *rapid.T) { take(t, o.TakeAll(), waiting.take(-1)) },
			"written":  func(*rapid.T) { o.Written(); writing = nil },
			"drop":     func(*rapid.T) { o.Drop(); waiting, writing = nil, nil },
			"": func(t *rapid.T) {
				if o.Empty() != (len(waiting) == 0) {
					t.Fatalf("Empty = %v with %d groups", o.Empty(), len(waiting))
				}
				if o.Empty() && (o.waiting != nil || o.lanes != nil) {
					t.Fatal("an empty queue holds memory")
				}
			},
		})
	})
}

func names(groups []*Group) (s []string) {
	for _, g := range groups {
		s = append(s, fmt.Sprint(g.place, "/", g.size))
	}
	return s
}

func TestOrderOfWhatWaits(t *testing.T) {
	for name, tt := range map[string]struct{ queued, want string }{
		"priorities":                       {"n1 l2 h3 n4 h5 l6", "h3 h5 n1 n4 l2 l6"},
		"a barrier takes the low along":    {"l1 n2 h3 b4 l5 n6", "h3 n2 l1 b4 n6 l5"},
		"high ones overtake a barrier":     {"n1 b2 h3", "h3 n1 b2"},
		"nothing overtakes a fence":        {"n1 f2 h3 n4", "n1 f2 h3 n4"},
		"and all goes before it":           {"l1 h2 n3 f4 h5", "h2 n3 l1 f4 h5"},
		"two fences":                       {"n1 f2 n3 f4 n5 h6", "n1 f2 n3 f4 h6 n5"},
		"a fence among normal ones":        {"n1 f2 n3 n4 h5", "n1 f2 h5 n3 n4"},
		"a fence in a queue of priorities": {"h1 n2 f3 l4 h5 n6", "h1 n2 f3 h5 n6 l4"},
	} {
		for _, all := range []bool{false, true} {
			o := Outbox{MaxBytes: 100, MaxGroups: 100}
			for q := range strings.FieldsSeq(tt.queued) {
				place := map[byte]Place{'n': Normal, 'h': High, 'l': Low, 'b': Barrier, 'f': Fence}[q[0]]
				o.Add(NewGroup(Frame{Text, []byte(q)}).At(place))
			}
			var got string
			for !o.Empty() {
				batch := o.Take
				if all {
					batch = o.TakeAll
				}
				for _, g := range batch() {
					got += " " + string(g.frames[0].Data)
				}
			}
			if got != " "+tt.want {
				t.Errorf("%s, all at once %v: %s goes out as%s, want %s", name, all, tt.queued, got, tt.want)
			}
		}
	}
}

// What has been handed out is not overtaken, so it is little.
func TestBatchIsLimited(t *testing.T) {
	for name, tt := range map[string]struct{ size, groups, want int }{
		"groups, at the limit":          {1, batchGroups, batchGroups},
		"groups, one more":              {1, batchGroups + 1, batchGroups},
		"bytes, at the limit":           {batchBytes / 2, 2, 2},
		"bytes, the one that goes over": {batchBytes/2 + 1, 3, 2},
		"bytes, one below":              {batchBytes - 1, 3, 2},
		"one group larger than that":    {batchBytes * 3, 2, 1},
	} {
		o := Outbox{MaxBytes: 1 << 30, MaxGroups: 1 << 20}
		for range tt.groups {
			o.Add(sized(tt.size))
		}
		if got := len(o.Take()); got != tt.want {
			t.Errorf("%s: %d of %d groups of %d bytes in a batch, want %d", name, got, tt.groups, tt.size, tt.want)
		}
		if got := len(o.TakeAll()); got != tt.groups-tt.want {
			t.Errorf("%s: %d groups left, want %d", name, got, tt.groups-tt.want)
		}
	}
}

// What most clients get costs what it did before there were priorities: the slice.
func TestNormalMessagesAllocateOneSliceAndIdleClientsNothing(t *testing.T) {
	if size := unsafe.Sizeof(Outbox{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 80 {
		t.Errorf("an Outbox has %d bytes, want 80", size)
	}
	g, high := sized(10), sized(10).At(High)
	for name, tt := range map[string]struct {
		group *Group
		want  float64
	}{
		"normal": {g, 1},
		"ack":    {sized(10).At(Barrier), 1},
		"high":   {high, 2},
	} {
		o := Outbox{MaxBytes: 1000, MaxGroups: 1000}
		if got := testing.AllocsPerRun(100, func() { o.Add(tt.group); o.Take(); o.Take() }); got != tt.want {
			t.Errorf("%s: %v allocations, want %v", name, got, tt.want)
		}
	}
}

// A batch that is out is used again, and one that is a part of a queue is not.
func TestBatchesAreUsedAgainOnceTheyAreOut(t *testing.T) {
	o := Outbox{MaxBytes: 1 << 20, MaxGroups: 1 << 10}
	groups := make([]*Group, 3*batchGroups)
	for i := range groups {
		groups[i] = sized(1)
	}
	next, other := 0, Outbox{MaxBytes: 1 << 20, MaxGroups: 1 << 10}
	for _, n := range []int{1, 15, 16, 17, 32, batchGroups, batchGroups + 16, 3 * batchGroups} {
		for _, g := range groups[:n] {
			o.Add(g)
		}
		for next = 0; next < n; {
			batch := o.Take()
			for _, g := range batch {
				if g != groups[next] {
					t.Fatalf("%d groups: number %d is another", n, next)
				}
				next++
			}
			clear(batch)
			giveBack(batch)
			for range 40 { // takes what was given back
				other.Add(groups[0])
			}
			other.Take()
		}
		o.Take()
	}
	if testing.AllocsPerRun(100, func() {
		o.Add(groups[0])
		o.Add(groups[1])
		batch := o.Take()
		clear(batch)
		giveBack(batch)
	}) > 0.1 {
		t.Error("a queue whose batches are given back allocates")
	}
}

// An answer of any size is queued beside what counts, and its maker learns when it is out.
func TestAnswersDoNotCountAndAreWaitedFor(t *testing.T) {
	answer := func(size int) *Group {
		return NewAnswer(Text, []byte("head"), make([]byte, size)).At(Barrier)
	}
	isOut := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	o := Outbox{MaxBytes: 1000, MaxGroups: 10}
	if o.Answered() != nil {
		t.Error("an empty outbox has an answer")
	}
	o.Add(sized(600))
	if !o.Add(answer(5000)) || !o.Add(sized(400)) {
		t.Error("an answer has taken the place of others, or found none")
	}
	if g := sized(1); o.Add(g) || o.Why(g) != SlowBytes {
		t.Error("with an answer more fits than without")
	}
	out := o.Answered()
	for batch := o.Take(); len(batch) > 0; batch = o.Take() {
		if isOut(out) {
			t.Error("an answer is said to be out that is being written")
		}
	}
	if !isOut(out) || o.Answered() != nil || o.bytes != 0 || !o.Idle() {
		t.Errorf("all is written: out %v, %+v", isOut(out), o)
	}
	o.Add(answer(1))
	o.Add(answer(100 << 10))
	o.Add(answer(1))
	out = o.Answered()
	if o.TakeAll(); isOut(out) {
		t.Error("out before Written")
	}
	if o.Written(); !isOut(out) {
		t.Error("not out after Written")
	}
	o.Add(answer(1))
	out = o.Answered()
	if o.Drop(); !isOut(out) {
		t.Error("who waits for a client that is gone waits for ever")
	}
}
