package node_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// Who has left just before its node ends has left for its own reason: what waits to be told together is told then.
func TestMembersThatLeaveAtTheEndOfANodeAreTold(t *testing.T) {
	together(t, 2, withPresence, func(t *testing.T, b *lab) {
		const members = 200 // one by one: more than are told at once
		var all []*client
		for range members {
			c := connect(t, b.nodes[1], "/")
			c.join("lobby")
			all = append(all, c)
		}
		w := connect(t, b.nodes[0], "/")
		w.emit(1, "presence", "lobby")
		time.Sleep(100 * time.Millisecond)
		for _, c := range all {
			c.session.Lost("transport close")
			synctest.Wait()
		}
		if told := b.nodes[1].Stats().Presence.Deltas; told >= members {
			t.Errorf("%d members left in %d frames, none has waited", members, told)
		}
		b.stops[1]()
		b.stops = b.stops[:1]
		left := 0
		for _, text := range only(w.take(), node.EventMemberLeft) {
			if strings.Contains(text, fmt.Sprintf(`"reason":%q`, "transport close")) {
				left++
			}
		}
		if left != members {
			t.Errorf("%d of %d have left for their own reason", left, members)
		}
	})
}
