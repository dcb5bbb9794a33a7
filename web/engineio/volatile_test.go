package engineio_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/ws"
)

// What is volatile is dropped while a client does not read, before the client is
// cut, and the rest arrives whole and in order.
func TestVolatileIsDroppedWhileTheTransportIsNotWritable(t *testing.T) {
	cfg := engineio.Config{QueueGroups: 4}
	app := newApp(nil)
	t.Run("websocket", func(t *testing.T) {
		inBubble(t, cfg, app, func(t *testing.T, h *host) {
			c := h.open()
			s := <-app.opened
			synctest.Wait()
			s.Send(message("first", false))
			if !s.SendVolatile(message("with it", false)) {
				t.Error("a volatile message to a client that reads is refused")
			}
			s.Flush()
			synctest.Wait() // the writer waits for the client
			for range 100 {
				if !s.SendVolatile(message("dropped", false)) {
					t.Fatal("the session ended for a volatile message")
				}
			}
			s.Send(message("last", false))
			s.Flush()
			for _, want := range []string{"4first", "4with it", "4last"} {
				if got := c.read(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if got := h.server.Stats().VolatileDropped; got != 100 {
				t.Errorf("%d counted as dropped, want 100", got)
			}
		})
	})
	t.Run("websocket with a full queue", func(t *testing.T) {
		inBubble(t, cfg, app, func(t *testing.T, h *host) {
			h.open()
			s := <-app.opened
			synctest.Wait()
			for range 4 {
				s.Send(message("x", false))
			}
			if !s.SendVolatile(message("dropped", false)) || s.ends() != nil {
				t.Error("a volatile message over the limit ended the session")
			}
			if s.Send(message("cut", false)) {
				t.Error("the queue has no limit")
			}
			if s.SendVolatile(message("x", false)) {
				t.Error("the end is not told")
			}
			wantEnd(t, s, engineio.ReasonSlow)
		})
	})
	t.Run("polling", func(t *testing.T) {
		inBubble(t, cfg, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			synctest.Wait()
			p.s.SendVolatile(message("dropped", false)) // no poll waits
			waiting := p.hang()
			synctest.Wait()
			p.s.SendVolatile(message("one", false))
			p.s.SendVolatile(message("two", false))
			p.s.Flush()
			wantNow(t, waiting, answer("200 "+payload("4one", "4two")))
			if got := h.server.Stats().VolatileDropped; got != 1 {
				t.Errorf("%d counted as dropped, want 1", got)
			}
		})
	})
}

// Each limit of the queue is a cause of its own, counted, and logged once a minute.
func TestSlowClientsAreCountedByCause(t *testing.T) {
	for cause, cfg := range map[ws.Slow]engineio.Config{
		ws.SlowBytes:    {QueueBytes: 100},
		ws.SlowMessages: {QueueGroups: 10},
		ws.SlowWrite:    {PingTimeout: time.Second},
	} {
		t.Run(cause.String(), func(t *testing.T) {
			app := newApp(nil)
			inBubble(t, cfg, app, func(t *testing.T, h *host) {
				for range 2 {
					h.open()
					s := <-app.opened
					synctest.Wait()
					for i := range 11 {
						s.Send(message("0123456789", false))
						if i == 0 {
							s.Flush()
						}
					}
					time.Sleep(time.Second)
					wantEnd(t, s, engineio.ReasonSlow)
				}
				if got, want := fmt.Sprint(h.server.Stats().Slow[cause], h.server.Stats().Closed[engineio.ReasonSlow]), "2 2"; got != want {
					t.Errorf("counted %s, want %s: %v", got, want, h.server.Stats().Slow)
				}
				if got := strings.Count(h.log.String(), `cause="`+cause.String()+`"`); got != 1 {
					t.Errorf("%d lines, want 1:\n%s", got, h.log)
				}
			})
		})
	}
}
