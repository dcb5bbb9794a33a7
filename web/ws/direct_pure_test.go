//go:build linux

package ws

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// queue is a Handler that has nothing but groups to write.
type queue struct {
	Handler
	out Outbox
}

func (q *queue) Take() ([]*Group, bool) { return q.out.Take(), true }

// unserved is a Conn on loopback whose writer does not run, and the client's end.
func unserved(t *testing.T, q *queue) (*Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	client.SetDeadline(time.Now().Add(30 * time.Second))
	return &Conn{
		cfg:     Config{WriteTimeout: time.Minute, Traffic: &Traffic{}},
		tap:     &tap{Conn: server, raw: rawConn(server), out: make(lock, 1)},
		wake:    make(chan struct{}, 1),
		handler: q,
	}, client
}

// Until the rest of a frame is out, a pong must not get the lock.
func TestCutFrameKeepsTheLock(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1 << 30, MaxGroups: 1000}}
	c, client := unserved(t, q)
	f := Frame{Binary, bytes.Repeat([]byte("0123456"), 2<<20)} // no socket takes that at once
	want := append(frameHead(finBit|byte(f.Opcode), len(f.Data)), f.Data...)
	q.out.Push(NewGroup(f))
	if c.FlushNow(); !c.pending.torn {
		t.Fatal("the frame is not cut")
	}
	if len(c.wake) != 1 {
		t.Error("the writer is not woken for the rest")
	}
	if c.tap.out.tryLock() {
		t.Fatal("a pong can get into the frame")
	}
	pong := []byte{0x8a, 0}
	go c.tap.Write(pong)
	go c.writePending()
	got := make([]byte, len(want)+len(pong))
	for n := 0; n < len(got); {
		m, err := client.Read(got[n:])
		if err != nil {
			t.Fatalf("read after %d of %d bytes: %v", n, len(got), err)
		}
		n += m
	}
	if !bytes.Equal(got, append(want, pong...)) {
		t.Error("the client did not get whole frames and then the pong")
	}
}

func TestCloseFrameIsTheLast(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	q.out.Push(NewGroup(Frame{Text, []byte("a")}))
	c.FlushNow()
	c.tap.Write([]byte{0x88, 2, 3, 0xe8})
	q.out.Push(NewGroup(Frame{Text, []byte("b")}))
	c.FlushNow()
	if got := c.cfg.Traffic.MessagesOut.Load(); got != 1 || len(c.pending.rest) != 1 {
		t.Errorf("%d messages are out, want the one before the close frame", got)
	}
	if err := c.writePending(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer got %v, want %v", err, net.ErrClosed)
	}
	if _, err := c.tap.Write([]byte{0x8a, 0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a pong got %v, want %v", err, net.ErrClosed)
	}
}

func TestWhatIsLeftOfFrames(t *testing.T) {
	frames := []encoded{{head: []byte("abc")}, {head: []byte("de"), data: []byte("fgh")}, {head: []byte("i")}}
	for n, want := range []struct {
		rest string
		torn bool
	}{{"abcdefghi", false}, {"bcdefghi", true}, {"cdefghi", true}, {"defghi", false}, {"efghi", true}, {"fghi", true}, {"ghi", true}, {"hi", true}, {"i", false}, {"", false}} {
		rest, torn := after(slices.Clone(frames), n)
		var got []byte
		for _, f := range rest {
			got = append(append(got, f.head...), f.data...)
		}
		if string(got) != want.rest || torn != want.torn {
			t.Errorf("%d bytes are out: %q, torn %v; want %q, %v", n, got, torn, want.rest, want.torn)
		}
	}
}

// What is left of a shared frame is its client's own.
func TestCutFrameIsWholeForOthers(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1 << 30, MaxGroups: 1000}}
	g := NewGroup(Frame{Binary, make([]byte, 16<<20)})
	for range 2 {
		c, _ := unserved(t, q)
		q.out.Push(g)
		if c.FlushNow(); !c.pending.torn {
			t.Fatal("the frame is not cut")
		}
	}
	if got, want := size(g.encode()), maxHead+g.Size(); got != want {
		t.Errorf("%d bytes of the frame are there, want %d", got, want)
	}
}

// Compressing takes long: a shard leaves it to the writers, one of which does it.
func TestFlushNowCompressesNothing(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1 << 20, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	c.packs, c.cfg.Deflater = true, NewDeflater(100)
	q.out.Push(NewGroup(Frame{Text, make([]byte, 99)}))
	q.out.Push(NewGroup(Frame{Text, make([]byte, 100)}).Uncompressed())
	if c.FlushNow(); c.cfg.Traffic.MessagesOut.Load() != 2 {
		t.Error("what is not compressed is left to the writer")
	}
	q.out.Push(NewGroup(Frame{Text, make([]byte, 100)}))
	c.FlushNow()
	if got := c.cfg.Deflater.Stats().Messages; got != 0 || len(c.pending.batch) != 1 || len(c.wake) != 1 {
		t.Errorf("%d messages compressed, %d groups left to the writer, want 0 and 1", got, len(c.pending.batch))
	}
	if err := c.writePending(); err != nil || c.cfg.Deflater.Stats().Messages != 1 {
		t.Errorf("the writer compressed nothing, error %v", err)
	}
}

// The writer's deadline stays behind when its write is over, and is not ours.
func TestFlushNowHeedsNoDeadlineOfTheWriter(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	c.tap.writeBy(time.Unix(1, 0))
	q.out.Push(NewGroup(Frame{Text, []byte("a")}))
	if c.FlushNow(); c.cfg.Traffic.MessagesOut.Load() != 1 {
		t.Error("the message is left to the writer")
	}
}
