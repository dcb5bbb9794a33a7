package cluster_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/wire"
)

// counter counts the messages that a node gets.
type counter struct{ messages atomic.Int64 }

func (c *counter) HandleMessages(list []*wire.Message) { c.messages.Add(int64(len(list))) }

func (c *counter) HandleRequest(context.Context, wire.NodeID, string, []byte) ([]byte, error) {
	return nil, nil
}

// onPort is a cluster.Cluster on a real port.
type onPort struct {
	*cluster.Cluster
	counter
	addr string
}

func start(t testing.TB, name string, seeds ...string) *onPort {
	t.Helper()
	id := wire.NewNodeID()
	p, err := port.Listen(port.Config{Cluster: "scale", Node: name + "@" + id.String(), Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	m := &onPort{addr: p.Advertise().String()}
	m.Cluster, err = cluster.New(cluster.Config{ID: id, Name: name, Cluster: "scale", Seeds: seeds, Profile: gossip.LAN, Net: p}, m)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); m.Run(t.Context()) }()
	t.Cleanup(func() { <-done }) // t.Context has ended by then, and all nodes stop together
	return m
}

func eventually(t testing.TB, patience time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(begun)
}

// TestManyNodes: a cluster forms, holds many rooms, and a publish sends as many frames as
// there are nodes with members. MESHRT_NODES sets the size; the table in DESIGN.md is of it.
func TestManyNodes(t *testing.T) {
	count, rooms := 8, 1000
	if n := os.Getenv("MESHRT_NODES"); n != "" {
		fmt.Sscan(n, &count)
		rooms = 10_000
	}
	if testing.Short() {
		t.Skip("many sockets")
	}
	begun, used := time.Now(), cpu()
	all := []*onPort{start(t, "n0")}
	for i := 1; i < count; i++ {
		all = append(all, start(t, fmt.Sprint("n", i), all[0].addr))
	}
	eventually(t, 2*time.Minute, "all are linked and in step", func() bool { return inStep(all) })
	formed := time.Since(begun)
	ends, made := count*(count-1), uint64(0)
	for _, m := range all {
		made += m.Stats().Mesh.Up
	}
	t.Logf("%d nodes formed in %v and %v of CPU time, %d ends of links made for %d, %d KiB for each",
		count, formed.Round(time.Millisecond), (cpu() - used).Round(time.Millisecond), made, ends, memory()>>10/uint64(ends))
	held := hold(t, all, rooms)
	t.Logf("%d rooms in force after %v; %d MiB in all", rooms, held.Round(time.Millisecond), memory()>>20)
	publishToThree(t, all)
}

// inStep tells whether every node is linked to all others and its joins count.
func inStep(all []*onPort) bool {
	for _, m := range all {
		if ready, _ := m.Ready(); !ready || m.Stats().Links < len(all)-1 {
			return false
		}
	}
	return true
}

// hold gives rooms to all nodes in turn, and one more to three of them.
func hold(t *testing.T, all []*onPort, rooms int) time.Duration {
	t.Helper()
	version := make([]uint64, len(all))
	for i := range rooms {
		m := i % len(all)
		version[m] = all[m].SetInterest(wire.Topic{Namespace: "/", Room: fmt.Sprint("room", i)}, true)
	}
	for _, i := range []int{1, 2, 3} {
		version[i] = all[i].SetInterest(wire.Topic{Namespace: "/", Room: "three"}, true)
	}
	var inForce atomic.Int64
	for i, m := range all {
		m.WhenInForce(version[i], func() { inForce.Add(1) })
	}
	return eventually(t, time.Minute, "all rooms are in force", func() bool { return inForce.Load() == int64(len(all)) })
}

// publishToThree sends a message to the room of three nodes once all leases are there.
func publishToThree(t *testing.T, all []*onPort) {
	t.Helper()
	frames := func(k wire.Kind) uint64 { return all[0].Stats().Mesh.FramesOut[k] }
	eventually(t, time.Minute, "all leases", func() bool { return frames(wire.KindGrant) >= uint64(len(all)-1) })
	time.Sleep(300 * time.Millisecond)
	before := frames(wire.KindData)
	all[0].Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"three"}}, Payload: []byte(`["e"]`)})
	eventually(t, time.Minute, "three nodes have it", func() bool {
		return all[1].messages.Load()+all[2].messages.Load()+all[3].messages.Load() == 3
	})
	if sent := frames(wire.KindData) - before; sent != 3 {
		t.Errorf("a message for three nodes took %d frames", sent)
	}
}

// memory is what heap and stacks hold, in bytes.
func memory() uint64 {
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	return mem.HeapInuse + mem.StackInuse
}
