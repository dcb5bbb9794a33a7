package ws_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// A client that pings before it has seen our close frame is waited for as any other:
// closing at once, with its frames unread, could take our last ones from it.
func TestPingBehindOurCloseFrameEndsNothing(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.deafOpen()
		s.end(ws.StatusNormal, "")
		synctest.Wait()
		c.Write(masked(0x89, 1, "x"))
		time.Sleep(time.Second)
		synctest.Wait()
		s.mu.Lock()
		if got := s.served; !got.IsZero() {
			t.Errorf("the connection is closed before the client's close frame, for causes %v", s.causes)
		}
		s.mu.Unlock()
		c.Write(masked(0x88, 2, "\x03\xe8"))
		if got := s.cause(); got != ws.CauseGoodbye {
			t.Errorf("cause %d, want a goodbye", got)
		}
	})
}
