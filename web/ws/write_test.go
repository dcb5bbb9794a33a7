package ws_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

func TestGroupsGoOutWholeAndInOrder(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.open()
		big := strings.Repeat("x", 10_000)
		s.mu.Lock()
		for _, g := range []*ws.Group{
			ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte("a")}, ws.Frame{Opcode: ws.Binary, Data: []byte{1}}),
			ws.NewGroup(ws.Frame{Opcode: ws.Ping}),
			ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte(big)}, ws.Frame{Opcode: ws.Binary}),
		} {
			s.out.Add(g)
		}
		s.mu.Unlock()
		s.Flush()
		for i, want := range []string{"a", "[1]", big, "[]"} {
			if got := c.read(); got != want {
				t.Errorf("message %d: got %.20q, want %.20q", i, got, want)
			}
		}
		synctest.Wait()
		if n, bytes := h.cfg.Traffic.MessagesOut.Load(), h.cfg.Traffic.BytesOut.Load(); n != 4 || bytes != 10_002 {
			t.Errorf("counted %d messages of %d bytes, want 4 of 10002", n, bytes)
		}
	})
}

// A ping has a place among the messages, and its bytes are those of RFC 6455.
func TestPingIsOneFrameWithoutData(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		_, in, s := h.rawOpen()
		s.mu.Lock()
		s.out.Push(ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte("a")}))
		s.out.Push(ws.NewGroup(ws.Frame{Opcode: ws.Ping}))
		s.out.Push(ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte("b")}))
		s.mu.Unlock()
		s.Flush()
		got := make([]byte, 8)
		if _, err := io.ReadFull(in, got); err != nil || string(got) != "\x81\x01a\x89\x00\x81\x01b" {
			t.Errorf("got %q (%v), want a, a ping, b", got, err)
		}
	})
}

func TestQueueWaitsForFlush(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.open()
		got := make(chan string, 1)
		go func() { got <- c.read() }()
		synctest.Wait()
		s.queue("x")
		synctest.Wait()
		if len(got) != 0 {
			t.Errorf("got %q before Flush", <-got)
		}
		s.Flush()
		s.Flush()
		synctest.Wait()
		if len(got) == 0 || <-got != "x" {
			t.Error("got nothing after Flush, want x at once")
		}
	})
}

func TestBatchMayTakeTheWriteTimeout(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		_, s := h.open() // reads no more
		time.Sleep(time.Hour)
		start := time.Now()
		s.send("x")
		if got := s.cause(); got != 0 {
			t.Errorf("ended with cause %d at once", got)
		}
		time.Sleep(limits.WriteTimeout)
		if got := s.cause(); got != ws.CauseSlow || s.served.Sub(start) != limits.WriteTimeout {
			t.Errorf("cause %d after %v, want slow after %v", got, s.served.Sub(start), limits.WriteTimeout)
		}
	})
}

// The write timeout is for 64 KiB, of a large message too: a list that a client has asked for takes as long as it
// takes on a slow way.
func TestLargeMessageHasTheTimeoutForEachPart(t *testing.T) {
	const size, part = 1 << 20, 64 << 10
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		_, in, s := h.rawOpen()
		s.send(strings.Repeat("x", size))
		io.ReadFull(in, make([]byte, 10)) // its head
		for range size / part {
			time.Sleep(limits.WriteTimeout * 3 / 4)
			if _, err := io.ReadFull(in, make([]byte, part)); err != nil || s.cause() != 0 {
				t.Fatalf("%v, cause %d", err, s.cause())
			}
		}
		s.send(strings.Repeat("x", size))
		time.Sleep(limits.WriteTimeout / 2)
		io.ReadFull(in, make([]byte, part+10))
		start := time.Now()
		time.Sleep(limits.WriteTimeout)
		if got := s.cause(); got != ws.CauseSlow || s.served.Sub(start) != limits.WriteTimeout {
			t.Errorf("cause %d after %v, want slow after %v", got, s.served.Sub(start), limits.WriteTimeout)
		}
	})
}

// A pong waits as long as any write. The client is slow then, and has not broken a
// rule.
func TestPongThatFindsNoPlaceMakesTheClientSlow(t *testing.T) {
	for name, queued := range map[string]string{"behind a message": "x", "alone": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				c, _, s := h.rawOpen() // reads no more
				if queued != "" {
					s.send(queued)
					synctest.Wait()
				}
				start := time.Now()
				c.Write(masked(0x89, 0, ""))
				time.Sleep(limits.WriteTimeout)
				if got := s.cause(); got != ws.CauseSlow || s.served.Sub(start) != limits.WriteTimeout {
					t.Errorf("cause %d after %v, want slow after %v", got, s.served.Sub(start), limits.WriteTimeout)
				}
			})
		})
	}
}

// The deadline of a write is that write's: an answer to a ping comes long after.
func TestPongHeedsNoDeadlineOfAnOldWrite(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, in, s := h.rawOpen()
		s.send("x")
		got := make([]byte, 3)
		io.ReadFull(in, got)
		time.Sleep(limits.WriteTimeout + time.Second)
		go c.Write(masked(0x89, 0, ""))
		if _, err := io.ReadFull(in, got[:2]); err != nil || string(got[:2]) != "\x8a\x00" {
			t.Errorf("got %q (%v), want a pong", got[:2], err)
		}
		if got := s.cause(); got != 0 {
			t.Errorf("ended with cause %d", got)
		}
	})
}
