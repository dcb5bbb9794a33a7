//go:build unix

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// members is how many GET /api/presence lists, and how long that took.
func (n *node) members(room string) (ids map[string]bool, took time.Duration, err error) {
	ids = map[string]bool{}
	start := time.Now()
	for after := ""; ; {
		var page struct {
			Members []struct{ ID string }
			Missing []struct{ Node, Reason string }
			Next    string
		}
		if err := n.getJSON("/api/presence?limit=1000&room="+room+"&after="+after, &page); err != nil {
			return nil, 0, err
		}
		for _, m := range page.Members {
			ids[m.ID] = true
		}
		if len(page.Missing) > 0 {
			err = fmt.Errorf("missing %v", page.Missing)
		}
		if after = page.Next; after == "" {
			return ids, time.Since(start), err
		}
	}
}

func TestMembersOfAKilledNodeLeaveInTime(t *testing.T) {
	need(t, "node")
	needPackages(t)
	const members = 1000
	nodes := startCluster(t, 3)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, "http://"+n.HTTP)
	}
	p := startScript(t, 2*time.Minute, "presence.mjs", map[string]any{"urls": urls, "members": members})
	p.event("present")
	for _, n := range nodes {
		ids, took, err := n.members("lobby")
		if len(ids) != members || err != nil {
			t.Errorf("%s lists %d members, %v", n.name, len(ids), err)
		}
		t.Logf("%s lists %d members in %v", n.name, len(ids), took)
	}
	nodes[2].kill()
	p.tell("killed")
	for _, n := range nodes[:2] {
		took := eventually(t, 7*time.Second, n.name+" lists nobody", func() bool {
			ids, _, err := n.members("lobby")
			return err == nil && len(ids) == 0
		})
		t.Logf("%s lists nobody %v after the kill", n.name, took)
	}
	p.event("left")
	p.tell("on")
	var r struct {
		Lists, Joined, Left []int
		Late, Twice, Took   int
		Node, Reasons       []string
		Sample              any
	}
	p.wait(&r)
	t.Logf("%+v", r)
	if fmt.Sprint(r.Lists, r.Late, r.Joined, r.Left, r.Twice, r.Reasons) != fmt.Sprintf("[0 0 0] %d [%[1]d %[1]d %[1]d] [%[1]d %[1]d %[1]d] 0 [node_down]", members) {
		t.Errorf("the watchers were told %+v", r)
	}
	if r.Took > 7000 {
		t.Errorf("the last member left after %d ms", r.Took)
	}
}
