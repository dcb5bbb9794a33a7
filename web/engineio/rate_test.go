package engineio_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// numbered is n messages.
func numbered(n int) (packets []string, want string) {
	var messages []string
	for i := range n {
		messages = append(messages, fmt.Sprint("m", i))
		packets = append(packets, fmt.Sprint("4m", i))
	}
	return packets, strings.Join(messages, ",")
}

// A client that sends faster than its rate loses nothing, keeps its session, though
// its pongs wait behind its messages, and gets its rate.
func TestClientOverItsRateIsSlowedDownAndKept(t *testing.T) {
	cfg := official
	cfg.Rate = 10
	packets, want := numbered(50) // 20 at once, and 30 in three seconds
	for name, send := range map[string]func(h *host, app *app) *session{
		"websocket": func(h *host, app *app) *session {
			c := h.open()
			go func() {
				for _, p := range packets {
					c.Write(context.Background(), websocket.MessageText, []byte(p))
				}
			}()
			go func() {
				for { // answers each ping, and each answer waits its turn
					_, data, err := c.Read(context.Background())
					if err != nil {
						return
					}
					if string(data) == "2" {
						c.Write(context.Background(), websocket.MessageText, []byte("3"))
					}
				}
			}()
			return <-app.opened
		},
		"polling": func(h *host, app *app) *session {
			p := h.polling(app)
			go func() {
				p.post(packets...)
				for p.s.ends() == nil {
					if p.get() == "200 2" {
						p.post("3")
					}
				}
			}()
			return p.s
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := newApp(nil)
			inBubble(t, cfg, app, func(t *testing.T, h *host) {
				s := send(h, app)
				time.Sleep(time.Millisecond)
				if got := strings.Count(s.messages(), "m"); got != 20 {
					t.Errorf("%d messages came at once, want 20", got)
				}
				time.Sleep(time.Second)
				if got := strings.Count(s.messages(), "m"); got != 30 {
					t.Errorf("%d messages within a second, want 30", got)
				}
				time.Sleep(4 * time.Second)
				if got := s.messages(); got != want {
					t.Errorf("received %s, want %s", got, want)
				}
				if s.ends() != nil {
					t.Errorf("the session ended: %v", s.ends())
				}
				if got := h.server.Stats().Delayed; got != 30 {
					t.Errorf("%d messages counted as delayed, want 30", got)
				}
				if got := strings.Count(h.log.String(), "cause=rate"); got != 1 {
					t.Errorf("%d lines in the log, want 1", got)
				}
				h.stop()
			})
		})
	}
}

func TestEndDoesNotWaitForTheRate(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{Rate: 1}, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		go func() {
			for range 10 {
				c.Write(context.Background(), websocket.MessageText, []byte("4x"))
			}
		}()
		time.Sleep(time.Millisecond)
		start := time.Now()
		s.Close(engineio.ReasonTransportError)
		wantEnd(t, s, engineio.ReasonTransportError)
		if took := s.endedAt.Sub(start); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

// While the layer above keeps us from reading, the client's pong may be there.
func TestReceiverThatBlocksDoesNotCostTheClientItsSession(t *testing.T) {
	const slow = time.Minute
	app := newApp(func(_ *session, data string, _ bool) {
		if data == "slow" {
			time.Sleep(slow)
		}
	})
	t.Run("websocket", func(t *testing.T) {
		inBubble(t, official, app, func(t *testing.T, h *host) {
			c := h.open()
			s := <-app.opened
			go c.Write(context.Background(), websocket.MessageText, []byte("4slow"))
			if got := c.read(); got != "2" {
				t.Fatalf("got %q, want a ping", got)
			}
			go c.Write(context.Background(), websocket.MessageText, []byte("3")) // waits to be read
			time.Sleep(slow - 100*time.Millisecond)                              // the pong has been read, and the next ping is not due
			if s.ends() != nil {
				t.Fatalf("ended with %v", s.ends())
			}
			c.readAll() // and then the time counts again
			wantEnd(t, s, engineio.ReasonPingTimeout)
			if got := s.endedAt.Sub(s.OpenedAt()); got != slow+500*time.Millisecond {
				t.Errorf("ended %v after the handshake, want the time of a ping timeout after the pong was read", got)
			}
		})
	})
	t.Run("websocket without a pong", func(t *testing.T) {
		inBubble(t, official, app, func(t *testing.T, h *host) {
			c := h.open()
			s := <-app.opened
			go c.Write(context.Background(), websocket.MessageText, []byte("4slow"))
			c.readAll()
			wantEnd(t, s, engineio.ReasonPingTimeout)
			if got, want := s.endedAt.Sub(s.OpenedAt()), slow+200*time.Millisecond; got != want {
				t.Errorf("ended %v after the handshake, want %v: a ping timeout after it was read again", got, want)
			}
		})
	})
	t.Run("polling", func(t *testing.T) {
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			posted := make(chan answer, 1)
			go func() { posted <- p.post("4slow") }()
			p.wantGet("200 2")
			waiting := p.hang()
			time.Sleep(slow - time.Second)
			wantNothing(t, waiting)
			if got := <-posted; got != "200 ok" {
				t.Errorf("POST: %s", got)
			}
			p.wantPost("3")
			time.Sleep(299 * time.Millisecond)
			synctest.Wait()
			if p.s.ends() != nil {
				t.Fatalf("ended with %v", p.s.ends())
			}
		})
	})
}
