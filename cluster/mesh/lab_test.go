package mesh

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// hostNet lets accepting end with a context, as the cluster does.
type hostNet struct {
	*clustertest.Host
	conns chan net.Conn
}

func (h hostNet) AcceptLink(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-ctx.Done():
		return nil, net.ErrClosed
	}
}

// recorder is a Handler that notes what happens.
type recorder struct {
	mu    sync.Mutex
	log   []string
	up    map[wire.NodeID]*Link
	data  map[wire.NodeID][]uint64
	block chan struct{} // when set, HandleFrames waits for it
	slow  time.Duration // what a frame takes at least
	ready atomic.Int32  // calls of LinkReady
}

func (r *recorder) LinkUp(l *Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up[l.Peer().ID] != nil {
		r.log = append(r.log, "UP WHILE UP")
	}
	r.up[l.Peer().ID] = l
	r.log = append(r.log, fmt.Sprint("up ", uint64(l.Peer().ID)))
}

func (r *recorder) LinkDown(l *Link, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up[l.Peer().ID] != l {
		r.log = append(r.log, "DOWN OF ANOTHER LINK")
	}
	delete(r.up, l.Peer().ID)
	r.log = append(r.log, fmt.Sprint("down ", uint64(l.Peer().ID), ": ", err))
}

func (r *recorder) LinkReady(*Link, Lane) { r.ready.Add(1) }

func (r *recorder) HandleFrames(l *Link, fs []wire.Frame) error {
	for _, f := range fs {
		if err := r.handle(l, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) handle(l *Link, f wire.Frame) error {
	if r.block != nil {
		<-r.block
	}
	if r.slow > 0 {
		for start := time.Now(); time.Since(start) < r.slow; {
		}
		l.Send(wire.AppendNumber(nil, wire.KindIntAck, 1), true) // talks back meanwhile
	}
	var v uint64
	var err error
	if f.Kind() == wire.KindReply {
		var reply wire.Reply
		reply, err = wire.DecodeReply(f)
		v = reply.ID
	} else {
		v, err = wire.DecodeNumber(f, wire.KindIntAck)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data[l.Peer().ID] = append(r.data[l.Peer().ID], v)
	return nil
}

func (r *recorder) link(id wire.NodeID) *Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up[id]
}

func (r *recorder) got(id wire.NodeID) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64(nil), r.data[id]...)
}

type node struct {
	*recorder
	mesh *Mesh
	host *clustertest.Host
	stop context.CancelFunc
	done chan struct{}
}

type lab struct {
	t   *testing.T
	net *clustertest.Network
}

// start runs a mesh on a new host. IDs are small numbers.
func (b *lab) start(id wire.NodeID, change func(*Config)) *node {
	n := &node{recorder: &recorder{up: map[wire.NodeID]*Link{}, data: map[wire.NodeID][]uint64{}}, done: make(chan struct{})}
	n.host = b.net.Host(fmt.Sprint("n", uint64(id)))
	n.host.SetNode(fmt.Sprint("n", uint64(id), "@", id))
	cfg := Config{ID: id, Name: fmt.Sprint("n", uint64(id)), Addr: n.host.Advertise().String()}
	conns := make(chan net.Conn)
	cfg.Net = hostNet{n.host, conns}
	if change != nil {
		change(&cfg)
	}
	n.mesh = New(cfg, n)
	ctx, cancel := context.WithCancel(context.Background())
	hostCtx, stopHost := context.WithCancel(context.Background())
	n.stop = cancel
	var wg sync.WaitGroup
	wg.Go(func() { n.host.Run(hostCtx) })
	wg.Go(func() {
		for {
			c, err := n.host.AcceptLink()
			if err != nil {
				return
			}
			select {
			case conns <- c:
			case <-hostCtx.Done():
			}
		}
	})
	go func() {
		defer close(n.done)
		n.mesh.Run(ctx)
		stopHost()
		wg.Wait()
	}()
	b.t.Cleanup(func() { cancel(); <-n.done })
	return n
}

func (n *node) peer() Peer {
	return Peer{ID: n.mesh.cfg.ID, Name: n.mesh.cfg.Name, Addr: n.mesh.cfg.Addr}
}

// bubble runs f in virtual time on a network of its own.
func bubble(t *testing.T, f func(t *testing.T, b *lab)) {
	synctest.Test(t, func(t *testing.T) { f(t, &lab{t, clustertest.NewNetwork(1)}) })
}

// pass lets virtual time go by, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func linked(t *testing.T, a, b *node) {
	t.Helper()
	if a.link(b.mesh.cfg.ID) == nil || b.link(a.mesh.cfg.ID) == nil {
		t.Fatalf("not linked: %v, %v", a.log, b.log)
	}
}
