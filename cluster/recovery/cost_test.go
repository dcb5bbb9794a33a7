package recovery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// pair is a node with one buddy that is one of its set.
func pair(tb testing.TB) *Machine {
	m := New(Config{ID: 1})
	m.At(time.Second)
	m.Member(2, wire.Frontiers{})
	m.Linked(2)
	for range 5 {
		confirm(m)
	}
	if len(m.set) != 1 {
		tb.Fatal("there is no buddy")
	}
	return m
}

// confirm answers for the buddy what m has sent, and tells how many acks came.
func confirm(m *Machine) (acks int) {
	for _, e := range m.Take() {
		switch e := e.(type) {
		case Acked:
			acks++
		case Send:
			switch f := e.Frame.(type) {
			case Mirror:
				m.Frame(2, Mirrored{Epoch: f.Epoch, State: f.To})
			case Buddies:
				m.Frame(2, BuddiesKnown{f.Gen})
			}
		}
	}
	return acks
}

// publishing is a step that publishes a message and hands it out; its buddy confirms every tenth.
func publishing(tb testing.TB, m *Machine) func() {
	e := &wire.Envelope{Origin: 1, Namespace: "/", Rooms: []string{"r"}}
	seq, acks := uint64(0), 0
	pool := make([]wire.Message, 1<<16)
	return func() {
		seq++
		x := &pool[seq%uint64(len(pool))]
		x.Envelope, x.Seq = e, seq
		m.At(m.now + 20*time.Microsecond)
		m.Published(x)
		m.Handed(x)
		if seq%10 == 0 {
			acks += confirm(m) + confirm(m)
		}
		if seq%1000 == 0 {
			m.Tick()
			if acks+100 < int(seq) {
				tb.Fatalf("%d of %d are acknowledged", acks, seq)
			}
		}
	}
}

func TestAMessageCostsTwoAllocations(t *testing.T) {
	m := New(Config{ID: 1})
	m.At(time.Second)
	x := message(1, 0)
	if n := testing.AllocsPerRun(5000, func() { m.Handed(x) }); n > 0 {
		t.Errorf("handing one out costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(20_000, publishing(t, pair(t))); n > 2 {
		t.Errorf("publishing one, with a buddy, costs %v allocations", n)
	}
}

func BenchmarkPublishedAndHanded(b *testing.B) {
	m := pair(b)
	step := publishing(b, m)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

// BenchmarkHanded: messages of so many other nodes, with a buddy.
func BenchmarkHanded(b *testing.B) {
	for _, origins := range []int{1, 3, 5, 10} {
		b.Run(fmt.Sprint(origins, " origins"), func(b *testing.B) {
			m := pair(b)
			messages := make([]*wire.Message, origins)
			for i := range messages {
				messages[i] = wire.NewMessage(wire.Envelope{Origin: wire.NodeID(i + 2), Namespace: "/", Rooms: []string{"r"}}, nil)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				x := messages[i%origins]
				x.Seq++
				m.Handed(x)
				if i%100 == 0 {
					m.At(m.now + TickEvery)
					m.Tick()
					confirm(m)
				}
			}
		})
	}
}

func BenchmarkCursorText(b *testing.B) {
	m := pair(b)
	for i := range 3 {
		x := message(uint64(i+1), 0)
		x.Origin = wire.NodeID(i + 1)
		c := m.Handed(x)
		b.Run(fmt.Sprint(len(c.String()), " characters"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = c.String()
			}
		})
	}
}

// Each call costs what it concerns, however many sessions there are.
func BenchmarkJoinAmongSessions(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := New(Config{ID: 1})
			for i := range n {
				pid := PID(fmt.Sprint(i))
				m.Open(pid, string(pid), "/", "")
				m.Join(pid, "r")
			}
			m.Tick()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				pid := PID(fmt.Sprint(i % n))
				m.Leave(pid, "r")
				m.Join(pid, "r")
				m.Take()
				m.feedAll()
			}
		})
	}
}

func TestPlacesAreFoundAmongMarks(t *testing.T) {
	o := newOrder()
	r := rand.New(rand.NewPCG(1, 2))
	of := func(d uint64) Ref { return Ref{wire.NodeID(1 + d%3), 0, d} }
	for d := uint64(1); d <= 6*markEvery; d++ {
		o.add(of(d), time.Duration(d))
	}
	for _, first := range []uint64{1, markEvery - 1, markEvery, markEvery + 1, 3*markEvery + 7} {
		o.trim(time.Duration(first), 1<<20)
		for range 200 {
			d := first + r.Uint64N(6*markEvery-first)
			v, at, ok := o.at(d)
			if !ok || at != time.Duration(d) || v[of(d).Origin][0] != d || v[of(d-1).Origin][0] != max(d-1, 0) {
				t.Fatalf("from %d on, at(%d) = %v, %v, %v", first, d, v, at, ok)
			}
		}
		if _, _, ok := o.at(first - 2); ok && first > 1 {
			t.Errorf("%d is known, the first is %d", first-2, first)
		}
		if n := o.marks.len(); n > 0 && o.markAt < o.first {
			t.Errorf("a mark at %d is kept, the first is %d", o.markAt, o.first)
		}
	}
}

func BenchmarkPlaceInALongOrder(b *testing.B) {
	o := newOrder()
	for d := uint64(1); d <= 1<<20; d++ {
		o.add(Ref{wire.NodeID(d % 5), 0, d}, time.Duration(d))
	}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i += 7919 {
		o.at(1 + i%(1<<20))
	}
}

func TestARowKeepsNothingThatIsGone(t *testing.T) {
	var q row[*int]
	next, first := 0, 0
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		switch k := r.IntN(10); {
		case k < 5 || q.len() == 0:
			q.push(&[]int{next}[0])
			next++
		case k < 9:
			if **q.at(0) != first {
				t.Fatalf("the oldest is %d, want %d", **q.at(0), first)
			}
			q.drop()
			first++
		default:
			n := max(0, q.len()-3)
			q.cut(n)
			next = first + n
		}
		if q.len() != next-first || q.len() > 0 && **q.at(q.len() - 1) != next-1 {
			t.Fatalf("there are %d, want %d to %d", q.len(), first, next)
		}
	}
	held := 0
	for _, c := range q.chunks {
		for _, p := range c {
			if p != nil {
				held++
			}
		}
	}
	if held != q.len() || len(q.chunks) > q.len()/rowChunk+2 {
		t.Errorf("%d are held in %d chunks, of %d", held, len(q.chunks), q.len())
	}
}

// The rooms of live sessions are counted whatever becomes of them.
func TestFencedRoomsAreThoseOfLiveSessions(t *testing.T) {
	m := New(Config{ID: 1})
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 3000 {
		m.At(time.Second + time.Duration(i)*5*time.Millisecond)
		pid, room := PID(fmt.Sprint("p", r.IntN(20))), fmt.Sprint("r", r.IntN(5))
		switch k := r.IntN(20); {
		case k < 3 && m.sessions[pid] == nil:
			m.Open(pid, string(pid), "/", "")
		case k < 10:
			m.Join(pid, room)
		case k < 14:
			m.Leave(pid, room)
		case k < 15:
			m.Lost(pid)
		case k < 16:
			m.End(pid)
		case k < 18:
			m.Recover(pid, Cursor{Node: 1, D: m.order.last()})
		default:
			m.Tick()
		}
		for effects := m.Take(); len(effects) > 0; effects = m.Take() {
			for _, e := range effects {
				if a, ok := e.(Arrive); ok {
					m.Arrived(a.Record.PID)
				}
			}
		}
		want := map[wire.Topic]int{}
		for _, s := range m.sessions {
			for room, at := range s.rec.Rooms {
				if s.state == live && at > 0 {
					want[wire.Topic{Namespace: "/", Room: room}]++
				}
			}
		}
		if len(want) != len(m.rooms) {
			t.Fatalf("%d rooms are fenced, want %d", len(m.rooms), len(want))
		}
		for at, n := range want {
			if m.rooms[at] != n {
				t.Fatalf("%v has %d members, want %d", at, m.rooms[at], n)
			}
		}
	}
	if len(m.sessions) < 3 {
		t.Error("that tests nothing")
	}
}
