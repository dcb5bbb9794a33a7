//go:build linux

package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/ws"
)

// narrow is a TCP listener whose connections take little at once, so that writes
// are cut anywhere.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// overTCP runs test with a host on loopback: a net.Pipe has no descriptor.
func overTCP(t *testing.T, cfg ws.Config, setup func(*session), test func(t *testing.T, h *host)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, cfg, setup)
	h.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			c.SetDeadline(time.Now().Add(30 * time.Second))
		}
		return c, err
	}
	defer h.serve(narrow{l})()
	test(t, h)
}

// sendNow queues groups and flushes them from here.
func (s *session) sendNow(groups ...*ws.Group) {
	s.mu.Lock()
	for _, g := range groups {
		s.out.Push(g)
	}
	s.mu.Unlock()
	s.FlushNow()
}

func text(data string) *ws.Group { return ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte(data)}) }

// waitFor waits until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// asleep says that the writer has nothing to do: FlushNow gets the turn.
func (s *session) asleep() bool { return s.Asleep() && !s.writing() }

// frame is the next frame, whose head must be that of a server.
func frame(t *testing.T, in *bufio.Reader) (first byte, data []byte) {
	t.Helper()
	var head [10]byte
	read := func(p []byte) {
		if _, err := io.ReadFull(in, p); err != nil {
			t.Fatalf("read: %v", err)
		}
	}
	read(head[:2])
	size := uint64(head[1])
	switch head[1] {
	case 126:
		read(head[2:4])
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		read(head[2:10])
		size = binary.BigEndian.Uint64(head[2:])
	}
	if head[0]&0x30 != 0 || head[0]&0x80 == 0 || size > 1<<20 {
		t.Fatalf("a frame begins with % x", head)
	}
	data = make([]byte, size)
	read(data)
	return head[0], data
}

func TestFlushNowHasWrittenWhenItReturns(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		_, in, s := h.rawOpen()
		for i := range 100 {
			waitFor(t, "the writer sleeps", s.asleep)
			s.sendNow(text(fmt.Sprint(i)), ws.NewGroup(ws.Frame{Opcode: ws.Ping}))
			if got := h.cfg.Traffic.MessagesOut.Load(); got != uint64(i+1) {
				t.Fatalf("%d messages are out when FlushNow returns, want %d", got, i+1)
			}
			if s.writing() {
				t.Fatal("a batch that is out counts as being written")
			}
			if _, got := frame(t, in); string(got) != fmt.Sprint(i) {
				t.Fatalf("got %q, want %d", got, i)
			}
			if first, _ := frame(t, in); first != 0x89 {
				t.Fatalf("got a frame %#x, want a ping", first)
			}
		}
	})
}

// What is written at once was never queued, and counts all the same while it is not out.
func TestMessageThatIsNotQueued(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		_, in, s := h.rawOpen()
		waitFor(t, "the writer sleeps", s.asleep)
		hello := ws.NewMessage(ws.Text, append(ws.Room(5), "hello"...))
		s.sendAtOnce(hello)
		if got := h.cfg.Traffic; got.MessagesOut.Load() != 1 || got.BytesOut.Load() != 5 || !s.Asleep() {
			t.Fatalf("%d messages of %d bytes are out, asleep %v; want 1 of 5 and true", got.MessagesOut.Load(), got.BytesOut.Load(), s.Asleep())
		}
		if _, got := frame(t, in); string(got) != "hello" {
			t.Fatalf("got %q, want hello", got)
		}
		large := ws.NewMessage(ws.Binary, append(ws.Room(60_000), make([]byte, 60_000)...))
		sent := 0
		for ; !s.writing() && sent < 1000; sent++ {
			s.sendAtOnce(large)
		}
		if sent == 1000 {
			t.Fatal("the socket is never full, or what is written does not count")
		}
		s.sendAtOnce(hello)
		for range sent {
			if _, got := frame(t, in); len(got) != large.Size() {
				t.Fatalf("got %d bytes, want %d", len(got), large.Size())
			}
		}
		if _, got := frame(t, in); string(got) != "hello" {
			t.Fatalf("got %d bytes, want hello", len(got))
		}
		waitFor(t, "nothing counts any more", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.out.Idle() && s.Asleep()
		})
	})
}

func (s *session) writing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Writing()
}

// sendAtOnce is what a server does with a message that may go out unqueued.
func (s *session) sendAtOnce(g *ws.Group) {
	s.mu.Lock()
	s.sendAtOnceLocked(g)
}

// sendAtOnceLocked lets go of mu.
func (s *session) sendAtOnceLocked(g *ws.Group) {
	if !s.out.Idle() || !s.Claim(g) {
		s.out.Push(g)
		s.mu.Unlock()
		s.FlushNow()
		return
	}
	s.mu.Unlock()
	if !s.Write(g) {
		s.mu.Lock()
		s.out.WritesNow(g)
		s.mu.Unlock()
		s.WriteLater()
	}
}

// inPairs has a crowd's groups be two frames.
const inPairs = 2

// crowd has some goroutines send numbered groups of all sizes, flushed in all ways,
// while the client sends pings, and gives how many groups there are.
func crowd(t *testing.T, c net.Conn, s *session, frames int) (groups int) {
	var all sync.WaitGroup
	number := 0
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range 50 {
				s.mu.Lock()
				data := binary.BigEndian.AppendUint32(nil, uint32(number))
				number++
				size := []int{0, 10, 126, 3000, 5000, 30_000}[r.IntN(6)]
				data = append(data, bytes.Repeat(data[3:4], size)...)
				g := ws.NewMessage(ws.Binary, append(ws.Room(len(data)), data...))
				if frames == inPairs {
					g = ws.NewGroup(ws.Frame{Opcode: ws.Binary, Data: data}, ws.Frame{Opcode: ws.Binary, Data: data[:4]})
				}
				how := r.IntN(4)
				if how > 1 {
					s.sendAtOnceLocked(g)
					continue
				}
				s.out.Push(g)
				s.mu.Unlock()
				if how == 0 {
					s.Flush()
				} else {
					s.FlushNow()
				}
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			c.Write(masked(0x89, 4, fmt.Sprintf("%04d", i)))
		}
	})
	go func() {
		all.Wait()
		for !s.asleep() { // the end has three seconds only
			time.Sleep(time.Millisecond)
		}
		s.mu.Lock()
		if !s.out.Empty() {
			t.Error("groups wait and nobody writes")
		}
		s.mu.Unlock()
		s.end(ws.StatusNormal, "")
	}()
	return 4 * 50
}

// Whoever writes, and wherever the socket cuts what is written, the client gets
// whole frames in order, pongs between them, and the close frame last.
func TestFramesStayWholeAndInOrderWhoeverWrites(t *testing.T) {
	for _, frames := range []int{1, inPairs} {
		t.Run(fmt.Sprintf("%d frames a group", frames), func(t *testing.T) { wholeAndInOrder(t, frames) })
	}
}

func wholeAndInOrder(t *testing.T, frames int) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		c, in, s := h.rawOpen()
		groups := crowd(t, c, s, frames)
		next, pongs := 0, 0
		for {
			switch first, data := frame(t, in); first {
			case 0x82:
				if got := int(binary.BigEndian.Uint32(data)); got != next/frames || len(bytes.Trim(data[4:], string(data[3:4]))) > 0 {
					t.Fatalf("frame %d is of group %d, or torn", next, got)
				}
				next++
			case 0x8a:
				if want := fmt.Sprintf("%04d", pongs); string(data) != want {
					t.Fatalf("pong %q, want %q", data, want)
				}
				pongs++
			case 0x88:
				if next != frames*groups || !bytes.Equal(data, []byte{0x03, 0xe8}) {
					t.Fatalf("closed with %x after %d frames, want 1000 after %d", data, next, frames*groups)
				}
				c.Write(masked(0x88, 2, string(data)))
				return
			default:
				t.Fatalf("frame %#x", first)
			}
		}
	})
}

// late is a Handler for whom something comes when Take has just found nothing.
type late struct {
	*session
	send  func()
	armed atomic.Bool
}

func (l *late) Take() ([]*ws.Group, bool) {
	batch, open := l.session.Take()
	if len(batch) == 0 && l.armed.CompareAndSwap(true, false) {
		l.send()
	}
	return batch, open
}

func TestWhatComesAfterTheLastLookGoesOut(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		handlers := make(chan *late, 1)
		h.run = func(s *session) {
			l := &late{session: s}
			handlers <- l
			s.Go(l)
		}
		c, s := h.open()
		l := <-handlers
		for first, flush := range map[string]func(){"writer": s.Flush, "shard": s.FlushNow} {
			for second, again := range map[string]func(){"writer": s.Flush, "shard": s.FlushNow} {
				waitFor(t, "nobody writes", s.asleep)
				l.send = func() { s.queue(second); again() }
				l.armed.Store(true)
				s.queue(first)
				flush()
				if one, two := c.read(), c.read(); one != first || two != second {
					t.Errorf("got %s, %s, want %s, %s", one, two, first, second)
				}
			}
		}
	})
}

// writers is the number of goroutines of this process that write.
func writers() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("ws.(*Conn).write("))
}

// A client for whom nothing waits costs no goroutine, whose stack is more than all
// that a Conn has.
func TestWriterIsThereWhileSomethingIsLeft(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		_, in, s := h.rawOpen()
		for range 100 {
			s.sendNow(text("a"))
			if n := writers(); n > 0 || !s.Asleep() {
				t.Fatalf("%d writers of a message that is out", n)
			}
			frame(t, in)
		}
		full(s)
		waitFor(t, "a writer has what is left", func() bool { return writers() == 1 })
		for range 20 {
			frame(t, in)
		}
		waitFor(t, "the writer has gone", func() bool { return writers() == 0 && s.Asleep() })
		s.sendNow(text("a"))
		frame(t, in)
	})
}

// A client that closes gets its close frame back, whole, and nothing behind it.
func TestNothingFollowsTheAnswerToAClose(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		c, in, s := h.rawOpen()
		for range 50 {
			s.sendNow(text(strings.Repeat("x", 5000)))
		}
		c.Write(masked(0x88, 2, "\x03\xe8"))
		stop := make(chan struct{})
		var sender sync.WaitGroup
		sender.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.sendNow(text("y"))
				}
			}
		})
		defer func() { close(stop); sender.Wait() }()
		for {
			first, data := frame(t, in)
			if first == 0x88 {
				break
			}
			if s := string(data); s != "y" && s != strings.Repeat("x", 5000) {
				t.Fatalf("got a torn frame of %d bytes", len(data))
			}
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%d bytes behind the close frame", len(rest))
		}
	})
}

// full sends s, whose client does not read, more than all buffers hold.
func full(s *session) {
	for range 20 {
		s.sendNow(text(strings.Repeat("x", 50_000)))
	}
}

func TestFullSocketIsTheWritersAndEndsInTime(t *testing.T) {
	cfg := limits
	cfg.WriteTimeout = 300 * time.Millisecond
	for name, tt := range map[string]struct {
		end  func(*session)
		want ws.Cause
		took time.Duration // at least
	}{
		"left alone": {func(*session) {}, ws.CauseSlow, 300 * time.Millisecond},
		"cut":        {func(s *session) { s.end(0, "") }, ws.CauseSlow, 0},
		"ended":      {func(s *session) { s.end(ws.StatusNormal, "") }, ws.CauseSlow, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overTCP(t, cfg, nil, func(t *testing.T, h *host) {
				_, _, s := h.rawOpen()
				waitFor(t, "the writer sleeps", s.asleep)
				start := time.Now()
				full(s)
				tt.end(s)
				waitFor(t, "Serve returns", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.served.IsZero() })
				if took := time.Since(start); s.causes[0] != tt.want || took < tt.took {
					t.Errorf("cause %d after %v, want %d after %v or more", s.causes[0], took, tt.want, tt.took)
				}
				s.sendNow(text("late")) // goes nowhere, and does no harm
			})
		})
	}
}

// panicky is a Handler whose Take panics when told to.
type panicky struct {
	*session
	mu   sync.Mutex
	boom bool
}

func (p *panicky) Take() ([]*ws.Group, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boom {
		p.boom = false
		panic("a bug above")
	}
	return p.session.Take()
}

func TestPanicInFlushNowEndsItsConnection(t *testing.T) {
	overTCP(t, limits, nil, func(t *testing.T, h *host) {
		handlers := make(chan *panicky, 1)
		h.run = func(s *session) {
			p := &panicky{session: s}
			handlers <- p
			s.Go(p)
		}
		c, s := h.open()
		p := <-handlers
		waitFor(t, "the writer sleeps", s.asleep)
		p.mu.Lock()
		p.boom = true
		p.mu.Unlock()
		s.FlushNow()
		if _, end := c.readAll(); end.Code != websocket.StatusInternalError {
			t.Errorf("status %d, want 1011", end.Code)
		}
	})
}

// What is compressed takes long, so the writer does it; what comes behind waits.
func TestFlushNowKeepsTheOrderBesideCompression(t *testing.T) {
	overTCP(t, packing(), nil, func(t *testing.T, h *host) {
		c, s := h.openPacked(websocket.CompressionNoContextTakeover)
		large := strings.Repeat("hello ", 10_000)
		go func() {
			for i := range 100 {
				s.sendNow(text(large), text(fmt.Sprint(i)))
				s.sendNow(text("small"))
			}
		}()
		for i := range 100 {
			for _, want := range []string{large, fmt.Sprint(i), "small"} {
				if got := c.read(); got != want {
					t.Fatalf("round %d: got %.20q, want %.20q", i, got, want)
				}
			}
		}
	})
}
