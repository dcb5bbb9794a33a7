package comeback

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer sends each connection to the next server that takes it. One that asks them leaves out those
// that said, at its last look, that they are not ready.
type balancer struct {
	l        net.Listener
	backends []string
	unready  []atomic.Bool
	next     atomic.Uint64

	mu  sync.Mutex
	way map[net.Conn]int // connections of clients, with their server
}

func startBalancer(t *testing.T, backends []string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{l: l, backends: backends, unready: make([]atomic.Bool, len(backends)), way: map[net.Conn]int{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return b
}

func (b *balancer) url() string { return "http://" + b.l.Addr().String() }

func (b *balancer) serve(client net.Conn) {
	defer client.Close()
	server, i := b.dial()
	if server == nil {
		return
	}
	defer server.Close()
	b.mu.Lock()
	b.way[client] = i
	b.mu.Unlock()
	defer func() { b.mu.Lock(); delete(b.way, client); b.mu.Unlock() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite() // the client has gone, or was cut off
	}()
	io.Copy(client, server)
	client.Close() // the server has ended, or is dead
	<-done
}

func (b *balancer) dial() (c net.Conn, server int) {
	for range b.backends {
		i := int(b.next.Add(1) % uint64(len(b.backends)))
		if b.unready[i].Load() {
			continue
		}
		if c, err := net.DialTimeout("tcp", b.backends[i], time.Second); err == nil {
			return c, i
		}
	}
	return nil, 0
}

// cut ends all connections to a server, at both ends.
func (b *balancer) cut(server int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c, i := range b.way {
		if i == server {
			c.Close()
		}
	}
}

// ask looks at the servers' readiness until the test ends, as often as balancers do.
func (b *balancer) ask(t *testing.T, nodes []*server) {
	const every = 500 * time.Millisecond
	look := time.NewTicker(every)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-look.C:
			case <-done:
				return
			}
			for i, n := range nodes {
				b.unready[i].Store(!n.up())
			}
		}
	})
	t.Cleanup(func() { look.Stop(); close(done); wg.Wait() })
}
