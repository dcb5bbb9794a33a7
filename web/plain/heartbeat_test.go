package plain_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

func TestSilentClientIsCutExactly(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		c := h.rawOpen()
		start := time.Now()
		c.wantPing(t, start.Add(300*time.Millisecond))
		if n, err := c.in.Read(make([]byte, 1)); err == nil || time.Since(start) != 500*time.Millisecond {
			t.Errorf("read %d bytes, %v, after %v; want the end after 500ms", n, err, time.Since(start))
		}
		h.wantLeft("ping timeout")
		if got := h.server.Stats().Closed["ping timeout"]; got != 1 {
			t.Errorf("counted %d, want 1", got)
		}
	})
}

func TestPongInTimeKeepsAClient(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		c := h.rawOpen()
		due := time.Now()
		for range 3 {
			due = due.Add(300 * time.Millisecond)
			c.wantPing(t, due)
			time.Sleep(199 * time.Millisecond) // just in time
			c.Write(masked(0x8a, ""))
			due = time.Now()
		}
		h.wantLeft()
	})
}

// Whatever is read counts: commands put the ping off, and replace the pong.
func TestCommandIsASignOfLife(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		c := h.rawOpen()
		for range 5 {
			time.Sleep(299 * time.Millisecond)
			c.Write(masked(0x81, `{"type":"leave","room":"r"}`))
		}
		due := time.Now().Add(300 * time.Millisecond)
		c.wantPing(t, due)
		time.Sleep(150 * time.Millisecond)
		c.Write(masked(0x81, `{"type":"leave","room":"r"}`))
		c.wantPing(t, due.Add(450*time.Millisecond))
		h.wantLeft()
	})
}

// A timeout that is longer than the interval does not put pings off.
func TestPingsKeepTheirIntervalWhenTheTimeoutIsLonger(t *testing.T) {
	cfg := plain.Config{PingInterval: 100 * time.Millisecond, PingTimeout: time.Second}
	inBubble(t, cfg, func(t *testing.T, h *host) {
		c := h.rawOpen()
		start := time.Now()
		for i := range 3 {
			c.wantPing(t, start.Add(time.Duration(i+1)*100*time.Millisecond))
			c.Write(masked(0x8a, ""))
		}
		c.wantPing(t, start.Add(400*time.Millisecond))
		io.Copy(io.Discard, c.in)
		if took := time.Since(start); took != 1400*time.Millisecond {
			t.Errorf("cut after %v, want a second after the last ping", took)
		}
	})
}

// A client that reads answers pings by itself, as browsers do.
func TestLibraryClientStays(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		c := h.open()
		go c.Read(context.Background())
		time.Sleep(time.Minute)
		h.wantLeft()
		if got := h.server.Stats(); got.Open != 1 || got.MessagesOut != 1 {
			t.Errorf("stats %+v, want one open, and pings counted as no messages", got)
		}
	})
}

// While handlers keep the client from being read, its silence is ours.
func TestHandlerThatBlocksDoesNotCostTheClientItsConnection(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		h.main.On("slow", func(e *node.Event) { time.Sleep(time.Minute) })
		h.main.On("fast", func(e *node.Event) {})
		c := h.rawOpen()
		start := time.Now()
		const more = 65 // 64 wait for the slow one, and the reader with one more
		c.Write(bytes.Join([][]byte{masked(0x81, `{"type":"emit","event":"slow"}`),
			bytes.Repeat(masked(0x81, `{"type":"emit","event":"fast"}`), more)}, nil))
		c.wantPing(t, start.Add(time.Minute+300*time.Millisecond))
		h.wantLeft()
	})
}

// rawClient is a connection that answers no ping.
type rawClient struct {
	net.Conn
	in *bufio.Reader
}

// rawOpen opens a session on a bare connection and passes over its welcome.
func (h *host) rawOpen() *rawClient {
	h.t.Helper()
	conn, err := h.dial(h.t.Context(), "tcp", "host")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	req, _ := http.NewRequest("GET", "http://host/ws", nil)
	req.Header = upgrading()
	if err := req.Write(conn); err != nil {
		h.t.Fatal(err)
	}
	c := &rawClient{conn, bufio.NewReader(conn)}
	res, err := http.ReadResponse(c.in, req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("handshake: %v, %v", res, err)
	}
	if frame := c.frame(h.t); frame[0] != 0x81 {
		h.t.Fatalf("first frame %q, want a welcome", frame)
	}
	synctest.Wait()
	return c
}

// frame reads one frame of up to 125 bytes.
func (c *rawClient) frame(t *testing.T) []byte {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.in, head); err != nil {
		t.Fatalf("frame: %v", err)
	}
	frame := append(head, make([]byte, head[1])...)
	if _, err := io.ReadFull(c.in, frame[2:]); err != nil {
		t.Fatalf("frame: %v", err)
	}
	return frame
}

func (c *rawClient) wantPing(t *testing.T, at time.Time) {
	t.Helper()
	if got := c.frame(t); string(got) != "\x89\x00" {
		t.Fatalf("got frame %q, want a ping", got)
	}
	if late := time.Since(at); late != 0 {
		t.Errorf("ping came %v after its time", late)
	}
}

// masked is a frame of a client with the mask 0, which leaves the data as it is.
func masked(first byte, data string) []byte {
	return append([]byte{first, 0x80 | byte(len(data)), 0, 0, 0, 0}, data...)
}
