package node

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// paced is a running node of one shard, with a room "many" that has as many members as make a
// sweep one for many, and a room "few" with one member less. w is in both, and slow: each delivery takes slow nanoseconds.
func paced(t *testing.T, took time.Duration) (n *Node, w *witness, slow *atomic.Int64) {
	n = running(t, 1)
	n.Namespace("/")
	slow = new(atomic.Int64)
	slow.Store(int64(took))
	w = &witness{deliver: func() { time.Sleep(time.Duration(slow.Load())) }}
	x := member(t, n, w, 0, "many")
	if _, err := x.join([]string{"few"}); err != nil {
		t.Fatal(err)
	}
	member(t, n, deaf{}, 0, "many")
	for range quickWork - 1 {
		member(t, n, deaf{}, 0, "many", "few")
	}
	rested()
	w.take()
	return n, w, slow
}

// The first message goes out at once, and what follows closely together, at the end of the pause.
func TestMessagesForManyThatFollowCloselyGoOutTogether(t *testing.T) {
	for _, tt := range []struct{ took, pause time.Duration }{
		{time.Millisecond, paceShare * time.Millisecond}, {3 * time.Millisecond, paceMost}, {paceMost - time.Millisecond, paceMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, w, _ := paced(t, tt.took)
			began := time.Now()
			n.In("/").To("many").Emit("first")
			time.Sleep(tt.took)
			synctest.Wait()
			if got, _, _ := w.take(); !slices.Equal(got, []string{`["first"]`}) {
				t.Errorf("at first: got %q", got)
			}
			n.In("/").To("many").Emit("second")
			n.In("/").To("few").Emit("third")
			time.Sleep(time.Until(began.Add(tt.pause)) - 1)
			synctest.Wait()
			if got, _, _ := w.take(); len(got) > 0 {
				t.Errorf("a sweep of %v: in the pause of %v: got %q", tt.took, tt.pause, got)
			}
			time.Sleep(1 + 2*tt.took)
			synctest.Wait()
			if got, _, flushes := w.take(); !slices.Equal(got, []string{`["second"]`, `["third"]`}) || flushes != 1 {
				t.Errorf("a sweep of %v: behind the pause of %v: got %q in %d flushes", tt.took, tt.pause, got, flushes)
			}
		})
	}
}

// Nothing waits behind what few clients got, however long that took.
func TestMessageForFewMakesNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, w, slow := paced(t, time.Millisecond)
		if err := n.publish(wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{"few"}}, make([]byte, quickBytes+1)), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		slow.Store(0)
		n.In("/").To("many").Emit("second")
		synctest.Wait()
		if got, quick, _ := w.take(); len(got) != 2 || quick > 0 {
			t.Errorf("%d came, %d by who pushed, want 2 by the goroutine", len(got), quick)
		}
	})
}

// What comes behind the pause, or a sweep that was as long, waits for nothing.
func TestMessageForManyWaitsForNoMoreThanThePause(t *testing.T) {
	for what, tt := range map[string]struct{ took, after time.Duration }{
		"behind the pause": {time.Millisecond, paceShare * time.Millisecond}, "behind a long sweep": {paceMost, paceMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, w, _ := paced(t, tt.took)
			n.In("/").To("many").Emit("first")
			time.Sleep(tt.after)
			synctest.Wait()
			w.take()
			n.In("/").To("many").Emit("second")
			time.Sleep(tt.took)
			synctest.Wait()
			if got, _, _ := w.take(); len(got) != 1 {
				t.Errorf("%s: got %q", what, got)
			}
		})
	}
}

// A room with few members waits for no other, whoever delivers.
func TestMessageForFewHasNoPause(t *testing.T) {
	for _, bytes := range []int{1, quickBytes + 1} {
		synctest.Test(t, func(t *testing.T) {
			n, w, slow := paced(t, time.Millisecond)
			n.In("/").To("many").Emit("first")
			time.Sleep(time.Millisecond)
			synctest.Wait()
			w.take()
			slow.Store(0)
			if err := n.publish(wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{"few"}}, make([]byte, bytes)), true); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got, quick, _ := w.take(); len(got) != 1 || (quick == 1) != (bytes == 1) {
				t.Errorf("%d bytes: %d came, %d by who pushed", bytes, len(got), quick)
			}
		})
	}
}

// What waits in a pause has limits: at each a pause goes on, beyond it is over.
func TestMuchEndsThePause(t *testing.T) {
	empty := wire.NewMessage(wire.Envelope{Rooms: []string{"many"}, Namespace: "/"}, nil).Size()
	for _, tt := range []struct {
		messages, bytes int // each
		over            bool
	}{
		{paceItems, 1, false}, {paceItems + 1, 1, true}, {1, paceBytes - empty, false}, {1, paceBytes - empty + 1, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, w, slow := paced(t, time.Millisecond)
			for round := range 2 { // the second time as the first
				n.In("/").To("many").Emit("first")
				time.Sleep(time.Millisecond)
				synctest.Wait()
				w.take()
				slow.Store(0)
				for range tt.messages {
					if err := n.publish(wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{"many"}}, make([]byte, tt.bytes)), true); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got, _, _ := w.take(); len(got) > 0 != tt.over {
					t.Errorf("round %d: %d messages of %d bytes: %d came in the pause", round, tt.messages, tt.bytes, len(got))
				}
				slow.Store(int64(time.Millisecond))
				rested()
			}
		})
	}
}

// A node that ends waits for no pause.
func TestPauseEndsWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShard(0, &counters{})
		s.pace.next = time.Now().Add(paceMost)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.run(ctx); close(ended) }()
		m := wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{"many"}}, nil)
		s.push(item{op: opMessage, d: &Delivery{Message: m}, members: quickWork + 1})
		synctest.Wait()
		if s.waiting() != 1 {
			t.Error("no pause")
		}
		began := time.Now()
		cancel()
		<-ended
		if took := time.Since(began); took != 0 {
			t.Errorf("it ended %v later", took)
		}
	})
}

// Members that come and go closely together are told together to many who watch.
func TestWatchersAreToldTogether(t *testing.T) {
	for _, tt := range []struct {
		watchers int32
		together bool
	}{{quickWork + 1, true}, {quickWork, false}} {
		synctest.Test(t, func(t *testing.T) {
			n, w, _ := paced(t, time.Millisecond)
			tell := func(event string) {
				m := wire.NewMessage(wire.Envelope{Namespace: "/"}, []byte(event))
				n.shards[0].push(item{op: opWatchers, topic: wire.Topic{Namespace: "/", Room: "many"}, members: tt.watchers, d: &Delivery{Message: m}})
			}
			tell("first")
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			w.take()
			for range 3 {
				tell("one more")
				time.Sleep(1500 * time.Microsecond)
			}
			time.Sleep(2 * paceMost)
			synctest.Wait()
			if got, _, flushes := w.take(); len(got) != 3 || (flushes == 1) != tt.together {
				t.Errorf("%d watchers: %d events in %d flushes, together: want %v", tt.watchers, len(got), flushes, tt.together)
			}
		})
	}
}
