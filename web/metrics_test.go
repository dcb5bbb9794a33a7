package web

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
)

// TestMetricsOfTheMesh: what an operator needs to know of the other nodes, and how long it
// takes to know that one has died.
func TestMetricsOfTheMesh(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		expect := func(samples ...string) {
			t.Helper()
			_, text := b[0].ops.Get("/metrics")
			for _, sample := range samples {
				if !strings.Contains(text, "\nmeshrt_"+sample+"\n") {
					t.Errorf("no metric %s", sample)
				}
			}
		}
		expect(`mesh_links 2`, `mesh_peers{lease="trusted"} 2`, `mesh_peers{lease="untrusted"} 0`,
			`mesh_link_queue_bytes{peer="n1"} 0`, `mesh_link_queue_bytes{peer="n2"} 0`, `mesh_queue_bytes 0`,
			`mesh_interest_lag_versions{peer="n1"} 0`, `mesh_interest_lag_seconds{peer="n2"} 0`,
			`mesh_gaps_total 0`, `messages_useless_total 0`, `mesh_resent_total 0`, `detection_seconds_count 0`,
			`gossip_members 2`, `gossip_health 0`, `gossip_joins_total{result="error"} 0`, `peers_file_errors_total 0`)
		b[2].host.Kill()
		time.Sleep(10 * time.Second)
		expect(`mesh_links 1`, `mesh_peers{lease="trusted"} 1`, `gossip_members 1`,
			`detection_seconds_count 1`, `detection_seconds_bucket{le="1"} 0`, `detection_seconds_bucket{le="5"} 1`)
		b[1].stop()
		time.Sleep(10 * time.Second)
		expect(`mesh_links 0`, `detection_seconds_count 1`) // it said goodbye
	})
}

// TestLagOfAPeerThatDoesNotAnswer: joins wait for it, and the metric names it.
func TestLagOfAPeerThatDoesNotAnswer(t *testing.T) {
	onBoxes(t, 2, Config{}, func(t *testing.T, b []*box) {
		b[0].network.Cut(b[1].host, b[0].host)
		ws := b[0].clients.Dial("/ws")
		defer ws.Close()
		ws.Send(`{"type":"join","room":"r"}`)
		time.Sleep(1500 * time.Millisecond)
		_, text := b[0].ops.Get("/metrics")
		for _, sample := range []string{`mesh_peers{lease="untrusted"} 1`, `mesh_interest_lag_versions{peer="n1"} 2`} {
			if !strings.Contains(text, "\nmeshrt_"+sample+"\n") {
				t.Errorf("no metric %s", sample)
			}
		}
		_, value, _ := strings.Cut(text, `meshrt_mesh_interest_lag_seconds{peer="n1"} `)
		if seconds, err := strconv.ParseFloat(value[:strings.Index(value, "\n")], 64); seconds < 1.5 || seconds > 3 || err != nil {
			t.Errorf("behind for %v s, %v", seconds, err)
		}
	})
}

func TestPeersOfOneNameAreOneSample(t *testing.T) {
	got := byName([]cluster.PeerStats{{Name: "a", QueueBytes: 1}, {Name: "b", QueueBytes: 2, Lag: 3}, {Name: "b", QueueBytes: 5, Lag: 1, Behind: time.Second}, {Name: "c"}})
	want := []cluster.PeerStats{{Name: "a", QueueBytes: 1}, {Name: "b", QueueBytes: 7, Lag: 3, Behind: time.Second}, {Name: "c"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
