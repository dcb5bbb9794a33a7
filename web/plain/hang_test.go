package plain_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

// hang has the reader of a new connection wait for a handler, behind so many events
// as a session may have.
func (h *host) hang() *client {
	c := h.open()
	go func() {
		for range 100 {
			if c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"emit","event":"hang"}`)) != nil {
				return
			}
		}
	}()
	synctest.Wait()
	return c
}

// A connection ends although its reader waits for a handler that waits for the end:
// the session is closed, and its context, at once.
func TestHandlerThatWaitsForTheEndOfItsClientSeesIt(t *testing.T) {
	for name, end := range map[string]func(h *host, c *client){
		"slow":     func(h *host, c *client) { emitMany(h) },
		"shutdown": func(h *host, c *client) { h.stopRun() },
		"server":   func(h *host, c *client) { h.main.To(c.id).Disconnect(context.Background(), true) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{QueueGroups: 4}, func(t *testing.T, h *host) {
				handled := 0
				h.main.On("hang", func(e *node.Event) { <-e.Session.Context().Done(); handled++ })
				c := h.hang()
				start := time.Now()
				end(h, c)
				go c.readAll()
				for h.node.Stats().Sessions > 0 && time.Since(start) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				if took := time.Since(start); took > 20*time.Millisecond {
					t.Errorf("the session was there for %v", took)
				}
				synctest.Wait()
				if name != "server" && handled != 65 { // a Disconnect throws away what waits
					t.Errorf("%d events were handled, want the 65 that were received", handled)
				}
			})
		})
	}
}

// One that never returns holds its session for the time of last words.
func TestHandlerThatHangsHoldsItsSessionForSeconds(t *testing.T) {
	inBubble(t, plain.Config{QueueGroups: 4}, func(t *testing.T, h *host) {
		done := make(chan struct{})
		defer close(done)
		h.main.On("hang", func(e *node.Event) { <-done })
		h.hang()
		emitMany(h)
		time.Sleep(5 * time.Second)
		h.wantLeft("transport error")
		if got := h.node.Stats().Sessions; got != 0 {
			t.Errorf("%d sessions in the node, want none", got)
		}
	})
}

func emitMany(h *host) {
	for range 10 {
		h.main.Emit("flood")
		synctest.Wait()
	}
}
