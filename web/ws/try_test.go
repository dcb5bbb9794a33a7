//go:build linux

package ws_test

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// tried is how many messages were tried, and calls that were not.
type tried struct{ here, elsewhere atomic.Int64 }

// calm is more than a client is silent whom who polls reads.
const calm = 3 * time.Millisecond

// setup has messages tried by try.
func (c *tried) setup(try func(data string) bool) func(*session) {
	return func(s *session) {
		s.try = func(_ *session, data string) bool {
			done := try(data)
			if done {
				c.here.Add(1)
			}
			return done
		}
		s.received = func(*session, string, bool) { c.elsewhere.Add(1) }
	}
}

func TestMessagesThatWaitForNobodyAreReceivedByWhoPolls(t *testing.T) {
	var c tried
	overTCP(t, limits, c.setup(func(string) bool { return true }), func(t *testing.T, h *host) {
		conn, s := h.deafOpen()
		waitFor(t, "it is parked", func() bool { return h.cfg.Poller.Conns() == 1 })
		for i := 1; c.here.Load() == 0; i++ { // a pause, if the machine was busy
			time.Sleep(calm)
			conn.Write(masked(0x81, 1, "x"))
			waitFor(t, "it is received", func() bool { return len(strings.Split(s.messages(), ",")) == i && s.messages() != "" })
		}
	})
}

// Some wait and some do not, frames come in pieces, and some are too large: each is
// received once, behind those before it.
func TestOrderHoldsBetweenMessagesReceivedHereAndThere(t *testing.T) {
	const clients, messages = 8, 300
	var c tried
	setup := c.setup(func(data string) bool { return len(data)%5 > 0 })
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		var all sync.WaitGroup
		for i := range clients {
			conn, in, s := h.rawOpen()
			go io.Copy(io.Discard, in) // ends with conn
			all.Go(func() { speak(t, conn, s, uint64(i), messages) })
		}
		all.Wait()
		if here, there := c.here.Load(), c.elsewhere.Load(); here == 0 || there == 0 || here+there != clients*messages {
			t.Errorf("%d received here and %d elsewhere, of %d", here, there, clients*messages)
		}
	})
}

func TestHalfAFrameWaitsForTheOther(t *testing.T) {
	var c tried
	overTCP(t, limits, c.setup(func(string) bool { return true }), func(t *testing.T, h *host) {
		conn, s := h.deafOpen()
		frame := masked(0x81, 5, "hello")
		for cut := 1; cut < len(frame); cut++ {
			time.Sleep(calm)
			conn.Write(frame[:cut])
			time.Sleep(calm) // often long enough to be read
			conn.Write(frame[cut:])
		}
		want := strings.Join(slices.Repeat([]string{"hello"}, len(frame)-1), ",")
		waitFor(t, "all are received", func() bool { return s.messages() == want })
	})
}

// A handler that says it does not wait, and does, keeps its client only.
func TestHandlerThatWaitsAllTheSameStopsNobodyElse(t *testing.T) {
	var c tried
	leave := make(chan struct{})
	setup := c.setup(func(data string) bool {
		if data == "wait" {
			<-leave
		}
		return true
	})
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		defer close(leave)
		busy, b := h.deafOpen()
		other, o := h.deafOpen()
		waitFor(t, "both are parked", func() bool { return h.cfg.Poller.Conns() == 2 })
		time.Sleep(calm)
		busy.Write(masked(0x81, 4, "wait"))
		other.Write(masked(0x81, 5, "first"))
		waitFor(t, "the other is received", func() bool { return o.messages() == "first" })
		waitFor(t, "it is counted", func() bool { return h.cfg.Poller.Slow() > 0 })
		for i := range 20 {
			other.Write(masked(0x81, 1, "x"))
			waitFor(t, "the other is received", func() bool { return strings.Count(o.messages(), "x") == i+1 })
		}
		if c.elsewhere.Load() == 0 {
			t.Error("who polls goes on to receive")
		}
		busy.Write(masked(0x81, 5, "again"))
		leave <- struct{}{}
		waitFor(t, "the client goes on", func() bool { return b.messages() == "wait,again" })
	})
}

// What takes long has others read for a while, then who polls reads again.
func TestSlowHandlerHasOthersReadForAWhile(t *testing.T) {
	var c tried
	var slow atomic.Bool
	slow.Store(true)
	setup := c.setup(func(string) bool {
		if slow.Load() {
			time.Sleep(2 * time.Millisecond)
		}
		return true
	})
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		conn, s := h.deafOpen()
		waitFor(t, "it is parked", func() bool { return h.cfg.Poller.Conns() == 1 })
		n := 0
		say := func() {
			n++
			time.Sleep(calm)
			conn.Write(masked(0x81, 1, "x"))
			waitFor(t, "it is received", func() bool { return strings.Count(s.messages(), "x") == n })
		}
		for h.cfg.Poller.Slow() == 0 {
			say()
		}
		slow.Store(false)
		before := c.elsewhere.Load()
		if say(); c.elsewhere.Load() != before+1 {
			t.Error("who polls still receives")
		}
		for before := c.here.Load(); c.here.Load() == before; {
			say()
		}
	})
}

// A panic ends its connection, a Goexit the goroutine: who polls is another then.
func TestHandlerThatPanicsOrExitsEndsNoOther(t *testing.T) {
	var c tried
	setup := c.setup(func(data string) bool {
		switch data {
		case "panic":
			panic("a handler")
		case "exit":
			runtime.Goexit()
		}
		return data != "exit elsewhere"
	})
	exits := func(s *session) {
		setup(s)
		s.received = func(*session, string, bool) { runtime.Goexit() }
	}
	overTCP(t, limits, exits, func(t *testing.T, h *host) {
		other, in, s := h.rawOpen()
		go io.Copy(io.Discard, in)
		for i := range 6 {
			bad, b := h.deafOpen()
			time.Sleep(calm)
			word := []string{"panic", "exit", "exit elsewhere"}[i%3]
			bad.Write(masked(0x81, len(word), word))
			bad.Write(masked(0x88, 0, "")) // or its end is waited for
			waitFor(t, word+": it ends", b.gone)
			if b.causes[0] != ws.CausePanic {
				t.Errorf("%s: cause %d, want a panic", word, b.causes[0])
			}
			other.Write(masked(0x81, 2, fmt.Sprintf("%02d", i)))
			waitFor(t, "the other is received", func() bool { return strings.HasSuffix(s.messages(), fmt.Sprintf("%02d", i)) })
		}
	})
}
