package e2e

import (
	"testing"
	"time"
)

// A client on another node that has not read for a while gets what is urgent before
// most of what waits for it: all but what the kernels and one batch hold.
func TestOfficialClientGetsHighMessagesFirst(t *testing.T) {
	nodes := startCluster(t, 2, "-queue-bytes", "67108864")
	const count, bytes = 1500, 20_000
	var result struct {
		Ack              struct{ OK bool }
		Refused          struct{ Error, Code string }
		High, Low, Count int
		Whole, Ordered   bool
		Disconnects      []string
	}
	script(t, time.Minute, "priority.mjs", map[string]any{"urls": urls(nodes), "count": count, "bytes": bytes}, &result)
	t.Logf("the high message is number %d of %d", result.High+1, result.Count)
	if result.Count != count+2 || !result.Ack.OK || !result.Whole || !result.Ordered || len(result.Disconnects) > 0 {
		t.Errorf("%+v", result)
	}
	if result.Refused.Code != "invalid" {
		t.Errorf("a priority that is none: %+v", result.Refused)
	}
	if result.High < 0 || result.High > count*2/3 {
		t.Errorf("the high message is behind %d of %d that waited", result.High, count)
	}
	if result.Low != count+1 { // it was sent after half of the others
		t.Errorf("the low message is number %d of %d, want the last", result.Low+1, result.Count)
	}
}
