package web

import (
	"bytes"
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
)

// comer is a client that allocates nothing.
type comer struct {
	addr                       *syscall.SockaddrInet4
	in                         [4 << 10]byte
	request, open, join, close []byte
}

// connect connects, joins a room, and goes.
func (c *comer) connect(t testing.TB) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Connect(fd, c.addr); err != nil {
		t.Fatal(err)
	}
	c.say(t, fd, c.request, `0{"sid":`)
	c.say(t, fd, c.open, `40{"sid":`)
	c.say(t, fd, c.join, `430[`)
	c.say(t, fd, c.close, "\x88\x00")
}

// masked is a text frame of a client, under a mask of zeros.
func masked(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// say waits for an answer that has want in it.
func (c *comer) say(t testing.TB, fd int, what []byte, want string) {
	if _, err := syscall.Write(fd, what); err != nil {
		t.Fatal(err)
	}
	for n := 0; !bytes.Contains(c.in[:n], []byte(want)); {
		more, err := syscall.Read(fd, c.in[n:])
		if err != nil || more == 0 {
			t.Fatalf("%q was answered with %q (%v), want %q in it", what, c.in[:n], err, want)
		}
		n += more
	}
}

// connectable is a node that clients can reach.
func connectable(t testing.TB) *comer {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	relay.Attach(n.Namespace("/"))
	s, err := New(Config{HTTP: "127.0.0.1:0"}, n)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.RunWithNode(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return &comer{addr: &syscall.SockaddrInet4{Port: s.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}},
		request: []byte(connectRequest), open: masked("40"), join: masked(`420["join","room"]`), close: []byte{0x88, 0x80, 0, 0, 0, 0}}
}

// BenchmarkConnect is what it takes a node that a client connects over a websocket,
// joins a room and goes.
func BenchmarkConnect(b *testing.B) {
	c := connectable(b)
	c.connect(b)
	b.ReportAllocs()
	for b.Loop() {
		c.connect(b)
	}
}

// maxConnectAllocs is what a connect may allocate, with its end: 147, and some more
// with the race detector, whose pools lose things.
const maxConnectAllocs = 175

func TestConnectAllocatesNoMoreThanItNeeds(t *testing.T) {
	c := connectable(t)
	if got := testing.AllocsPerRun(200, func() { c.connect(t) }); got > maxConnectAllocs {
		t.Errorf("a connect allocates %.0f times, want %d at most", got, maxConnectAllocs)
	}
}
