package plain_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meshrt/meshrt/web/plain"
)

// A list larger than what may wait for a client reaches it, with what comes behind it; without an id nobody is told.
func TestListLargerThanTheQueueReachesItsClient(t *testing.T) {
	inBubble(t, plain.Config{QueueBytes: 600}, func(t *testing.T, h *host) {
		for range 20 {
			h.open().join("lobby")
		}
		c := h.open()
		c.join("news")
		c.send(`{"type":"presence","room":"lobby"}`, `{"type":"presence","id":7,"room":"lobby"}`)
		synctest.Wait()
		for i := range 4 {
			h.main.To("news").Emit("news", i, strings.Repeat("x", 70))
		}
		synctest.Wait()
		if got := c.read(); !strings.HasPrefix(got, `{"type":"ack","id":7,"ok":true,"members":[{"id":"`) || strings.Count(got, `"node":"n1"}`) != 20 || !strings.HasSuffix(got, `}]}`) {
			t.Errorf("got %.200s", got)
		}
		for i := range 4 {
			if got := c.read(); !strings.HasPrefix(got, fmt.Sprintf(`{"type":"event","room":"news","event":"news","data":%d,`, i)) {
				t.Errorf("got %.200s", got)
			}
		}
	})
}
