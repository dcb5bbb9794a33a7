//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// recovered is what recover.mjs tells of a client that came back.
type recovered struct {
	Recovered, Same  bool
	Count, Before    int // messages in all, and those that are not owed to a new session
	Refused          int
	Numbers          []int
	Cursors, Binary  int
	Lengths          []int
	FromItself       int
	OK, ConnectFirst bool
	Reasons          []string
	Transport        string
}

// wantAll holds that a client got each message once, in order, as handlers of the official
// server's clients get them, and that it is who it was.
func (r recovered) wantAll(t *testing.T) {
	t.Helper()
	t.Logf("%d messages, lost its connection for %v, transport %s", r.Count, r.Reasons, r.Transport)
	if !r.Recovered || !r.Same {
		t.Fatalf("recovered %v with the same id %v, want both", r.Recovered, r.Same)
	}
	for i, n := range r.Numbers {
		if n != i {
			t.Fatalf("message %d is number %d; around it came %v", i, n, r.Numbers[max(i-5, 0):min(i+200, len(r.Numbers))])
		}
	}
	if len(r.Numbers) != r.Count || r.Refused > 0 {
		t.Errorf("%d of %d messages came; %d were refused", len(r.Numbers), r.Count, r.Refused)
	}
	if r.Cursors != len(r.Numbers) || fmt.Sprint(r.Lengths) != "[4]" || r.Binary < r.Count/5 {
		t.Errorf("%d of %d events end with a cursor, arguments %v, %d are binary", r.Cursors, len(r.Numbers), r.Lengths, r.Binary)
	}
	if r.FromItself > 0 || !r.OK || !r.ConnectFirst {
		t.Errorf("it got %d of its own messages; can talk and be spoken to: %v; connect came before what it missed: %v", r.FromItself, r.OK, r.ConnectFirst)
	}
}

const recovery = "-recovery=1m"

// wantRecoveredAt holds that one client got its session back, and where: which of some nodes.
func wantRecoveredAt(t *testing.T, nodes ...*node) {
	t.Helper()
	sum := 0.0
	for _, n := range nodes {
		sum += n.metric("meshrt_recovery_recovered_total")
	}
	if sum != 1 {
		t.Errorf("%v clients got their session back at %d nodes, want 1", sum, len(nodes))
	}
}

// A client whose connection broke comes back to its node, or to another one, with all
// kinds of transports, and has what was published meanwhile.
func TestClientThatComesBackHasWhatItMissed(t *testing.T) {
	for _, tt := range []struct {
		name       string
		transports []string
		last       string
		parser     string
		to, missed int
	}{
		{"same node, websocket", []string{"websocket"}, "websocket", "", 0, 50},
		{"same node, polling", []string{"polling"}, "polling", "", 0, 50},
		{"other node, websocket", []string{"websocket"}, "websocket", "", 1, 50},
		{"other node, polling", []string{"polling"}, "polling", "", 1, 50},
		{"other node, polling, then websocket", nil, "websocket", "", 1, 50},
		{"other node, msgpack", []string{"websocket"}, "websocket", "msgpack", 1, 50},
		{"same node, nothing missed", nil, "websocket", "", 0, 0},
		{"other node, a thousand missed", nil, "websocket", "", 1, 1000},
		{"other node, polling, a thousand missed", []string{"polling"}, "polling", "", 1, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startCluster(t, 3, recovery)
			var got recovered
			script(t, time.Minute, "recover.mjs", map[string]any{"from": "http://" + nodes[0].HTTP, "to": "http://" + nodes[tt.to].HTTP,
				"talker": "http://" + nodes[2].HTTP, "transports": tt.transports, "last": tt.last, "parser": tt.parser, "missed": tt.missed}, &got)
			got.wantAll(t)
			if got.Count != 10+tt.missed+10 {
				t.Errorf("%d messages were published", got.Count)
			}
			wantRecoveredAt(t, nodes[tt.to])
		})
	}
}

// The same behind a balancer that is not sticky: polls and the websocket of one session
// come to different nodes, and with recovery no session moves.
func TestClientComesBackBehindRoundRobin(t *testing.T) {
	for name, transports := range map[string][]string{"polling": {"polling"}, "polling, then websocket": nil} {
		t.Run(name, func(t *testing.T) {
			nodes := startCluster(t, 3, recovery)
			b := startNginx(t, nodes)
			last := "websocket"
			if transports != nil {
				last = "polling"
			}
			var got recovered
			script(t, time.Minute, "recover.mjs", map[string]any{"from": b.url, "to": b.url, "talker": "http://" + nodes[2].HTTP,
				"transports": transports, "last": last, "missed": 200}, &got)
			got.wantAll(t)
			b.wantOnly("200", "101", "499")
			wantRecoveredAt(t, nodes...)
			forwarded := 0.0
			for _, n := range nodes {
				forwarded += n.metric(`meshrt_forwarded_requests_total{dir="in",result="ok"}`)
				if moved := n.metric(`meshrt_sessions_moved_total{dir="in"}`); moved != 0 {
					t.Errorf("%v sessions moved to %s", moved, n.name)
				}
			}
			if forwarded == 0 {
				t.Error("all requests came to the node of their session: the balancer was sticky")
			}
		})
	}
}

// kill -9 of the client's node, while another one publishes without a pause.
func TestClientOfAKilledNodeHasWhatItMissed(t *testing.T) {
	for name, transports := range map[string][]string{"polling": {"polling"}, "websocket": {"websocket"}, "polling, then websocket": nil} {
		t.Run(name, func(t *testing.T) {
			nodes := startCluster(t, 3, recovery)
			last := "websocket"
			if name == "polling" {
				last = "polling"
			}
			p := startScript(t, 2*time.Minute, "recover.mjs", map[string]any{"from": "http://" + nodes[0].HTTP, "to": "http://" + nodes[1].HTTP,
				"talker": "http://" + nodes[2].HTTP, "transports": transports, "last": last, "killed": true})
			p.event("talking")
			nodes[0].kill()
			p.tell("killed")
			var got recovered
			p.wait(&got)
			got.wantAll(t)
			if got.Count < 100 {
				t.Errorf("%d messages were published: nothing was missed", got.Count)
			}
			wantRecoveredAt(t, nodes[1])
		})
	}
}

// Who is away for longer than the window is told so, and is new.
func TestClientThatComesTooLateIsNew(t *testing.T) {
	nodes := startCluster(t, 3, "-recovery=2s")
	var got recovered
	script(t, time.Minute, "recover.mjs", map[string]any{"from": "http://" + nodes[0].HTTP, "to": "http://" + nodes[1].HTTP,
		"talker": "http://" + nodes[2].HTTP, "missed": 50, "away": 5000, "last": "websocket"}, &got)
	if got.Recovered || got.Same || !got.OK || got.FromItself > 0 || got.Refused > 0 {
		t.Errorf("%+v", got)
	}
	var want []int // what came before, and what a new member gets
	for n := range got.Count {
		if n < 10 || n >= got.Before {
			want = append(want, n)
		}
	}
	if got.Before != 60 || got.Count != 70 || !slices.Equal(got.Numbers, want) {
		t.Errorf("of %d messages, %d before it was a member again, it got %v", got.Count, got.Before, got.Numbers)
	}
	if refused := nodes[1].metric(`meshrt_recovery_refused_total{reason="nobody knows the session"}`); refused != 1 {
		t.Errorf("%v were refused as nobody knows the session, want 1", refused)
	}
}

// What clients make up gets them a new session and nobody else's, and disturbs nobody.
func TestMadeUpSessionsAreNew(t *testing.T) {
	nodes := startCluster(t, 2, recovery)
	var result struct {
		Tries []struct {
			What      string
			Connected bool
			New       bool
			Recovered bool
		}
		Disturbed []string
		Alive     bool
	}
	script(t, time.Minute, "impostor.mjs", map[string]any{"urls": urls(nodes)}, &result)
	if len(result.Tries) < 8 {
		t.Errorf("%d tries", len(result.Tries))
	}
	for _, try := range result.Tries {
		if !try.Connected || !try.New || try.Recovered {
			t.Errorf("%+v, want a new session", try)
		}
	}
	if len(result.Disturbed) > 0 || !result.Alive {
		t.Errorf("the client with the session was disturbed: %q, alive %v", result.Disturbed, result.Alive)
	}
}

// A plain client resumes with what its welcome and its last event said.
func TestPlainClientResumes(t *testing.T) {
	nodes := startCluster(t, 3, recovery)
	p := startScript(t, time.Minute, "resume.mjs", map[string]any{"urls": urls(nodes)})
	p.event("before the kill")
	nodes[1].kill()
	p.tell("killed")
	var result struct{ Problems []string }
	p.wait(&result)
	for _, problem := range result.Problems {
		t.Error(problem)
	}
	for _, n := range nodes {
		if text := n.log.String(); strings.Contains(text, "session=") || strings.Contains(text, "cursor=") {
			t.Errorf("the log of %s has the query of a client", n.name)
		}
	}
}
