package mesh

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/wire"
)

// TestGracefulStopLosesNothing: what was written before a BYE is read, however
// slow the reader, over real sockets: a socket that is closed while the peer
// still writes is reset, with all that the peer has not read yet.
func TestGracefulStopLosesNothing(t *testing.T) {
	const count, size = 2000, 1000
	from, to := newRecorder(), newRecorder()
	to.slow = 50 * time.Microsecond
	stop := linkedPorts(t, from, to)
	padding := make([]byte, size)
	for i := range uint64(count) {
		f := wire.AppendReply(nil, wire.Reply{ID: i, Body: padding})
		from.link(2).Send(f, false)
	}
	eventually(t, "written", func() bool { return from.link(2).Queued() == 0 })
	stop()
	eventually(t, "down", func() bool { return to.link(1) == nil })
	if got := len(to.got(1)); got != count {
		t.Errorf("%d of %d frames arrived", got, count)
	}
}

func newRecorder() *recorder {
	return &recorder{up: map[wire.NodeID]*Link{}, data: map[wire.NodeID][]uint64{}}
}

// linkedPorts links node 1 to node 2 over TLS on loopback, until the end of the test. stop ends node 1 in order.
func linkedPorts(t *testing.T, from, to *recorder) (stop context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	run := func(id wire.NodeID, r *recorder) (*Mesh, context.CancelFunc, Peer) {
		name := fmt.Sprint("n", uint64(id))
		p, err := port.Listen(port.Config{Cluster: "test", Node: name + "@" + id.String(), Bind: "127.0.0.1:0", Secrets: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}})
		if err != nil {
			t.Fatal(err)
		}
		conns := make(chan net.Conn)
		all.Go(func() { p.Run(ctx) })
		all.Go(func() {
			for {
				c, err := p.AcceptLink()
				if err != nil {
					return
				}
				conns <- c
			}
		})
		m := New(Config{ID: id, Name: name, Addr: p.Advertise().String(), Net: portNet{p, conns}}, r)
		mctx, stop := context.WithCancel(ctx)
		all.Go(func() { m.Run(mctx) })
		return m, stop, Peer{ID: id, Name: name, Addr: p.Advertise().String()}
	}
	x, stop, _ := run(1, from)
	_, _, peer := run(2, to)
	x.SetPeers([]Peer{peer})
	eventually(t, "linked", func() bool { return from.link(2) != nil && to.link(1) != nil })
	return stop
}

// portNet is hostNet for a real port.
type portNet struct {
	*port.Port
	conns chan net.Conn
}

func (p portNet) AcceptLink(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-ctx.Done():
		return nil, net.ErrClosed
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("not within 10 s: " + what)
		}
	}
}

// TestGarbageInsteadOfHello: whoever holds the secret and speaks something
// else gets a reason and is closed.
func TestGarbageInsteadOfHello(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x := b.start(1, nil)
		stranger := b.net.Host("stranger")
		ctx, cancel := context.WithCancel(context.Background())
		go stranger.Run(ctx)
		defer cancel()
		pass(time.Second)
		for _, bad := range [][]byte{
			{0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1, 0x90}, wire.AppendNumber(nil, wire.KindPing, 1),
			wire.AppendHello(nil, wire.Hello{MinVersion: 9, MaxVersion: 9, Node: 5, Name: "n5"}),
		} {
			c, err := stranger.DialLink(ctx, x.host.Advertise().String())
			if err != nil {
				t.Fatal(err)
			}
			c.Write(bad)
			if f, err := wire.NewReader(c).Next(); err != nil || f.Kind() != wire.KindBye {
				t.Errorf("%x: answer %x, %v, want BYE", bad, f, err)
			}
			c.Close()
		}
		if len(x.log) != 0 {
			t.Errorf("log %v", x.log)
		}
	})
}
