//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What make recovery-cost measures with: the load of the page in node/DESIGN.md.
const (
	costWindow   = "2m"
	costRate     = 2000 // messages a second, of costSize bytes to one of costRooms
	costRooms    = 30
	costMembers  = 3 // of a room, one at each node
	costSize     = 128
	costSessions = 5000
)

// cost is what three nodes need.
type cost struct {
	cpu           float64 // µs a message, all nodes
	link          float64 // bytes a message, all links
	before, after []int64 // PSS of each node
	rss           []int   // after
	live, log     float64 // bytes of all nodes: what is in use on the heap, and what recovery keeps of messages
	session       float64 // bytes of one that is idle, all nodes
	sessionCPU    float64 // µs a second of one, all nodes
}

// TestCostOfRecovery is make recovery-cost: what messages and sessions cost with recovery off and on. T, MESHRT_COST, is how long
// messages are published; the window is two minutes.
func TestCostOfRecovery(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MESHRT_COST"))
	if err != nil {
		t.Skip("make recovery-cost T=2m runs this")
	}
	var off, on cost
	t.Run("off", func(t *testing.T) { off = costOf(t, length) })
	t.Run("on", func(t *testing.T) { on = costOf(t, length, "-recovery="+costWindow) })
	if t.Failed() {
		return
	}
	fmt.Printf("\nThree nodes, %d messages of %d bytes a second to %d rooms of %d members, one at each node, for %v; %d idle sessions.\n\n",
		costRate, costSize, costRooms, costMembers, length, costSessions)
	row := func(name string, of func(c *cost) string) { fmt.Printf("| %s | %s | %s |\n", name, of(&off), of(&on)) }
	row("", func(c *cost) string {
		if c == &off {
			return "recovery off"
		}
		return "`-recovery " + costWindow + "`"
	})
	fmt.Println("|---|---:|---:|")
	row("CPU a message, all nodes", func(c *cost) string { return fmt.Sprintf("%.1f µs", c.cpu) })
	row("bytes on links a message", func(c *cost) string { return fmt.Sprintf("%.0f", c.link) })
	row("memory (PSS) of each node before", func(c *cost) string { return megabytes(c.before) })
	row("... after", func(c *cost) string { return megabytes(c.after) })
	row("RSS of each node after", func(c *cost) string { return megabytes(c.rss) })
	row("in use on the heap after, all nodes", func(c *cost) string { return fmt.Sprintf("%.1f MB", c.live/1e6) })
	row("of that messages that are kept", func(c *cost) string { return fmt.Sprintf("%.1f MB", c.log/1e6) })
	row("memory (PSS) a session, all nodes", func(c *cost) string { return fmt.Sprintf("%.0f bytes", c.session) })
	row("CPU an idle session, all nodes", func(c *cost) string { return fmt.Sprintf("%.1f µs/s", c.sessionCPU) })
}

func megabytes[N int | int64](of []N) string {
	var texts []string
	for _, n := range of {
		texts = append(texts, fmt.Sprintf("%.1f", float64(n)/1e6))
	}
	return strings.Join(texts, ", ") + " MB"
}

// costOf measures nodes of their own for each kind of load.
func costOf(t *testing.T, length time.Duration, flags ...string) (c cost) {
	nodes := startCluster(t, 3, flags...)
	time.Sleep(2 * time.Second)
	links := sum(nodes, `meshrt_mesh_bytes_total{dir="out"}`)
	r := bench(t, nodes, "rooms", "-rooms", fmt.Sprint(costRooms), "-clients", fmt.Sprint(costMembers), "-publishers", fmt.Sprint(costRooms),
		"-rate", fmt.Sprint(costRate), "-size", fmt.Sprint(costSize), "-duration", length.String())
	c.link = (sum(nodes, `meshrt_mesh_bytes_total{dir="out"}`) - links) / float64(r.Messages.Sent)
	for i, n := range nodes {
		s := r.Servers[i]
		c.cpu += s.CPU * 1e6 / (costRate * length.Seconds())
		c.before, c.after, c.rss = append(c.before, s.Before), append(c.after, s.PSS), append(c.rss, n.rss())
	}
	if slices.Contains(flags, "-recovery="+costWindow) {
		c.log = sum(nodes, "meshrt_recovery_log_bytes")
	}
	for _, n := range nodes {
		n.status("/debug/pprof/heap?gc=1") // else what is garbage counts
	}
	c.live = sum(nodes, "go_memstats_heap_alloc_bytes")
	for _, n := range nodes {
		n.kill()
	}

	nodes = startCluster(t, 3, flags...)
	time.Sleep(2 * time.Second)
	const idle = 20 * time.Second
	r = bench(t, nodes, "idle", "-clients", fmt.Sprint(costSessions), "-duration", idle.String())
	c.session = r.Bytes
	for _, s := range r.Servers {
		c.sessionCPU += s.CPU * 1e6 / idle.Seconds() / costSessions
	}
	for _, n := range nodes {
		n.kill()
	}
	return c
}

func sum(nodes []*node, sample string) (all float64) {
	for _, n := range nodes {
		all += n.metric(sample)
	}
	return all
}
