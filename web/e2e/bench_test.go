//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// benchReport is what meshrt bench -json prints, as far as it is looked at.
type benchReport struct {
	Joined   int64
	Messages struct {
		Sent, Expected, Delivered, Lost, Doubled, Stray, Damaged int64
		OutOfOrder                                               int64 `json:"out_of_order"`
	}
	Latency struct{ P50, P99, Max float64 } `json:"latency_ms"`
	Joining struct{ P50, Max float64 }      `json:"time_to_joined_ms"`
	Servers []struct {
		PID    int
		CPU    float64 `json:"cpu_s"`
		PSS    int64   `json:"pss_bytes"`
		Before int64   `json:"pss_before_bytes"`
	}
	Bytes float64 `json:"server_bytes_per_connection"`
	Held  float64 `json:"held_rate"`
	Steps []struct{ Held bool }
}

// bench runs meshrt bench against nodes.
func bench(t *testing.T, nodes []*node, args ...string) (r benchReport) {
	t.Helper()
	for _, n := range nodes {
		args = append(args, "-url", "http://"+n.HTTP)
	}
	if runtime.GOOS == "linux" {
		var pids []string
		for _, n := range nodes {
			pids = append(pids, fmt.Sprint(n.cmd.Process.Pid))
		}
		args = append(args, "-pid", strings.Join(pids, ","))
	}
	cmd := exec.Command(meshrt, append([]string{"bench"}, append(args, "-json")...)...)
	errs := &buffer{}
	cmd.Stderr = errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("meshrt bench %s: %v\n%s%s", strings.Join(args, " "), err, errs, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	m := r.Messages
	if lost := m.Expected - m.Delivered; args[0] == "ramp" && lost == m.Lost {
		m.Lost = 0 // of the step that did not hold: what is too slow for it is cut
	} else if lost != 0 {
		m.Lost = lost
	}
	if m.Lost+m.Doubled+m.OutOfOrder+m.Stray+m.Damaged != 0 {
		t.Errorf("%s: %+v", strings.Join(args, " "), m)
	}
	return r
}

// TestBenchScenarios: a cluster loses, doubles and reorders nothing in any of
// them, by its own load generator.
func TestBenchScenarios(t *testing.T) {
	nodes := startCluster(t, 3)
	for _, tt := range []struct {
		name      string
		args      string
		joined    int64
		delivered int64 // 0: any number
	}{
		{"fanout", "fanout -clients 200 -publishers 3 -rate 50 -warmup 200ms -duration 1s", 203, 60 * 200},
		{"fanout over plain websockets", "fanout -protocol plain -clients 50 -publishers 2 -rate 50 -warmup 0s -duration 1s", 52, 50 * 50},
		{"fanout with named verbs", "fanout -protocol socketio -join join -publish publish -clients 20 -rate 50 -warmup 0s -duration 1s -size 5000", 21, 50 * 20},
		{"rooms", "rooms -rooms 30 -clients 4 -publishers 7 -rate 300 -warmup 200ms -duration 1s", 127, 360 * 4},
		{"hop", "hop -rate 200 -warmup 100ms -duration 1s", 2, 220},
		{"hop as fast as it goes", "hop -rate max -warmup 100ms -duration 1s", 2, 0},
		{"idle", "idle -clients 300 -warmup 100ms -duration 500ms", 300, 0},
		{"connect", "connect -clients 200 -rate 200", 200, 0},
		{"ramp", "ramp -clients 30 -rate 20 -step 20 -warmup 200ms -duration 500ms -limit 200ms", 31, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := bench(t, nodes, strings.Fields(tt.args)...)
			if r.Joined != tt.joined || tt.delivered > 0 && r.Messages.Delivered != tt.delivered {
				t.Errorf("%d joined, %d delivered, want %d, %d", r.Joined, r.Messages.Delivered, tt.joined, tt.delivered)
			}
			if runtime.GOOS == "linux" && (len(r.Servers) != 3 || r.Servers[2].PSS < 1<<20) {
				t.Errorf("servers %+v", r.Servers)
			}
			switch tt.name {
			case "ramp":
				if r.Held < 20 || len(r.Steps) < 2 {
					t.Errorf("held %v in %d steps", r.Held, len(r.Steps))
				}
			case "connect":
				if r.Joining.P50 <= 0 {
					t.Errorf("time to joined %+v", r.Joining)
				}
			case "idle":
			default:
				if r.Latency.P50 <= 0 || r.Latency.Max > 10_000 {
					t.Errorf("latency %+v", r.Latency)
				}
			}
		})
	}
}

// TestBenchNoticesAKilledNode: its clients lose messages, and the exit status says so.
func TestBenchNoticesAKilledNode(t *testing.T) {
	nodes := startCluster(t, 2)
	cmd := exec.Command(meshrt, "bench", "fanout", "-url", "http://"+nodes[0].HTTP, "-url", "http://"+nodes[1].HTTP,
		"-clients", "20", "-rate", "50", "-warmup", "0s", "-duration", "2s", "-tail", "1s")
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "messages arrive", func() bool { return nodes[1].metric("meshrt_deliveries_total") > 50 })
	nodes[1].kill()
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "messages lost, ") || !strings.Contains(out.String(), "10 clients disconnected") {
		t.Errorf("%v:\n%s", err, out)
	}
}
