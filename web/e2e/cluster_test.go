//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

type spec struct {
	Kind string `json:"kind"`
	URL  string `json:"url"`
}

func socketio(n *node) spec  { return spec{"socket.io", "http://" + n.HTTP} }
func websocket(n *node) spec { return spec{"websocket", "http://" + n.HTTP} }

// Members on three nodes get everything of the others, once and in order; the
// fourth node, where nobody is in the room, gets not a frame of it.
func TestRoomAcrossNodes(t *testing.T) {
	nodes := startCluster(t, 4)
	const count = 1000
	var result struct {
		Problems []string
		Received []int
	}
	script(t, 2*time.Minute, "room.mjs", map[string]any{
		"clients": []spec{socketio(nodes[0]), socketio(nodes[1]), websocket(nodes[2])}, "count": count, "room": "lobby",
	}, &result)
	for _, p := range result.Problems {
		t.Error(p)
	}
	t.Logf("%d messages of each of 3 clients on 3 nodes; received %v", count, result.Received)
	const data = `meshrt_mesh_frames_total{dir="in",type="data"}`
	for i, want := range []float64{2 * count, 2 * count, 2 * count, 0} {
		got := nodes[i].metric(data)
		t.Logf("%s: %s = %v", nodes[i].name, data, got)
		if got != want {
			t.Errorf("%s received %v message frames, want %v", nodes[i].name, got, want)
		}
	}
}

// A publish from another node right after the ack of a join arrives.
func TestAcknowledgedJoinMissesNothing(t *testing.T) {
	nodes := startCluster(t, 3)
	var result struct {
		Arrived, Distinct int
		P50, P99, Max     float64
	}
	const rounds = 500
	script(t, time.Minute, "join.mjs", map[string]any{"member": socketio(nodes[1]), "publisher": socketio(nodes[2]), "rounds": rounds}, &result)
	t.Logf("%d of %d arrived; join ack p50 %.2f ms, p99 %.2f ms, max %.2f ms", result.Distinct, rounds, result.P50, result.P99, result.Max)
	if result.Arrived != rounds || result.Distinct != rounds {
		t.Errorf("%d messages arrived, %d distinct, want %d", result.Arrived, result.Distinct, rounds)
	}
}

// The HTTP API of any node reaches clients of both protocols on all nodes.
func TestAPIReachesEveryClient(t *testing.T) {
	nodes := startCluster(t, 3)
	var specs []spec
	for _, n := range nodes {
		specs = append(specs, socketio(n), websocket(n))
	}
	p := startScript(t, time.Minute, "listen.mjs", map[string]any{"clients": specs, "room": "news"})
	ids := strings.Fields(strings.TrimPrefix(<-p.events, "ready "))
	if len(ids) != len(specs) {
		t.Fatalf("ids %q", ids)
	}
	for i, n := range nodes {
		for _, call := range [][2]string{
			{"/api/publish", fmt.Sprintf(`{"room":"news","event":"news","data":{"from":%d}}`, i)},
			{"/api/broadcast", fmt.Sprintf(`{"event":"all","args":[%d,"two"]}`, i)},
			{"/broadcast", fmt.Sprintf(`{"event":"all","args":[%d,"two"]}`, i)},
		} {
			if status, body := n.post(call[0], call[1]); status != http.StatusOK || body != `{"ok":true}` {
				t.Errorf("%s on %s: %d %s", call[0], n.name, status, body)
			}
		}
	}
	for i, id := range ids { // each from another node than its own
		if status, body := nodes[(i/2+1)%3].post("/api/direct", fmt.Sprintf(`{"to":%q,"event":"direct","data":%d}`, id, i)); status != http.StatusOK {
			t.Errorf("direct to client %d: %d %s", i, status, body)
		}
	}
	p.tell("10")
	var result struct{ Got [][][]any }
	p.wait(&result)
	for i, got := range result.Got {
		count := map[string]int{}
		for _, event := range got {
			count[fmt.Sprint(event...)]++
		}
		for from := range 3 {
			news := fmt.Sprint("news", map[string]any{"from": from})
			all := fmt.Sprint([]any{"all", float64(from), "two"}...)
			if count[news] != 1 || count[all] != 2 {
				t.Errorf("client %d got %d of %s, %d of %s", i, count[news], news, count[all], all)
			}
		}
		if direct := fmt.Sprint([]any{"direct", float64(i)}...); count[direct] != 1 || len(got) != 10 {
			t.Errorf("client %d got %v", i, got)
		}
	}
}

// kill -9 of a node takes nothing from clients of the others, and the node and
// its client come back by themselves.
func TestKilledNodeTakesNothingFromTheOthers(t *testing.T) {
	nodes := startCluster(t, 3)
	urls := []string{}
	for _, n := range nodes {
		urls = append(urls, "http://"+n.HTTP)
	}
	p := startScript(t, time.Minute, "survive.mjs", map[string]any{"urls": urls})
	p.event("talking")
	time.Sleep(500 * time.Millisecond) // so that there is talk before the kill
	nodes[2].kill()
	p.tell("killed")
	p.event("noticed")
	nodes[2].start()
	p.tell("restarted")
	took := waitJoined(t, 15*time.Second, nodes...)
	var result struct {
		Problems      []string
		Sent          int
		Reconnects    []int
		Back, Joined  bool
		ThirdReceives int
		ThirdReason   string
	}
	p.wait(&result)
	t.Logf("%d messages of each client; reconnects %v; third client: %q, back %v; node back after %v",
		result.Sent, result.Reconnects, result.ThirdReason, result.Back, took)
	for _, problem := range result.Problems {
		t.Error(problem)
	}
	if fmt.Sprint(result.Reconnects) != "[0 0]" {
		t.Errorf("reconnects of clients on living nodes: %v", result.Reconnects)
	}
	if !result.Back || !result.Joined || result.ThirdReceives == 0 {
		t.Errorf("the third client is not back: %+v", result)
	}
}
