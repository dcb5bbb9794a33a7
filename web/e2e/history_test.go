//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// past is what GET /api/history tells.
func (n *node) past(query string) (numbers []int, ids []string, missing int, err error) {
	var page struct {
		Messages []struct {
			ID    string
			Event string
			Data  int
		}
		Missing []struct{ Node string }
	}
	err = n.getJSON("/api/history?room=room&"+query, &page)
	for _, m := range page.Messages {
		numbers, ids = append(numbers, m.Data), append(ids, m.ID)
	}
	return numbers, ids, len(page.Missing), err
}

// Who comes late is told the newest of what was published on all nodes, in order, and by whichever way he asks; also what a
// node has published that was killed since.
func TestHistoryTellsWhoComesLate(t *testing.T) {
	nodes := startCluster(t, 3, recovery)
	p := startScript(t, 2*time.Minute, "history.mjs", map[string]any{"urls": urls(nodes)})
	p.event("published")
	nodes[0].kill()
	p.tell("killed")
	p.event("noticed")
	alive := nodes[1:]
	eventually(t, 15*time.Second, "histories are complete again", func() bool {
		for _, n := range alive {
			if _, _, missing, err := n.past(""); err != nil || missing > 0 {
				return false
			}
		}
		return true
	})
	p.tell("all know")
	var result struct {
		Problems []string
		Count    int
		IDs      []string
		After    []int
	}
	p.wait(&result)
	t.Logf("%d messages; right after the kill histories have %v", result.Count, result.After)
	for _, problem := range result.Problems {
		t.Error(problem)
	}
	var all []int
	for i := range result.Count {
		all = append(all, i)
	}
	for _, n := range alive {
		got, ids, _, err := n.past("limit=1000")
		if err != nil || !slices.Equal(got, all) || !slices.Equal(ids[:len(result.IDs)], result.IDs) {
			t.Errorf("%s, HTTP: got %v, %v, want what clients are told", n.name, got, err)
		}
		if got, _, _, err := n.past("limit=7"); err != nil || !slices.Equal(got, all[len(all)-7:]) {
			t.Errorf("%s, HTTP: got %v, %v, want the last 7", n.name, got, err)
		}
		if got, _, _, err := n.past("limit=1000&since=1"); err != nil || len(got) > 0 {
			t.Errorf("%s, HTTP: got %v, %v of the last millisecond", n.name, got, err)
		}
		if answered, sum := n.metric(`meshrt_history_requests_total{result="answered"}`), n.metric("meshrt_history_seconds_sum"); answered < 5 || sum <= 0 {
			t.Errorf("%s counts %v histories, that took %v s", n.name, answered, sum)
		}
	}
	if n := alive[0].metric("meshrt_history_messages_total"); n < 300 {
		t.Errorf("%v messages are counted", n)
	}
}

// The README's way for who comes late leaves no hole and nothing twice, while hundreds of messages a second are
// published, also when a node is killed.
func TestLateJoinersUnderLoadMissNothing(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			nodes := startCluster(t, 3, recovery)
			homes := []int{0, 1, 2}
			if killed {
				homes = []int{0, 1}
			}
			p := startScript(t, 2*time.Minute, "late.mjs", map[string]any{"urls": urls(nodes), "rate": 100, "joiners": 40, "homes": homes, "kills": killed,
				"snippet": newReadme(t).block("const held = []")})
			p.event("half")
			if killed {
				nodes[2].kill()
			}
			p.tell("go on")
			p.event("ended")
			p.tell("count")
			var r struct {
				Holes, Twice, Dropped, Disorder, Messages, Joiners, Incomplete int
				Missing                                                        []string
				Acked                                                          []int
			}
			p.wait(&r)
			t.Logf("%+v", r)
			if r.Holes+r.Twice+r.Disorder > 0 || r.Joiners != 40 || r.Messages < 1000 {
				t.Errorf("%+v, want no hole and nothing twice", r)
			}
			if r.Dropped == 0 {
				t.Error("nothing came live and in the history: the test proves nothing")
			}
			if !killed && r.Incomplete > 0 {
				t.Errorf("histories lack %v", r.Missing)
			}
		})
	}
}
