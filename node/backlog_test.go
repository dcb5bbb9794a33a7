package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// receive is c's reader with so many events; done is closed when it has got
// rid of them.
func receive(c *client, count int, name string, size int) (done chan struct{}) {
	done = make(chan struct{})
	arg := []byte(`"` + strings.Repeat("x", size) + `"`)
	go func() {
		defer close(done)
		for range count {
			c.session.Receive(&node.Event{Name: name, Args: wire.Args{arg}})
		}
	}()
	synctest.Wait()
	return done
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestEventsOfAClientAreHandledInOrderOneAtATime(t *testing.T) {
	var got []int // no lock: a race would be told
	setup := func(n *node.Node) {
		n.Namespace("/").On("e", func(e *node.Event) {
			var i int
			e.Arg(0, &i)
			time.Sleep(time.Duration(i%3) * time.Millisecond)
			got = append(got, i)
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		var want []int
		for i := range 300 {
			c.emit(0, "e", i)
			want = append(want, i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

func TestSlowHandlerHoldsItsReaderAtTheLimits(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").On("slow", func(e *node.Event) { time.Sleep(time.Second) })
		n.Namespace("/").On("fast", func(e *node.Event) {})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		for _, tt := range []struct{ size, fits int }{{1, 64}, {1 << 20, 1}, {32 << 10, 2}, {20 << 10, 4}} {
			c, other := connect(t, n, "/"), connect(t, n, "/")
			receive(c, 1, "slow", 1)
			if !isClosed(receive(c, tt.fits, "fast", tt.size)) {
				t.Errorf("%d events of %d bytes hold the reader", tt.fits, tt.size)
			}
			more := receive(c, 1, "fast", tt.size)
			if isClosed(more) {
				t.Errorf("%d events of %d bytes wait", tt.fits+1, tt.size)
			}
			if !isClosed(receive(other, 1, "fast", 1)) {
				t.Error("another client waits")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !isClosed(more) {
				t.Error("the reader still waits")
			}
		}
	})
}

func TestLastWordsAreHeardBeforeTheEnd(t *testing.T) {
	var said notes
	setup := func(n *node.Node) {
		ns := n.Namespace("/")
		ns.On("say", func(e *node.Event) {
			time.Sleep(time.Second)
			said.add(fmt.Sprint("say ", e.Session.Rooms()))
		})
		ns.On("hang", func(e *node.Event) { time.Sleep(time.Hour) })
		ns.OnDisconnect(func(s *node.Session, reason string) { said.add(fmt.Sprint(reason, s.Rooms())) })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.join("x")
		c.emit(0, "say", 1)
		c.emit(0, "say", 2)
		start := time.Now()
		c.session.Close("bye")
		if got := said.take(); !slices.Equal(got, []string{"say [x]", "say [x]", "bye[x]"}) || time.Since(start) != 2*time.Second {
			t.Errorf("said %q after %v", got, time.Since(start))
		}
		c = connect(t, n, "/")
		c.emit(0, "hang")
		start = time.Now()
		c.session.Close("bye")
		if got := said.take(); !slices.Equal(got, []string{"bye[]"}) || time.Since(start) != 5*time.Second {
			t.Errorf("said %q after %v", got, time.Since(start))
		}
		time.Sleep(time.Hour)
	})
}

func TestNothingIsHandledOfAClientThatIsDisconnected(t *testing.T) {
	var said notes
	setup := func(n *node.Node) {
		n.Namespace("/").On("kick me", func(e *node.Event) {
			time.Sleep(time.Second)
			e.Session.Disconnect(false)
		})
		n.Namespace("/").On("say", func(e *node.Event) { said.add("say") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(0, "kick me")
		more := receive(c, 70, "say", 1)
		time.Sleep(time.Second)
		synctest.Wait()
		c.emit(1, "say")
		if got := said.take(); got != nil || !isClosed(more) {
			t.Errorf("said %q, reader free: %v", got, isClosed(more))
		}
		expect(t, c, "close false")
		start := time.Now()
		c.session.Close("server namespace disconnect")
		if time.Since(start) != 0 {
			t.Errorf("the end took %v", time.Since(start))
		}
	})
}

// The end of a session is the end: what waits behind a handler that hangs is not
// handled after OnDisconnect, and its reader does not wait for it.
func TestNothingIsHandledAfterTheEnd(t *testing.T) {
	var said notes
	setup := func(n *node.Node) {
		ns := n.Namespace("/")
		ns.On("hang", func(e *node.Event) { time.Sleep(time.Hour) })
		ns.On("say", func(e *node.Event) { said.add("say") })
		ns.OnDisconnect(func(s *node.Session, reason string) { said.add(reason) })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(0, "hang")
		more := receive(c, 70, "say", 1)
		c.session.Close("bye")
		synctest.Wait()
		if !isClosed(more) {
			t.Error("the reader still waits")
		}
		time.Sleep(2 * time.Hour)
		if got := said.take(); !slices.Equal(got, []string{"bye"}) {
			t.Errorf("%d handlers ran, %q first, want bye alone", len(got), got[:1])
		}
	})
}

// A reader that waits for a handler is let go when its connection is over; what the
// session had by then is handled.
func TestGoneLetsTheReaderGo(t *testing.T) {
	handled := 0
	var hold chan struct{}
	setup := func(n *node.Node) {
		hold = make(chan struct{})
		n.Namespace("/").On("e", func(*node.Event) { <-hold; handled++ })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		reader := receive(c, 100, "e", 1)
		if isClosed(reader) {
			t.Fatal("the reader does not wait")
		}
		c.session.Gone()
		synctest.Wait()
		if !isClosed(reader) {
			t.Error("the reader still waits")
		}
		close(hold)
		synctest.Wait()
		c.emit(0, "e")
		synctest.Wait()
		if handled != 65 {
			t.Errorf("%d events handled, want 65", handled)
		}
		c.session.Close("transport close")
	})
}

// A handler of OnInline runs within Receive, but behind the events that wait and with
// a check in between on a goroutine, as the others do.
func TestInlineHandlersRunOnTheReaderInTheirTurn(t *testing.T) {
	var said notes
	var hold chan struct{}
	setup := func(n *node.Node) {
		hold = make(chan struct{})
		n.Namespace("/").On("slow", func(*node.Event) { <-hold; said.add("slow") })
		n.Namespace("/").OnInline("e", func(*node.Event) { said.add("e") })
		n.Namespace("/").OnInline("panics", func(*node.Event) { panic("a bug above") })
		n.Namespace("/checked").Use(func(*node.Event) error { <-hold; return nil })
		n.Namespace("/checked").OnInline("e", func(*node.Event) { said.add("checked") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c, checked := connect(t, n, "/"), connect(t, n, "/checked")
		expect := func(want ...string) {
			t.Helper()
			if got := said.take(); !slices.Equal(got, want) {
				t.Errorf("ran %q, want %q", got, want)
			}
		}
		c.emit(0, "e")
		expect("e") // no goroutine had to run
		c.emit(0, "slow")
		c.emit(0, "e")
		checked.emit(0, "e")
		synctest.Wait()
		expect()
		close(hold)
		synctest.Wait()
		if got := said.take(); len(got) != 3 || slices.Index(got, "slow") > slices.Index(got, "e") {
			t.Errorf("ran %q, want slow before e, and checked", got)
		}
		c.emit(0, "panics")
		c.emit(0, "e")
		expect("e")
		c.session.Close("bye") // nothing runs any more
		c.emit(0, "e")
		expect()
	})
}
