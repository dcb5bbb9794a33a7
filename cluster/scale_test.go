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

func (c *counter) HandleMessage(*wire.Message) { c.messages.Add(1) }

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
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
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
// there are nodes with members. MESHRT_NODES sets the size.
func TestManyNodes(t *testing.T) {
	count, rooms := 8, 1000
	if n := os.Getenv("MESHRT_NODES"); n != "" {
		fmt.Sscan(n, &count)
		rooms = 10_000
	}
	if testing.Short() {
		t.Skip("many sockets")
	}
	begun := time.Now()
	all := []*onPort{start(t, "n0")}
	for i := 1; i < count; i++ {
		all = append(all, start(t, fmt.Sprint("n", i), all[0].addr))
	}
	eventually(t, time.Minute, "all are linked", func() bool {
		for _, m := range all {
			if m.Stats().Links < count-1 {
				return false
			}
		}
		return true
	})
	formed := time.Since(begun)
	version := make([]uint64, count)
	for i := range rooms {
		m := i % count
		version[m] = all[m].SetInterest(wire.Topic{Namespace: "/", Room: fmt.Sprint("room", i)}, true)
	}
	for _, i := range []int{1, 2, 3} {
		version[i] = all[i].SetInterest(wire.Topic{Namespace: "/", Room: "three"}, true)
	}
	var inForce atomic.Int64
	for i, m := range all {
		m.WhenInForce(version[i], func() { inForce.Add(1) })
	}
	held := eventually(t, time.Minute, "all rooms are in force", func() bool { return inForce.Load() == int64(count) })
	eventually(t, 10*time.Second, "all leases", func() bool {
		before := all[0].Stats().Mesh.FramesOut[wire.KindGrant]
		return before >= uint64(count-1)
	})
	time.Sleep(300 * time.Millisecond)
	data := func() uint64 { return all[0].Stats().Mesh.FramesOut[wire.KindData] }
	before := data()
	all[0].Publish(&wire.Message{Namespace: "/", Rooms: []string{"three"}, Payload: []byte(`["e"]`)})
	eventually(t, 10*time.Second, "three nodes have it", func() bool {
		return all[1].messages.Load()+all[2].messages.Load()+all[3].messages.Load() == 3
	})
	if sent := data() - before; sent != 3 {
		t.Errorf("a message for three nodes took %d frames", sent)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	links := count * (count - 1)
	t.Logf("%d nodes formed in %v; %d rooms in force after %v; heap and stacks %d MiB, %d KiB for each end of a link, rooms included",
		count, formed.Round(time.Millisecond), rooms, held.Round(time.Millisecond), (mem.HeapInuse+mem.StackInuse)>>20, (mem.HeapInuse+mem.StackInuse)>>10/uint64(links))
}
