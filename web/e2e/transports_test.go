//go:build unix

package e2e

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func urls(nodes []*node) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, "http://"+n.HTTP)
	}
	return list
}

// Fifty official clients on three nodes, 10,000 messages while and after their
// transports change from polling to websocket, and the same over polling alone.
func TestOfficialClientTransports(t *testing.T) {
	for _, tt := range []struct {
		name       string
		transports []string
		first      string
		last       string
	}{
		{"default", nil, "polling", "websocket"},
		{"polling only", []string{"polling"}, "polling", "polling"},
		{"websocket only", []string{"websocket"}, "websocket", "websocket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startCluster(t, 3)
			const clients, each = 50, 200
			var result struct {
				Problems, Disconnects []string
				Sent                  int
				First, Begun, Last    map[string]int
			}
			script(t, 4*time.Minute, "many.mjs", map[string]any{"urls": urls(nodes), "clients": clients, "each": each, "transports": tt.transports}, &result)
			t.Logf("%d messages; transports at connect %v, at the first publish %v, at the end %v", result.Sent, result.First, result.Begun, result.Last)
			for _, p := range append(result.Problems, result.Disconnects...) {
				t.Error(p)
			}
			if result.Sent != clients*each || result.First[tt.first] != clients || result.Last[tt.last] != clients {
				t.Errorf("want %d messages, %s first and %s at the end", clients*each, tt.first, tt.last)
			}
		})
	}
}

func TestThousandEmitsInOneTickOverPolling(t *testing.T) {
	nodes := startCluster(t, 2)
	var result struct {
		Arrived int
		Ordered bool
	}
	script(t, time.Minute, "tick.mjs", map[string]any{"urls": urls(nodes), "count": 1000}, &result)
	if result.Arrived != 1000 || !result.Ordered {
		t.Errorf("%d of 1000 arrived, in order: %v", result.Arrived, result.Ordered)
	}
}

// SIGTERM under load: the others see the node leave when its clients have gone, they come
// back on other nodes by themselves, and it exits with 0. The balancer knows nothing: it sends most of them to the
// node that has the fewest, which ends, passes them on, and moves them once more over 2 s.
func TestStoppedNodeHandsItsClientsOver(t *testing.T) {
	nodes := startCluster(t, 3, "-drain=500ms")
	var backends []map[string]any
	for _, n := range nodes {
		host, port, _ := net.SplitHostPort(n.HTTP)
		backends = append(backends, map[string]any{"host": host, "port": port})
	}
	p := startScript(t, time.Minute, "away.mjs", map[string]any{"backends": backends, "clients": 30})
	p.event("talking")
	stopped := time.Now()
	nodes[2].cmd.Process.Signal(syscall.SIGTERM)
	p.tell("stopped")
	left := eventually(t, 10*time.Second, "the others see it leave", func() bool {
		return strings.Contains(nodes[0].log.String(), "member left") && strings.Contains(nodes[1].log.String(), "member left")
	})
	<-nodes[2].exited
	t.Logf("seen to leave after %v, exit status %d after %v", left.Round(time.Millisecond), nodes[2].cmd.ProcessState.ExitCode(), time.Since(stopped).Round(time.Millisecond))
	if left > 4*time.Second || nodes[2].cmd.ProcessState.ExitCode() != 0 {
		t.Error("want it seen within 4 s, and exit status 0")
	}
	var result struct {
		Back        bool
		Moved, Deaf int
		Reasons     []string
	}
	p.wait(&result)
	t.Logf("%d clients moved, for the reason %q", result.Moved, result.Reasons)
	if !result.Back || result.Moved == 0 || result.Deaf != 0 || fmt.Sprint(result.Reasons) != "[transport close]" {
		t.Errorf("%+v", result)
	}
}

// With -compression the official clients negotiate it, both ways, and a broadcast is
// compressed once.
func TestOfficialClientsTakeCompressedMessages(t *testing.T) {
	n := newNode(t, "n1", nil, "-compression")
	n.start()
	eventually(t, 10*time.Second, "the node serves", func() bool { return n.status("/readyz") == 200 })
	var result struct {
		Extensions          []string
		ToSocketIO, ToPlain bool
	}
	script(t, 30*time.Second, "packed.mjs", map[string]any{"http": n.HTTP, "text": strings.Repeat("a chat about nothing ", 500)}, &result)
	if !result.ToSocketIO || !result.ToPlain {
		t.Errorf("messages did not arrive whole: %+v", result)
	}
	if strings.Join(result.Extensions, " ") != "permessage-deflate permessage-deflate" {
		t.Errorf("negotiated %q", result.Extensions)
	}
	before, after := n.metric(`meshrt_compressed_bytes_total{stage="before"}`), n.metric(`meshrt_compressed_bytes_total{stage="after"}`)
	if got := n.metric("meshrt_compressed_messages_total"); got != 2 || after > before/10 {
		t.Errorf("%v messages compressed, %v bytes to %v, want one for each broadcast", got, before, after)
	}
}
