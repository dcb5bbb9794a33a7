package e2e

import (
	"slices"
	"testing"
	"time"
)

// The official client's retries need nothing but a key among the arguments.
func TestRetriesOfTheOfficialClientPublishOnce(t *testing.T) {
	nodes := startCluster(t, 3)
	p := startScript(t, time.Minute, "retries.mjs", map[string]any{"urls": urls(nodes)})
	p.event("published")
	nodes[0].kill()
	p.tell("killed")
	var result struct {
		Acks    []struct{ OK bool }
		Refused struct{ Error, Code string }
		Tries   []int
		Got     []string
	}
	p.wait(&result)
	if len(result.Acks) != 2 || !result.Acks[0].OK || !result.Acks[1].OK || result.Refused.Code != "invalid" {
		t.Errorf("answers %+v", result)
	}
	if len(result.Tries) != 2 || result.Tries[0] < 2 || result.Tries[1] < 2 {
		t.Errorf("tries %v, want two each at least", result.Tries)
	}
	if want := []string{"stalled 1", "killed 1", "last 1"}; !slices.Equal(result.Got, want) {
		t.Errorf("the member got %q, want %q", result.Got, want)
	}
	if n := nodes[1].metric(`meshrt_idempotent_total{outcome="repeated"}`); n < 1 {
		t.Errorf("%v tries repeated at the other node", n)
	}
}

// A backend asks another node when the first one has been killed.
func TestHTTPRequestWithAKeyIsMadeOnce(t *testing.T) {
	nodes := startCluster(t, 3)
	const body = `{"event":"e","data":1,"idempotency_key":"8f14e45f"}`
	for i, n := range nodes {
		start := time.Now()
		if status, answer := n.post("/api/broadcast", body); status != 200 || answer != `{"ok":true}` {
			t.Errorf("node %d: %d %s", i, status, answer)
		}
		t.Logf("node %d answered after %v", i, time.Since(start))
		if i == 0 {
			n.kill()
		}
	}
	published := 0.0
	for _, n := range nodes[1:] {
		published += n.metric(`meshrt_idempotent_total{outcome="first"}`) + n.metric(`meshrt_idempotent_total{outcome="unsure"}`)
	}
	if published != 0 {
		t.Errorf("published %v times more", published)
	}
}
