package node

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// witness is a Sink that notes who delivers.
type witness struct {
	mu             sync.Mutex
	got            []string // payloads
	quick, flushes int      // deliveries by who pushed
	deliver        func()   // runs in Deliver
}

func (w *witness) Deliver(d *Delivery) bool {
	if d.Kind != KindEvent {
		return true
	}
	if w.deliver != nil {
		w.deliver()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, string(d.Message.Payload))
	if strings.Contains(string(debug.Stack()), "sweepQuick") {
		w.quick++
	}
	return true
}

func (w *witness) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushes++
}

func (*witness) Close(bool) {}

// take is what came, how much of it by who pushed, and with how many flushes.
func (w *witness) take() (got []string, quick, flushes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	got, quick, flushes = w.got, w.quick, w.flushes
	w.got, w.quick, w.flushes = nil, 0, 0
	return got, quick, flushes
}

// running is a node that has been running for a while, and ends with the test.
func running(t *testing.T, shards int) *Node {
	n, err := New(Config{Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	return n
}

// member opens a session on a shard, in rooms.
func member(t *testing.T, n *Node, w Sink, shard int, rooms ...string) *Session {
	t.Helper()
	s, err := n.Open(context.Background(), SessionConfig{Namespace: "/", Sink: w, Affinity: Affinity(shard)})
	if err == nil {
		err = s.Join(context.Background(), rooms...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rested lets the shards have time for sweeps again.
func rested() {
	synctest.Wait()
	time.Sleep(quickWindow)
}

// The limits, at their edges: what is small is delivered by who publishes it, the rest by
// the shard's goroutine.
func TestFewDeliveriesAreMadeByWhoPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 2)
		n.Namespace("/")
		w := &witness{}
		member(t, n, w, 0, "one", "some", "many")
		for i := 1; i < quickWork; i++ {
			member(t, n, deaf{}, i, "some", "many")
		}
		member(t, n, deaf{}, 0, "many")
		empty := wire.NewMessage(wire.Envelope{Rooms: []string{"one"}, Namespace: "/"}, nil).Size()
		for _, tt := range []struct {
			room  string
			bytes int
			want  int
		}{
			{"one", 10, 1}, {"some", 10, 1}, {"many", 10, 0}, {"one", quickBytes - empty, 1}, {"one", quickBytes - empty + 1, 0},
		} {
			rested()
			w.take()
			m := wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{tt.room}}, make([]byte, tt.bytes))
			if err := n.publish(m, true); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got, quick, _ := w.take(); len(got) != 1 || quick != tt.want {
				t.Errorf("room %s, %d bytes: %d deliveries, %d of them by the publisher, want %d", tt.room, tt.bytes, len(got), quick, tt.want)
			}
		}
	})
}

// Who publishes much leaves it to the goroutine, which delivers together what has come.
func TestBusyShardIsSweptByItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		w := &witness{}
		n.Namespace("/")
		member(t, n, w, 0, "r")
		for range 2 { // the second time after a rest
			rested()
			w.take()
			var want []string
			for i := range 3 * quickSweeps {
				want = append(want, fmt.Sprintf(`["e",%d]`, i))
				n.In("/").To("r").Emit("e", i)
			}
			synctest.Wait()
			if got, quick, _ := w.take(); quick != quickSweeps || !slices.Equal(got, want) {
				t.Errorf("%d by the publisher, want %d; got %q", quick, quickSweeps, got)
			}
		}
	})
}

// Large sweeps use up the time that a shard has for them as many small ones do.
func TestDeliveriesOfWhoPublishesAreLimitedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		w := &witness{}
		n.Namespace("/")
		member(t, n, w, 0, "half", "more")
		for i := 1; i <= quickWork/2; i++ {
			if member(t, n, deaf{}, 0, "more"); i < quickWork/2 {
				member(t, n, deaf{}, 0, "half")
			}
		}
		for _, tt := range []struct {
			room string
			want int // of three messages
		}{{"half", 2}, {"more", 1}} {
			rested()
			w.take()
			for i := range 3 {
				n.In("/").To(tt.room).Emit("e", i)
			}
			synctest.Wait()
			if got, quick, _ := w.take(); len(got) != 3 || quick != tt.want {
				t.Errorf("room %s: %d deliveries, %d by the publisher, want 3, %d", tt.room, len(got), quick, tt.want)
			}
		}
	})
}

// What a link brings together is delivered together, by its reader if it is little.
func TestMessagesThatComeTogetherAreFlushedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 2)
		n.Namespace("/")
		w := &witness{}
		member(t, n, w, 1, "r")
		for _, tt := range []struct{ messages, quick int }{{3, 3}, {quickWork, quickWork}, {quickWork + 1, 0}} {
			rested()
			w.take()
			var list []*wire.Message
			for range tt.messages {
				list = append(list, &wire.Message{Envelope: &wire.Envelope{Origin: 7, Namespace: "/", Rooms: []string{"r"}}, Payload: []byte(`["e"]`)})
			}
			n.HandleMessages(list)
			synctest.Wait()
			if got, quick, flushes := w.take(); len(got) != tt.messages || quick != tt.quick || flushes != 1 {
				t.Errorf("%d messages: got %d in %d flushes, %d of them by the link's reader, want %d", tt.messages, len(got), flushes, quick, tt.quick)
			}
		}
	})
}

// Members see one order, and everything, while the turn goes to and fro. Work comes at
// the moment when it is given up, too: nothing that comes behind a round has it seen.
func TestNothingIsLostWhoeverHasTheTurn(t *testing.T) {
	n := running(t, 2)
	n.Namespace("/")
	a, b := &witness{}, &witness{}
	member(t, n, a, 0, "r")
	member(t, n, b, 0, "r")
	const publishers, rounds, each = 4, 300, 3
	all, quick, count := 0, 0, 0
	last := map[string]int{}
	for round := range rounds {
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					n.In("/").To("r").Emit("e", fmt.Sprintf("%d-", p), round*each+i)
				}
			})
		}
		wg.Wait()
		all += publishers * each
		for deadline := time.Now().Add(10 * time.Second); n.Stats().Delivered < uint64(2*all+2); time.Sleep(50 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d deliveries, want %d", round, n.Stats().Delivered, 2*all+2)
			}
		}
		got, q, _ := a.take()
		other, _, _ := b.take()
		if !slices.Equal(got, other) {
			t.Fatalf("one member got %q and the other %q", got, other)
		}
		quick, count = quick+q, count+len(got)
		for _, m := range got {
			var p string
			var i int
			fmt.Sscanf(strings.ReplaceAll(m, ",", " "), `["e" %q %d]`, &p, &i)
			if i != last[p] {
				t.Fatalf("number %d of publisher %q, want %d", i, p, last[p])
			}
			last[p]++
		}
	}
	if count != all || quick == 0 || quick == count {
		t.Errorf("%d messages of %d, %d by publishers: want all, and some by each", count, all, quick)
	}
}

// Run ends when nobody calls a Sink any more.
func TestShardClosesBehindWhoSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan struct{})
		go func() { defer close(ran); n.Run(ctx) }()
		n.Namespace("/")
		w := &witness{}
		member(t, n, w, 0, "r")
		rested()
		may := make(chan struct{})
		w.deliver = func() { <-may }
		go n.In("/").To("r").Emit("first")
		synctest.Wait()
		n.In("/").To("r").Emit("behind it")
		cancel()
		synctest.Wait()
		select {
		case <-ran:
			t.Error("Run has ended while a publisher sweeps")
		default:
		}
		close(may)
		<-ran
		if got, quick, _ := w.take(); !slices.Equal(got, []string{`["first"]`}) || quick != 1 {
			t.Errorf("got %q, %d of it by the publisher", got, quick)
		}
	})
}

func TestNothingIsDeliveredBeforeRun(t *testing.T) {
	s := newShard(0, &counters{})
	var turn turns
	turn.push(s, item{op: opUngate})
	if turn != 0 || s.waiting() != 1 {
		t.Errorf("turns %b, %d items wait; want the goroutine to have the turn", turn, s.waiting())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.run(ctx) // returns, whether it has taken the turn or not
}

// A shard whose number is too high for turns is swept by its goroutine.
func TestManyShardsAreAllSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, maxTurns+2)
		n.Namespace("/")
		for _, tt := range []struct{ shard, want int }{{0, 1}, {maxTurns - 1, 1}, {maxTurns, 0}, {maxTurns + 1, 0}} {
			w := &witness{}
			room := fmt.Sprint(tt.shard)
			member(t, n, w, tt.shard, room)
			rested()
			n.In("/").To(room).Emit("e")
			synctest.Wait()
			if got, quick, _ := w.take(); len(got) != 1 || quick != tt.want {
				t.Errorf("shard %d: %d deliveries, %d of them by the publisher, want %d", tt.shard, len(got), quick, tt.want)
			}
		}
	})
}

// A Sink that panics ends the process, also when a handler has called it whose panics
// do not.
func TestPanicOfASweepIsTheShards(t *testing.T) {
	s := newShard(0, &counters{})
	<-s.wake
	s.take()
	x := newTestSession(s, &Namespace{name: "/"})
	x.sink = &witness{deliver: func() { panic("sink") }}
	caught := func(f func()) (r any) {
		defer func() { r = recover() }()
		f()
		return nil
	}
	var turn turns
	turn.push(s, item{op: opTell, session: x, d: &Delivery{Message: wire.NewMessage(wire.Envelope{}, nil)}})
	if got := caught(s.sweepQuick); got != "sink" {
		t.Errorf("who pushed got %v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if got := caught(func() { s.run(ctx) }); !strings.Contains(fmt.Sprint(got), "sink") {
		t.Errorf("the goroutine got %v", got)
	}
}

// Who publishes is let go after a few sweeps, however slow they are: as long as each
// takes a good part of the window, there are never too many in one.
func TestSlowSweepsDoNotKeepWhoPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		n.Namespace("/")
		w := &witness{}
		member(t, n, w, 0, "r")
		rested()
		const messages = 10 * quickSweeps
		sent := 1
		w.deliver = func() {
			time.Sleep(quickWindow / quickSweeps)
			if sent < messages {
				sent++
				n.In("/").To("r").Emit("one more") // of somebody else, meanwhile
			}
		}
		n.In("/").To("r").Emit("first")
		synctest.Wait()
		time.Sleep(time.Second)
		if got, quick, _ := w.take(); len(got) != messages || quick != quickSweeps {
			t.Errorf("%d deliveries, %d of them by who published first, want %d, %d", len(got), quick, messages, quickSweeps)
		}
	})
}
