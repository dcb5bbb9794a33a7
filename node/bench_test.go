package node_test

import (
	"context"
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// BenchmarkReceive is what an event of a client costs before its handler.
func BenchmarkReceive(b *testing.B) {
	n, err := node.New(node.Config{})
	if err != nil {
		b.Fatal(err)
	}
	n.Namespace("/").On("e", func(*node.Event) {})
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); n.Run(ctx) }()
	defer func() { stop(); <-ran }()
	s, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &answering{}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Receive(&node.Event{Name: "e", Args: wire.Args{[]byte(`1`)}})
	}
}
