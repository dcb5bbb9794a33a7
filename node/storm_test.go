package node_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// reader is a client that reads nothing until it is told to, and a Gauge.
type reader struct{ waits, deliveries atomic.Int64 }

func (c *reader) Deliver(d *node.Delivery) bool {
	c.deliveries.Add(1)
	if d.Kind == node.KindEvent {
		c.waits.Add(int64(d.Message.Size()))
	}
	return true
}
func (*reader) Flush()         {}
func (*reader) Close(bool)     {}
func (c *reader) Waiting() int { return int(c.waits.Load()) }

// away has some clients that have gone, and each has missed as many messages of 100 bytes.
func away(t *testing.T, b *lab, clients, messages int) (gone []node.Resume) {
	t.Helper()
	for range clients {
		c := connect(t, b.nodes[0], "/")
		c.join("room")
		gone = append(gone, node.Resume{PID: c.session.PID()})
		c.session.Lost("transport close")
	}
	text := strings.Repeat("x", 100)
	for range messages {
		if err := b.nodes[1].In("/").To("room").Emit("e", text); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	return gone
}

// comeBack has them all come back at once, to the node that they had. The func waits until they are open.
func comeBack(t *testing.T, n *node.Node, gone []node.Resume) (clients []*reader, wait func()) {
	var all sync.WaitGroup
	for _, r := range gone {
		c := &reader{}
		clients = append(clients, c)
		all.Go(func() {
			s, err := n.Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: c, Affinity: n.NewAffinity(), Resume: r})
			if err != nil || !s.Recovered() {
				t.Errorf("%v, refused %v", err, n.Stats().Recovery.Refused)
			}
		})
	}
	return clients, all.Wait
}

func heap() int {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// What is to be replayed to clients is held once, however many wait for it.
func TestReplaysThatWaitAreShared(t *testing.T) {
	togetherWith(t, 2, recovering, root, func(t *testing.T, b *lab) {
		const clients, messages = 250, 1000
		gone := away(t, b, clients, messages)
		before := heap()
		for i := range 2 { // mirrors take their time
			b.net.SetDelay(b.hosts[i], b.hosts[1-i], 100*time.Millisecond)
		}
		_, wait := comeBack(t, b.nodes[0], gone)
		most := 0
		for b.nodes[0].Stats().Recovery.Recovered == 0 {
			most = max(most, heap()-before)
			time.Sleep(20 * time.Millisecond)
		}
		each := most / (clients * messages)
		if t.Logf("%d bytes for a message to each client", each); each > 100 { // it was 250
			t.Errorf("a message to each client takes %d bytes", each)
		}
		wait()
	})
}

// Clients that read nothing of what they have missed hold up those behind them, for a while.
func TestReplaysThatNobodyReadsAreBounded(t *testing.T) {
	togetherWith(t, 2, func(cfg *node.Config) { recovering(cfg); cfg.UnsentReplays = 1 << 20 }, root, func(t *testing.T, b *lab) {
		const clients, messages = 18, 400
		const fit = 6 // 438 bytes a message
		n := b.nodes[0]
		gone := away(t, b, clients, messages)
		readers, wait := comeBack(t, n, gone)
		open := func() (n int) {
			for _, c := range readers {
				if c.deliveries.Load() > messages {
					n++
				}
			}
			return n
		}
		time.Sleep(time.Second)
		if s := n.Stats().Recovery; open() != fit || s.Unsent < 1<<19 || s.PutOff == 0 {
			t.Fatalf("%d are open, %d bytes, %d put off; want %d", open(), s.Unsent, s.PutOff, fit)
		}
		for _, c := range readers {
			c.waits.Store(0)
		}
		time.Sleep(time.Second)
		if open() != 2*fit {
			t.Errorf("%d are open when the first have read, want %d", open(), 2*fit)
		}
		time.Sleep(5 * time.Second) // the next never read
		wait()
		if s := n.Stats().Recovery; open() != clients || s.Recovered != clients {
			t.Errorf("%d are open, %d recovered, want %d", open(), s.Recovered, clients)
		}
		synctest.Wait()
	})
}
