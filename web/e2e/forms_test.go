//go:build unix

package e2e

import (
	"testing"
	"time"
)

// A room has clients of all protocols and transports on all nodes. A binary event
// with three attachments reaches each in its own form: as bytes, or as base64.
func TestABinaryEventReachesEveryKindOfClient(t *testing.T) {
	nodes := startCluster(t, 3)
	var result struct {
		Members, Sent int
		Problems      []string
	}
	script(t, 2*time.Minute, "forms.mjs", map[string]any{"urls": urls(nodes)}, &result)
	t.Logf("%d events to each of %d clients", result.Sent, result.Members)
	for _, p := range result.Problems {
		t.Error(p)
	}
	if result.Members != 21 || result.Sent != 15 {
		t.Errorf("%d clients, %d events, want 21 and 15", result.Members, result.Sent)
	}
}
