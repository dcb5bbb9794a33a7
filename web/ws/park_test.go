//go:build linux

package ws_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

func (s *session) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.served.IsZero()
}

func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		before := runtime.NumGoroutine()
		var sessions []*session
		var conns []net.Conn
		for range 100 {
			c, in, s := h.rawOpen()
			c.Write(masked(0x81, 5, "hello"))
			s.send("x")
			frame(t, in)
			sessions, conns = append(sessions, s), append(conns, c)
		}
		waitFor(t, "all have spoken, and a few goroutines are left", func() bool {
			for _, s := range sessions {
				if s.messages() != "hello" {
					return false
				}
			}
			return runtime.NumGoroutine() <= before+3
		})
		for _, c := range conns {
			c.Close()
		}
		waitFor(t, "nothing is left behind the last connection", func() bool { return runtime.NumGoroutine() <= before })
	})
}

// What is cut anywhere, and comes while the handler is busy or just when reading ends, is
// received once and in order.
func TestParkedConnectionsMissNothing(t *testing.T) {
	const clients, messages = 8, 300
	setup := func(s *session) {
		s.received = func(_ *session, data string, _ bool) {
			if len(data)%7 == 0 {
				time.Sleep(10 * time.Microsecond)
			}
		}
	}
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		var all sync.WaitGroup
		for i := range clients {
			c, in, s := h.rawOpen()
			go io.Copy(io.Discard, in) // ends with c
			all.Go(func() { speak(t, c, s, uint64(i), messages) })
		}
		all.Wait()
	})
}

// speak writes numbered messages in pieces, with pauses.
func speak(t *testing.T, c net.Conn, s *session, seed uint64, messages int) {
	r := rand.New(rand.NewPCG(seed, 3))
	var want []string
	var waiting []byte
	for i := range messages {
		data := fmt.Sprint(i, strings.Repeat("x", r.IntN(200)))
		want = append(want, data)
		waiting = append(waiting, masked(0x81, len(data), data)...)
		for len(waiting) > 0 && r.IntN(3) > 0 {
			n := 1 + r.IntN(len(waiting))
			c.Write(waiting[:n])
			waiting = waiting[n:]
			if r.IntN(20) == 0 {
				time.Sleep(2 * time.Millisecond) // who polls may read what follows
			}
			if r.IntN(4) == 0 {
				time.Sleep(time.Duration(r.IntN(100)) * time.Microsecond)
			}
		}
	}
	c.Write(waiting)
	waitFor(t, "all is received", func() bool { return s.messages() == strings.Join(want, ",") })
}

// The end of the stream comes with the last bytes, or right behind them.
func TestEndBehindTheLastMessageIsSeen(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		for i := range 200 {
			c, _, s := h.rawOpen()
			c.Write(masked(0x81, 5, "hello"))
			if i%2 > 0 {
				time.Sleep(time.Duration(i) * time.Microsecond)
			}
			c.Close()
			waitFor(t, "the session ends", s.gone)
			if s.messages() != "hello" || s.causes[0] != ws.CauseLost {
				t.Fatalf("received %q, cause %d, want hello and a lost connection", s.messages(), s.causes[0])
			}
		}
	})
}

func TestBusyHandlerHoldsUpItsOwnConnectionOnly(t *testing.T) {
	leave := make(chan struct{})
	setup := func(s *session) {
		s.received = func(s *session, data string, _ bool) {
			if data == "wait" {
				<-leave
			}
			s.send(data)
		}
	}
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		busy, b := h.open()
		busy.send("wait")
		busy.send("next")
		waitFor(t, "the handler is busy", func() bool { return b.messages() != "" })
		other, _ := h.open()
		other.send("hello")
		if got := other.read(); got != "hello" {
			t.Errorf("got %q", got)
		}
		if got := b.messages(); got != "wait" {
			t.Errorf("received %q while the handler is busy", got)
		}
		close(leave)
		if got := busy.read() + busy.read(); got != "waitnext" {
			t.Errorf("got %q", got)
		}
	})
}

// A place and a descriptor are another's as soon as a connection has ended.
func TestConnectionsThatComeAndGoDisturbNoOther(t *testing.T) {
	setup := func(s *session) {
		s.received = func(s *session, data string, _ bool) { s.send(data) }
	}
	overTCP(t, limits, setup, func(t *testing.T, h *host) {
		stay, s := h.open()
		var churn sync.WaitGroup
		for i := range 4 {
			churn.Go(func() {
				for j := range 50 {
					c, err := h.dial(t.Context(), "tcp", "")
					if err != nil {
						t.Error(err)
						return
					}
					fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
						"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
					c.Write(masked(0x81, 1, "x"))
					if (i+j)%2 == 0 {
						(<-h.sessions).end(0, "")
					} else {
						<-h.sessions
					}
					c.Close()
				}
			})
		}
		for i := range 200 {
			want := fmt.Sprint(i)
			stay.send(want)
			if got := stay.read(); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		churn.Wait()
		if s.gone() {
			t.Error("the connection has ended")
		}
	})
}

// Without connections there is nothing, and with the next one all is there again.
func TestPollerEndsWithItsLastConnection(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		for range 3 {
			_, _, s := h.rawOpen()
			waitFor(t, "it is parked", func() bool { return h.cfg.Poller.Conns() == 1 })
			s.end(0, "")
			waitFor(t, "the session ends", s.gone)
			if got := h.cfg.Poller.Conns(); got != 0 {
				t.Errorf("%d connections are parked", got)
			}
		}
	})
}

// guest counts what it is told.
type guest struct {
	mu           sync.Mutex
	stayed, left int
}

func (g *guest) Stayed() { g.mu.Lock(); defer g.mu.Unlock(); g.stayed++ }
func (g *guest) Left()   { g.mu.Lock(); defer g.mu.Unlock(); g.left++ }

func (g *guest) counts() [2]int { g.mu.Lock(); defer g.mu.Unlock(); return [2]int{g.stayed, g.left} }

func TestGuestIsToldOfTheEnd(t *testing.T) {
	for name, run := range map[string]func(*session){
		"served":   func(s *session) { s.Go(s) },
		"rejected": func(s *session) { h := s.host; s.Reject(ws.StatusRefused, "", s.leave); h.sessions <- s },
	} {
		overTCP(t, limits, nil, func(t *testing.T, h *host) {
			inner, outer := &guest{}, &guest{}
			h.guests = []ws.Guest{outer, inner}
			h.run = run
			c, _, _ := h.rawOpen()
			if got := [][2]int{inner.counts(), outer.counts()}; name == "served" && (got[0] != [2]int{1, 0} || got[1] != [2]int{1, 0}) {
				t.Errorf("%s: stayed and left %v, want 1 and 0", name, got)
			}
			c.Close()
			waitFor(t, "both have left", func() bool { return inner.counts() == [2]int{1, 1} && outer.counts() == [2]int{1, 1} })
		})
	}
}
