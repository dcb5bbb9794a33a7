package recovery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// trio is three machines or so with links between them, on which nothing takes time, and what their owners would do.
type trio struct {
	tb        testing.TB
	now       time.Duration
	nodes     map[wire.NodeID]*Machine
	dead      wire.NodeID
	seq       map[wire.NodeID]wire.Frontiers
	last      map[PID]Cursor
	handed    map[wire.NodeID]Cursor // the last of each
	answers   map[string]int
	replayed  int
	admitted  Admit // the last
	frames    int
	mirror    int            // bytes of the largest Mirror
	largest   int            // ... of the others
	onArrive  func(PID) bool // false: its rooms are not in force yet
	delivered func(at wire.NodeID, m *wire.Message)
	framed    func(to wire.NodeID) // it has taken a frame
	lose      func(Frame) bool     // on its way
	unread    bool                 // clients read nothing of what is replayed to them
	delay     time.Duration        // of frames
	way       []underWay
}

// underWay is what comes to a node later.
type underWay struct {
	at       time.Duration
	from, to wire.NodeID
	take     func(*Machine)
}

func newTrio(tb testing.TB, n int, cfg Config) *trio {
	t := &trio{tb: tb, now: time.Second, nodes: map[wire.NodeID]*Machine{}, seq: map[wire.NodeID]wire.Frontiers{}, last: map[PID]Cursor{}, handed: map[wire.NodeID]Cursor{}, answers: map[string]int{}}
	for id := wire.NodeID(1); id <= wire.NodeID(n); id++ {
		cfg.ID = id
		cfg.Wants = func(wire.NodeID, *wire.Message) bool { return true }
		t.nodes[id] = New(cfg)
		t.nodes[id].At(t.now)
		for other := wire.NodeID(1); other < id; other++ {
			for _, of := range [][2]wire.NodeID{{id, other}, {other, id}} {
				t.nodes[of[0]].Member(of[1], t.seq[of[0]])
			}
			t.nodes[id].Linked(other)
			t.nodes[other].Linked(id)
		}
	}
	t.pass(time.Second)
	return t
}

// pass lets time pass.
func (t *trio) pass(d time.Duration) {
	for end := t.now + d; t.now < end; {
		t.now += TickEvery
		for _, id := range sorted(t.nodes) {
			if id != t.dead {
				t.nodes[id].At(t.now)
				t.nodes[id].Tick()
				if !t.unread {
					t.nodes[id].Unsent(0)
				}
			}
		}
		for len(t.way) > 0 && t.way[0].at <= t.now {
			u := t.way[0]
			if t.way = t.way[1:]; u.to != t.dead && u.from != t.dead {
				u.take(t.nodes[u.to])
			}
		}
		t.settle()
	}
}

// later is what comes to a node after the delay, in order.
func (t *trio) later(from, to wire.NodeID, take func(*Machine)) {
	if t.delay == 0 || from == to {
		take(t.nodes[to])
		return
	}
	t.way = append(t.way, underWay{t.now + t.delay, from, to, take})
}

// settle applies what is to be done until there is nothing.
func (t *trio) settle() {
	for more := true; more; {
		more = false
		for _, id := range sorted(t.nodes) {
			if id == t.dead {
				continue
			}
			for _, e := range t.nodes[id].Take() {
				more = true
				t.apply(id, e)
			}
		}
	}
}

func (t *trio) number(of wire.NodeID, k wire.Stream) uint64 {
	f := t.seq[of]
	f[k]++
	t.seq[of] = f
	return f[k]
}

func (t *trio) apply(id wire.NodeID, e Effect) {
	m := t.nodes[id]
	switch e := e.(type) {
	case Send:
		if e.To == t.dead || t.nodes[e.To] == nil || t.lose != nil && t.lose(e.Frame) {
			return
		}
		b := AppendFrame(nil, e.Frame)
		t.frames++
		if _, ok := e.Frame.(Mirror); ok {
			t.mirror = max(t.mirror, len(b))
		} else {
			t.largest = max(t.largest, len(b))
		}
		f, err := DecodeFrame(b)
		if err != nil {
			t.tb.Fatal(err)
		}
		t.later(id, e.To, func(m *Machine) {
			if m.Frame(id, f); t.framed != nil {
				t.framed(e.To)
			}
		})
	case Barrier:
		for k := range wire.Stream(wire.Streams) {
			r := Ref{id, k, t.number(id, k)}
			t.later(id, e.To, func(m *Machine) { m.Passed(r, e.Round) })
		}
	case Supply:
		if !m.order.current.Has(RefOf(e.Message)) {
			t.hand(id, e.Message)
		}
	case Completed:
		m.Reached(e.Origin, e.Heads)
	case Arrive:
		if t.onArrive == nil || t.onArrive(e.Record.PID) {
			m.Arrived(e.Record.PID)
		}
	case Admit:
		t.replayed += len(e.Replay)
		t.admitted = e
	case Recovered:
		t.answers["recovered"]++
	case Joined:
		t.answers["joined"]++
	case Left:
		t.answers["left"]++
	case Refused:
		t.answers[e.Reason]++
	}
}

func (t *trio) hand(id wire.NodeID, x *wire.Message) {
	t.handed[id] = t.nodes[id].Handed(x)
	if t.delivered != nil {
		t.delivered(id, x)
	}
}

// publish is a message of a node, which comes to all.
func (t *trio) publish(of wire.NodeID, room string) {
	x := wire.NewMessage(wire.Envelope{Origin: of, Namespace: "/", Rooms: []string{room}}, make([]byte, 128))
	x.Seq = t.number(of, 0)
	t.nodes[of].Published(x)
	for _, id := range sorted(t.nodes) {
		if id != t.dead {
			t.hand(id, x)
		}
	}
}

// open has sessions at node 1, each in one of ten rooms, and tells where they are when n messages more have been published.
func (t *trio) open(sessions, n int) {
	for i := range sessions {
		pid := PID(fmt.Sprint("pid", i))
		t.nodes[1].Open(pid, string(pid), "/", "")
		t.nodes[1].Join(pid, "")
		t.nodes[1].Join(pid, string(pid))
		t.nodes[1].Join(pid, fmt.Sprint("r", i%10))
	}
	t.pass(2 * time.Second)
	for i := range n {
		t.publish(wire.NodeID(1+i%len(t.nodes)), fmt.Sprint("r", i/len(t.nodes)%10))
		t.settle()
	}
	for i := range sessions {
		t.last[PID(fmt.Sprint("pid", i))] = Cursor{Node: 1, D: t.nodes[1].order.last() - uint64(i%20)}
	}
}

func (t *trio) kill(id wire.NodeID) {
	t.dead = id
	for other, m := range t.nodes {
		if other != id {
			m.Unlinked(id)
			m.Down(id)
		}
	}
	t.settle()
}

// BenchmarkStorm: the node of 1,000 sessions dies, and they come to another one at once. Each lacks some hundred messages.
func BenchmarkStorm(b *testing.B) {
	const sessions = 1000
	for range b.N {
		b.StopTimer()
		t := newTrio(b, 3, Config{})
		t.open(sessions, 9000)
		for i := range 1000 {
			t.publish(wire.NodeID(2+i%2), fmt.Sprint("r", i/2%10))
			t.settle()
		}
		t.pass(100 * time.Millisecond)
		t.kill(1)
		b.StartTimer()
		for pid, c := range t.last {
			t.nodes[3].Recover(pid, c)
		}
		t.settle()
		t.pass(100 * time.Millisecond)
		b.StopTimer()
		if t.answers["recovered"] != sessions || t.replayed < 90*sessions {
			b.Fatalf("%v, %d messages", t.answers, t.replayed)
		}
		b.ReportMetric(float64(t.nodes[3].Stats().Gathers), "gathers")
		b.ReportMetric(float64(t.frames), "frames")
		b.ReportMetric(float64(t.largest), "bytes/frame")
		b.ReportMetric(float64(t.replayed)/sessions, "replayed/recovery")
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/sessions, "µs/recovery")
}

func TestAStormFetchesOnceForAll(t *testing.T) {
	x := newTrio(t, 3, Config{Recoveries: 50, Waiting: 60})
	x.open(120, 100)
	x.pass(100 * time.Millisecond)
	x.kill(1)
	var late []PID
	x.onArrive = func(pid PID) bool { late = append(late, pid); return false }
	for _, pid := range sorted(x.last) {
		x.nodes[3].Recover(pid, x.last[pid])
	}
	x.settle()
	if x.answers["too many come back at once"] != 10 || x.nodes[3].Stats().TooMany != 10 || len(late) != 50 {
		t.Errorf("%v, %d have arrived; want 10 refused, 50 arrived", x.answers, len(late))
	}
	for len(late) > 0 { // one end makes room for the next
		of := late
		late = nil
		for _, pid := range of {
			x.nodes[3].Arrived(pid)
		}
		x.pass(100 * time.Millisecond)
	}
	if x.answers["recovered"] != 110 || x.nodes[3].Stats().Gathers > 15 {
		t.Errorf("%v in %d gathers, want 110 in 15", x.answers, x.nodes[3].Stats().Gathers)
	}
	if m := x.nodes[3]; len(m.attempts)+len(m.asking)+len(m.coming)+m.line.len()+m.active+len(m.arrived)+len(m.gathers) > 0 {
		t.Errorf("left are %d attempts, %d asking, %d coming, %d in line, %d active, %d arrived, %d gathers",
			len(m.attempts), len(m.asking), len(m.coming), m.line.len(), m.active, len(m.arrived), len(m.gathers))
	}
}

// What is replayed and not read is bounded for all clients together: the next ones wait, and are not refused for it.
func TestReplaysThatNobodyReadsHoldUpTheNext(t *testing.T) {
	const each, limit = 18, 10 // messages that a client lacks at least; clients, about
	x := newTrio(t, 3, Config{UnsentBytes: limit * each * (192 + 2 + 5 + 1 + unsentOverhead)})
	x.open(40, 600)
	for pid := range x.last {
		x.last[pid] = Cursor{Node: 1, D: x.nodes[1].order.last() - 180}
	}
	x.pass(100 * time.Millisecond)
	x.kill(1)
	x.unread = true
	m := x.nodes[3]
	for _, pid := range sorted(x.last) {
		m.Recover(pid, x.last[pid])
	}
	x.settle()
	x.pass(time.Second)
	first := x.answers["recovered"]
	if most := x.replayed / each; first < limit-1 || first > limit || m.Stats().PutOff < 30 {
		t.Fatalf("%v, %d times put off, %d replayed, enough for %d; want %d", x.answers, m.Stats().PutOff, x.replayed, most, limit)
	}
	m.Unsent(m.cfg.UnsentBytes/2 + 1)
	x.settle()
	x.pass(time.Second)
	if x.answers["recovered"] != first {
		t.Errorf("%v, though more than half is not read", x.answers)
	}
	m.Unsent(m.cfg.UnsentBytes / 2)
	x.settle()
	x.pass(time.Second)
	if n := x.answers["recovered"]; n < first+limit/2-1 || n > first+limit/2+1 {
		t.Errorf("%v, want %d more", x.answers, limit/2)
	}
	x.unread = false
	x.pass(time.Second)
	if x.answers["recovered"] != 40 || m.Stats().Gathers > 10 || len(x.answers) != 2 {
		t.Errorf("%v in %d gathers, want all", x.answers, m.Stats().Gathers)
	}
}

func TestReplaysAndTailsComeInParts(t *testing.T) {
	x := newTrio(t, 3, Config{PartBytes: 10_000})
	x.open(1, 0)
	for range 1000 { // 200 bytes each
		x.publish(1, "r0")
		x.settle()
	}
	for range 1000 {
		x.publish(2, "r0")
		x.settle()
	}
	x.pass(100 * time.Millisecond)
	x.largest = 0
	x.kill(1)
	x.nodes[3].Recover("pid0", Cursor{Node: 1, D: x.nodes[1].order.last() - 2000})
	x.settle()
	x.pass(100 * time.Millisecond)
	if x.answers["recovered"] != 1 || x.replayed != 2000 || x.largest > 20_000 {
		t.Errorf("%v, %d replayed, the largest frame has %d bytes; want 1 recovered, 2000, 20000", x.answers, x.replayed, x.largest)
	}
}

func TestATailComesInParts(t *testing.T) {
	x := newTrio(t, 3, Config{PartBytes: 10_000})
	mirror := x.nodes[1].set[0]
	other := 5 - mirror
	for range 500 { // which do not come to the other one
		m := wire.NewMessage(wire.Envelope{Origin: 1, Namespace: "/", Rooms: []string{"r"}}, make([]byte, 128))
		m.Seq = x.number(1, 0)
		x.nodes[1].Published(m)
		x.settle()
	}
	var got []uint64
	x.delivered = func(at wire.NodeID, m *wire.Message) {
		if at == other {
			got = append(got, m.Seq)
		}
	}
	x.pass(100 * time.Millisecond)
	x.largest = 0
	x.kill(1)
	x.pass(100 * time.Millisecond)
	if len(got) != 500 || !slices.IsSorted(got) || x.largest > 20_000 {
		t.Errorf("%d have come, the largest frame has %d bytes; want 500, 20000", len(got), x.largest)
	}
	if m := x.nodes[other]; !m.peers[1].tail.done || m.Stats().Completed != 500 {
		t.Errorf("done is %v, %d came", m.peers[1].tail.done, m.Stats().Completed)
	}
}

func TestTooMuchIsNotHeld(t *testing.T) {
	x := newTrio(t, 3, Config{HoldBytes: 50_000})
	x.open(3, 0)
	for range 1000 {
		x.publish(2, "r0")
		x.settle()
	}
	x.pass(100 * time.Millisecond)
	x.kill(1)
	x.nodes[3].Recover("pid0", Cursor{Node: 1, D: x.nodes[1].order.last() - 1000})
	x.settle()
	if x.answers["too much is missing"] != 1 || x.nodes[3].Stats().TooMuch != 1 {
		t.Errorf("%v, counted %d", x.answers, x.nodes[3].Stats().TooMuch)
	}
	x.nodes[3].Recover("pid1", x.last["pid1"])
	x.settle()
	x.pass(100 * time.Millisecond)
	if x.answers["recovered"] != 1 {
		t.Errorf("%v: who lacks little is not recovered behind it", x.answers)
	}
}

// A new buddy gets all sessions in frames of some size.
func TestTenThousandSessionsComeToANewBuddyInParts(t *testing.T) {
	x := newTrio(t, 2, Config{})
	x.open(10_000, 0)
	x.kill(2)
	x.dead = 0
	x.nodes[2] = New(Config{ID: 2})
	x.mirror, x.frames = 0, 0
	x.nodes[2].At(x.now)
	x.nodes[2].Member(1, wire.Frontiers{})
	x.nodes[1].Linked(2)
	x.nodes[2].Linked(1)
	x.pass(time.Second)
	if n := len(x.nodes[2].mirrors[1].sessions); n != 10_000 || x.mirror > mirrorBytes+10_000 || len(x.nodes[1].set) != 1 {
		t.Errorf("%d sessions are there, the largest frame of %d has %d bytes, %v are buddies", n, x.frames, x.mirror, x.nodes[1].set)
	}
}
