//go:build linux

package ws

import (
	"bytes"
	"errors"
	"io"
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
	server.(*net.TCPConn).SetWriteBuffer(4 << 10)
	return &Conn{
		cfg:     &Config{WriteTimeout: time.Minute, Traffic: &Traffic{}},
		tap:     tap{Conn: server, raw: rawConn(server)},
		handler: q,
	}, client
}

// fill sends g until the socket is full, and gives how often.
func (q *queue) fill(t *testing.T, c *Conn, g *Group) (sent int) {
	for sent = 1; sent < 1000; sent++ {
		q.out.Push(g)
		if !c.writeNow() {
			return sent
		}
	}
	t.Fatal("the socket is never full")
	return 0
}

// Until the rest of a frame is out, a pong must not get the lock.
func TestCutFrameKeepsTheLock(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1 << 30, MaxGroups: 1000}}
	c, client := unserved(t, q)
	f := Frame{Binary, bytes.Repeat([]byte("0123456"), 9000)}
	want := bytes.Repeat(append(frameHead(finBit|byte(f.Opcode), len(f.Data)), f.Data...), q.fill(t, c, NewGroup(f)))
	if !c.pending.torn {
		t.Fatal("the frame is not cut")
	}
	if c.tap.out.tryLock() {
		t.Fatal("a pong can get into the frame")
	}
	pong := []byte{0x8a, 0}
	go c.pong(nil)
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

// Who writes what was never queued writes what is queued meanwhile.
func TestWhatComesWhileAMessageIsWrittenAtOnceGoesOut(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	g := NewMessage(Text, append(Room(1), 'a'))
	if !c.Claim(g) || c.Claim(g) {
		t.Fatal("a claim is refused, or there are two")
	}
	q.out.Push(g)
	c.FlushNow()
	if got := c.cfg.Traffic.MessagesOut.Load(); got != 0 {
		t.Fatalf("%d messages went before what has the claim", got)
	}
	if !c.Write(g) || c.cfg.Traffic.MessagesOut.Load() != 2 || !c.Asleep() {
		t.Errorf("%d messages are out, asleep %v; want 2 and true", c.cfg.Traffic.MessagesOut.Load(), c.Asleep())
	}
}

func TestCloseFrameIsTheLast(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	q.out.Push(NewGroup(Frame{Text, []byte("a")}))
	c.writeNow()
	c.answerClose([]byte{3, 0xe8})
	q.out.Push(NewGroup(Frame{Text, []byte("b")}))
	c.writeNow()
	if got := c.cfg.Traffic.MessagesOut.Load(); got != 1 || len(c.pending.rest) != 1 {
		t.Errorf("%d messages are out, want the one before the close frame", got)
	}
	if err := c.writePending(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer got %v, want %v", err, net.ErrClosed)
	}
	if err := c.pong(nil); !errors.Is(err, net.ErrClosed) {
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
	c, _ := unserved(t, q)
	g := NewGroup(Frame{Binary, make([]byte, 60_000)})
	if q.fill(t, c, g); !c.pending.torn {
		t.Fatal("the frame is not cut")
	}
	if got, want := size(g.encode()), 4+g.Size(); got != want {
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
	if !c.writeNow() || c.cfg.Traffic.MessagesOut.Load() != 2 {
		t.Error("what is not compressed is left to the writer")
	}
	packed := NewGroup(Frame{Text, make([]byte, 100)})
	q.out.Push(packed)
	done := c.writeNow()
	if got := c.cfg.Deflater.Stats().Messages; got != 0 || len(c.pending.batch) != 1 || done {
		t.Errorf("%d messages compressed, %d groups left to the writer, want 0 and 1", got, len(c.pending.batch))
	}
	if err := c.writePending(); err != nil || c.cfg.Deflater.Stats().Messages != 1 {
		t.Errorf("the writer compressed nothing, error %v", err)
	}
	q.out.Push(packed)
	if !c.writeNow() {
		t.Error("what is compressed already is left to the writer")
	}
}

// A shard that wrote megabytes to each client would hold up those behind.
func TestFlushNowLeavesWhatIsLargeToTheWriter(t *testing.T) {
	for size, want := range map[int]bool{maxDirect: true, maxDirect + 1: false} {
		q := &queue{out: Outbox{MaxBytes: 1 << 20, MaxGroups: 1000}}
		c, client := unserved(t, q)
		go io.Copy(io.Discard, client)
		c.tap.Conn.(*net.TCPConn).SetWriteBuffer(1 << 20)
		q.out.Push(NewGroup(Frame{Text, make([]byte, size)}))
		done := c.writeNow()
		if wrote := done || c.pending.rest != nil; wrote != want {
			t.Errorf("of %d bytes some are written: %v, want %v", size, wrote, want)
		}
	}
}

// The writer's deadline stays behind when its write is over, and is not ours.
func TestFlushNowHeedsNoDeadlineOfTheWriter(t *testing.T) {
	q := &queue{out: Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	c, _ := unserved(t, q)
	c.tap.writeBy(time.Unix(1, 0))
	q.out.Push(NewGroup(Frame{Text, []byte("a")}))
	if !c.writeNow() {
		t.Error("the message is left to the writer")
	}
}
