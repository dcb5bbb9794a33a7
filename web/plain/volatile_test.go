package plain_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/web/ws"
)

// What is volatile is dropped while a client does not read, before the client is
// cut, and the rest arrives whole and in order.
func TestVolatileIsDroppedWhileTheClientDoesNotRead(t *testing.T) {
	inBubble(t, plain.Config{QueueGroups: 4}, func(t *testing.T, h *host) {
		c, e := h.open(), h.stream("")
		synctest.Wait()
		h.main.To().Volatile().Emit("idle")
		c.want(`{"type":"event","event":"idle"}`)
		e.want(event("idle", `{"type":"event","event":"idle"}`))
		synctest.Wait()
		h.main.Emit("first")
		synctest.Wait() // the writers wait for the clients
		for range 100 {
			h.main.To().Volatile().Emit("dropped")
		}
		h.main.Emit("last")
		synctest.Wait()
		c.want(`{"type":"event","event":"first"}`, `{"type":"event","event":"last"}`)
		e.want(event("first", `{"type":"event","event":"first"}`), event("last", `{"type":"event","event":"last"}`))
		h.wantLeft()
		if got := h.server.Stats(); got.VolatileDropped != 100 || got.Streams.VolatileDropped != 100 {
			t.Errorf("%d and %d counted as dropped, want 100 each", got.VolatileDropped, got.Streams.VolatileDropped)
		}
	})
}

// Each limit of the queue is a cause of its own, counted, and logged once a minute.
func TestSlowClientsAreCountedByCause(t *testing.T) {
	for cause, cfg := range map[ws.Slow]plain.Config{
		ws.SlowBytes:    {QueueBytes: 400},
		ws.SlowMessages: {QueueGroups: 8},
		ws.SlowWrite:    {PingTimeout: time.Second},
	} {
		t.Run(cause.String(), func(t *testing.T) {
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			inBubble(t, cfg, func(t *testing.T, h *host) {
				for range 2 {
					h.open()
					h.stream("")
					for range 12 {
						h.main.Emit("all", strings.Repeat("x", 20))
						synctest.Wait()
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				s := h.server.Stats()
				if s.Slow[cause] != 2 || s.Closed["slow client"] != 2 || s.Streams.Slow[cause] != 2 || s.Streams.Closed["slow client"] != 2 {
					t.Errorf("counted %v and %v, want two of each", s.Slow, s.Streams.Slow)
				}
				if got := strings.Count(log.String(), `cause="`+cause.String()+`"`); got != 1 {
					t.Errorf("%d lines, want 1:\n%s", got, &log)
				}
			})
		})
	}
}
