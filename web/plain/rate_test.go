package plain_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
)

// A client that sends faster than its rate loses nothing, keeps its connection and
// gets its rate.
func TestClientOverItsRateIsSlowedDownAndKept(t *testing.T) {
	cfg := fast
	cfg.Rate = 10
	inBubble(t, cfg, func(t *testing.T, h *host) {
		var mu sync.Mutex
		var got []string
		h.main.On("n", func(e *node.Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, string(e.Args[0]))
		})
		c := h.open()
		go func() {
			for i := range 50 {
				c.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"type":"emit","event":"n","data":%d}`, i))
			}
			c.readAll()
		}()
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{time.Millisecond, 20}, {time.Second, 30}, {4 * time.Second, 50}} {
			time.Sleep(step.after)
			synctest.Wait()
			mu.Lock()
			if len(got) != step.want {
				t.Errorf("%d messages after %v, want %d", len(got), step.after, step.want)
			}
			mu.Unlock()
		}
		if order := strings.Join(got, " "); !strings.HasPrefix(order, "0 1 2 ") || !strings.HasSuffix(order, " 48 49") {
			t.Errorf("received %s", order)
		}
		h.wantLeft()
		if got := h.server.Stats().Delayed; got != 30 {
			t.Errorf("%d messages counted as delayed, want 30", got)
		}
		c.CloseNow()
	})
}

func TestEndDoesNotWaitForTheRate(t *testing.T) {
	cfg := fast
	cfg.Rate = 1
	inBubble(t, cfg, func(t *testing.T, h *host) {
		h.main.On("n", func(*node.Event) {})
		c := h.open()
		go func() {
			for range 10 {
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"emit","event":"n"}`))
			}
		}()
		time.Sleep(time.Millisecond)
		start := time.Now()
		h.stopRun()
		go c.readAll()
		<-h.ran
		if took := time.Since(start); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}
