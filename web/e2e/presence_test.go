//go:build unix

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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

// Of 1,000 members of a node that is killed 300 come back, and nobody is told of them; the others leave once, everywhere.
func TestMembersOfAKilledNodeLeaveInTime(t *testing.T) {
	need(t, "node")
	needPackages(t)
	const members, back = 1000, 300
	nodes := startCluster(t, 3, recovery)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, "http://"+n.HTTP)
	}
	p := startScript(t, 2*time.Minute, "presence.mjs", map[string]any{"urls": urls, "members": members, "back": back})
	p.event("present")
	for _, n := range nodes {
		ids, took, err := n.members("lobby")
		if len(ids) != members || err != nil {
			t.Errorf("%s lists %d members, %v", n.name, len(ids), err)
		}
		t.Logf("%s lists %d members in %v", n.name, len(ids), took)
	}
	nodes[2].kill()
	killed := time.Now()
	p.tell("killed")
	for _, n := range nodes[:2] {
		eventually(t, 7*time.Second-time.Since(killed), n.name+" lists those who are back", func() bool {
			ids, _, err := n.members("lobby")
			return err == nil && len(ids) == back
		})
		t.Logf("%s lists %d %v after the kill", n.name, back, time.Since(killed))
	}
	p.event("left")
	p.tell("on")
	var r struct {
		Lists, Joined, Left, LeftAndBack []int
		Late, Twice, Took                int
		Recovered, Listed, ListedBack    int
		Node, Nodes, Reasons             []string
		Sample                           any
	}
	p.wait(&r)
	t.Logf("%+v", r)
	if got, want := fmt.Sprint(r.Lists, r.Late, r.Joined, r.Left, r.Twice, r.Reasons, r.LeftAndBack),
		fmt.Sprintf("[0 0 0] %d [%[1]d %[1]d %[1]d] [%d %[2]d %[2]d] 0 [node_down] [0 0 0]", members, members-back); got != want {
		t.Errorf("the watchers were told %s, want %s", got, want)
	}
	if r.Recovered != back || r.Listed != back || r.ListedBack != back || fmt.Sprint(r.Nodes) != "[n1 n2]" {
		t.Errorf("%d of %d are recovered; %d are listed, %d of them on %v", r.Recovered, back, r.Listed, r.ListedBack, r.Nodes)
	}
	if r.Took > 7000 {
		t.Errorf("the last member left after %d ms", r.Took)
	}
}

// crowd joins rooms with count plain clients, spread over the nodes. Each says what it wants and is silent then.
func crowd(t *testing.T, nodes []*node, count int, rooms []string) {
	t.Helper()
	var joins []byte
	for i, r := range rooms {
		id := ""
		if i == len(rooms)-1 {
			id = `"id":1,`
		}
		joins = append(joins, frame(0x81, []byte(`{"type":"join",`+id+`"room":"`+r+`"}`))...)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && !t.Failed(); i = int(next.Add(1)) - 1 {
				conn, err := net.Dial("tcp", nodes[i%len(nodes)].HTTP)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { conn.Close() })
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				c := &cycler{conn, bufio.NewReaderSize(conn, 512)}
				err = c.websocket("/ws", `{"type":"welcome"`)
				if err == nil {
					err = c.write(joins)
				}
				if err == nil {
					err = c.expect(`{"type":"ack","id":1,"ok":true`)
				}
				if err != nil {
					t.Error(err)
				}
				conn.SetDeadline(time.Time{})
			}
		})
	}
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// listOf is the members that one request lists, all at once, and how long that took until the last byte.
func (n *node) listOf(room string) (ids map[string]bool, took time.Duration, err error) {
	start := time.Now()
	resp, err := http.Get("http://" + n.API + "/api/presence?limit=10000&room=" + room)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if took = time.Since(start); err != nil || resp.StatusCode != http.StatusOK {
		return nil, took, fmt.Errorf("%d %.200s %w", resp.StatusCode, text, err)
	}
	var page struct {
		Members []struct{ ID string }
		Missing []struct{ Node, Reason string }
		Next    string
	}
	if err := json.Unmarshal(text, &page); err != nil || len(page.Missing) > 0 || page.Next != "" {
		return nil, took, fmt.Errorf("missing %v, next %q, %w", page.Missing, page.Next, err)
	}
	ids = map[string]bool{}
	for _, m := range page.Members {
		ids[m.ID] = true
	}
	return ids, took, nil
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2].Round(100 * time.Microsecond)
}

// Ten thousand members over three nodes are listed whole by each, over HTTP and to clients: of rooms that nobody has
// asked for before, and again. How long that takes is logged.
func TestTenThousandMembersAreListedByEachNode(t *testing.T) {
	need(t, "node")
	needPackages(t)
	const members, times = 10_000, 10
	nodes := startCluster(t, 3)
	rooms := []string{"lobby"}
	for i := range 2 * times {
		rooms = append(rooms, fmt.Sprint("room", i))
	}
	crowd(t, nodes, members, rooms)
	var all map[string]bool
	list := func(n *node, room string) time.Duration {
		t.Helper()
		ids, took, err := n.listOf(room)
		if err != nil || len(ids) != members {
			t.Fatalf("%s lists %d members of %s, %v", n.name, len(ids), room, err)
		}
		if all == nil {
			all = ids
		}
		if !maps.Equal(ids, all) {
			t.Fatalf("%s lists others of %s", n.name, room)
		}
		return took
	}
	list(nodes[0], "lobby")
	var first, again []time.Duration
	for i := range times {
		first = append(first, list(nodes[i%3], rooms[1+i]))
		again = append(again, list(nodes[i%3], rooms[1+i]))
	}
	t.Logf("GET /api/presence: first %v, again %v, medians of %d", median(first), median(again), times)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, "http://"+n.HTTP)
	}
	var r struct {
		Counts       []int
		First, Again []float64 // milliseconds
		Same         bool
		Storm        float64
	}
	script(t, 2*time.Minute, "lists.mjs", map[string]any{"urls": urls, "rooms": rooms[1+times:], "storm": 100}, &r)
	millis := func(list []float64) (d []time.Duration) {
		for _, x := range list {
			d = append(d, time.Duration(x*float64(time.Millisecond)))
		}
		return d
	}
	t.Logf("presence(room): first %v, again %v, medians of %d; %v until 100 clients that asked at once had it", median(millis(r.First)), median(millis(r.Again)), times, millis([]float64{r.Storm}))
	if len(r.Counts) != 2*times+100 || slices.Max(r.Counts) != members || slices.Min(r.Counts) != members || !r.Same {
		t.Errorf("clients were listed %v, the same members: %v", r.Counts, r.Same)
	}
	for _, n := range nodes {
		t.Logf("%s: %v lists made, %v shared, peak memory %d MiB", n.name, n.metric(`meshrt_presence_lists_total{how="made"}`), n.metric(`meshrt_presence_lists_total{how="shared"}`), n.peak()>>20)
	}
}

// A list that is larger than all that may wait for a client reaches clients of every kind, compressed or not, and none is
// cut for it.
func TestListsLargerThanTheQueueReachEveryKindOfClient(t *testing.T) {
	need(t, "node")
	needPackages(t)
	const members, talk = 2000, 4
	n := alone(t, 0, "-queue-bytes", "65536", "-compression")
	crowd(t, []*node{n}, members, []string{"lobby"})
	var got map[string][]int
	script(t, time.Minute, "kinds.mjs", map[string]any{"url": "http://" + n.HTTP, "talk": talk}, &got)
	for kind, r := range got {
		if want := []int{members, members, 5 * talk, 0}; !slices.Equal(r, want) {
			t.Errorf("%s: two lists, what was said, ends: %v, want %v", kind, r, want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d kinds of clients", len(got))
	}
}
