package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// BenchmarkPresence lists 10,000 members of three nodes: what a client is told, the pages of
// the API, and a room that nobody has asked for before.
func BenchmarkPresence(b *testing.B) {
	const members, rooms = 10_000, 20
	nodes := realNodes(b, 3)
	for i := range members {
		n := nodes[i%3]
		s, err := n.Open(b.Context(), node.SessionConfig{Namespace: "/", Sink: &deaf{}, Affinity: n.NewAffinity()})
		if err != nil {
			b.Fatal(err)
		}
		for r := range rooms {
			s.JoinFunc([]string{fmt.Sprint("room", r)}, func(error) {})
		}
	}
	list := func(b *testing.B, room string) {
		count := 0
		for q := (node.Query{Room: room, Limit: node.MaxMembers}); ; {
			page, next, missing, err := nodes[1].Presence(b.Context(), q)
			if err != nil || len(missing) > 0 {
				b.Fatal(err, missing)
			}
			if count += len(page); next == "" {
				break
			}
			q.After = next
		}
		if count != members {
			b.Fatalf("%d members", count)
		}
	}
	b.Run("first", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i == rooms {
				b.Skip("no room left that nobody has asked for: -benchtime 19x")
			}
			list(b, fmt.Sprint("room", i))
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			list(b, "room0")
		}
	})
}

// deaf is a Sink that hears nothing.
type deaf struct{}

func (*deaf) Deliver(*node.Delivery) bool { return true }
func (*deaf) Flush()                      {}
func (*deaf) Close(bool)                  {}

// realNodes are nodes on a network in memory that are joined, on the real clock.
func realNodes(b *testing.B, count int) []*node.Node { return realNodesWith(b, count, node.Config{}) }

func realNodesWith(b *testing.B, count int, of node.Config) (nodes []*node.Node) {
	network := clustertest.NewNetwork(1)
	var first *clustertest.Host
	for i := range count {
		id, name := wire.NewNodeID(), fmt.Sprint("n", i)
		h := network.Host(name)
		h.SetNode(name + "@" + id.String())
		cfg := cluster.Config{ID: id, Name: name, Cluster: "test", Net: h}
		if first == nil {
			first = h
		} else {
			cfg.Seeds = []string{first.Advertise().String()}
		}
		of.Cluster = cfg
		n, err := node.New(of)
		if err != nil {
			b.Fatal(err)
		}
		n.Namespace("/")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		b.Cleanup(func() { cancel(); <-done })
		nodes = append(nodes, n)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ready := 0
		for _, n := range nodes {
			if ok, cut := n.Cluster().Ready(); ok && len(cut) == 0 && len(n.Cluster().Nodes()) == count {
				ready++
			}
		}
		if ready == count {
			return nodes
		}
		if time.Now().After(end) {
			b.Fatal("nodes are not joined")
		}
	}
}
