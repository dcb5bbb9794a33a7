package node

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Who waits for a list does not wait for the pause of a shard.
func TestScanEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShard(0, &counters{})
		got := make(chan found, 1)
		s.found = func(f found) { got <- f }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.run(ctx) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		s.pace.next = time.Now().Add(paceMost)
		m := wire.NewMessage(wire.Envelope{Namespace: "/"}, []byte(`["e"]`))
		s.push(item{op: opMessage, d: &Delivery{Message: m}, members: 2 * quickWork})
		synctest.Wait() // in the pause
		began := time.Now()
		s.push(item{op: opScan, topic: wire.Topic{Namespace: "/", Room: "r"}, members: 7})
		if f := <-got; f.number != 7 || time.Since(began) != 0 {
			t.Errorf("found %+v after %v, want number 7 at once", f, time.Since(began))
		}
	})
}

// BenchmarkFollow has a room of ten members followed, on a node with 20,000 sessions in 20 rooms each.
func BenchmarkFollow(b *testing.B) {
	n, err := New(Config{Shards: 2})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	defer func() { cancel(); <-done }()
	n.Namespace("/")
	const sessions = 20_000
	for i := range sessions {
		s, err := n.Open(ctx, SessionConfig{Namespace: "/", Sink: deaf{}, Affinity: n.NewAffinity()})
		if err != nil {
			b.Fatal(err)
		}
		var rooms []string
		for r := range 20 {
			rooms = append(rooms, fmt.Sprint("room", (20*i+r)%(2*sessions)))
		}
		if err := s.Join(ctx, rooms...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		list, err := n.Namespace("/").Presence(ctx, fmt.Sprint("room", i%(2*sessions)))
		if err != nil || len(list.Members) != 10 {
			b.Fatal(len(list.Members), err)
		}
	}
}
