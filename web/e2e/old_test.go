//go:build unix

package e2e

import (
	"testing"
	"time"
)

// Clients of Socket.IO 2 need no stickiness either: their sessions, of Engine.IO 3,
// have their requests on all nodes, bytes and the pings of the clients too.
func TestRoundRobinWithClientsOfSocketIO2(t *testing.T) {
	for _, tt := range []struct {
		name       string
		transports []string
		last       string
	}{
		{"polling only", []string{"polling"}, "polling"},
		{"polling, then websocket", nil, "websocket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startCluster(t, 3, "-allow-eio3", "-ping-interval", "1s", "-ping-timeout", "2s")
			b := startNginx(t, nodes)
			const clients, each = 20, 20
			var result struct{ Problems, Disconnects, Last []string }
			script(t, time.Minute, "old.mjs", map[string]any{"url": b.url, "clients": clients, "each": each,
				"transports": tt.transports, "rest": 6000}, &result)
			for _, p := range append(result.Problems, result.Disconnects...) {
				t.Error(p)
			}
			for i, last := range result.Last {
				if last != tt.last {
					t.Errorf("client %d is on %s", i, last)
				}
			}
			passed := 0.0
			for _, n := range nodes {
				passed += n.metric(`meshrt_forwarded_requests_total{dir="in",result="ok"}`)
			}
			if len(result.Last) != clients+1 || passed < clients {
				t.Errorf("%d clients, %v requests passed on", len(result.Last), passed)
			}
			b.wantOnly("200", "101", "499")
		})
	}
}
