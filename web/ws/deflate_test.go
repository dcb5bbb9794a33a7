package ws_test

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/ws"
)

// packing is limits with compression of messages of 100 bytes and more.
func packing() ws.Config {
	cfg := limits
	cfg.Deflater = ws.NewDeflater(100)
	return cfg
}

// openPacked is open for a client that takes compressed messages.
func (h *host) openPacked(mode websocket.CompressionMode) (*client, *session) {
	h.t.Helper()
	web := &http.Client{Transport: &http.Transport{DialContext: h.dial, DisableKeepAlives: true}}
	conn, res, err := websocket.Dial(context.Background(), "http://host/", &websocket.DialOptions{HTTPClient: web, CompressionMode: mode, CompressionThreshold: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	if got, want := res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate; client_no_context_takeover; server_no_context_takeover"; got != want {
		h.t.Errorf("negotiated %q, want %q", got, want)
	}
	conn.SetReadLimit(-1)
	h.t.Cleanup(func() { conn.CloseNow() })
	return &client{conn, h.t}, <-h.sessions
}

// A group is compressed once, whoever it is for; clients that have not asked for it
// get it as it is.
func TestGroupIsCompressedOnceForAll(t *testing.T) {
	cfg := packing()
	inBubble(t, cfg, nil, func(t *testing.T, h *host) {
		large, small, noise := strings.Repeat("hello ", 20_000), strings.Repeat("x", 99), make([]byte, 5000)
		r := rand.NewChaCha8([32]byte{})
		r.Read(noise)
		group := ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte(large)}, ws.Frame{Opcode: ws.Binary, Data: noise},
			ws.Frame{Opcode: ws.Ping}, ws.Frame{Opcode: ws.Text, Data: []byte(small)})
		raw := ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte(large)}).Uncompressed()
		plain, s1 := h.open()
		packed, s2 := h.openPacked(websocket.CompressionContextTakeover)
		also, s3 := h.openPacked(websocket.CompressionNoContextTakeover)
		for _, s := range []*session{s1, s2, s3} {
			s.mu.Lock()
			s.out.Add(group)
			s.out.Add(raw)
			s.mu.Unlock()
			s.Flush()
		}
		for _, c := range []*client{plain, packed, also} {
			for i, want := range []string{large, "", small, large} {
				if got := c.read(); want != "" && got != want {
					t.Errorf("message %d: %.40q", i, got)
				}
			}
		}
		if got := cfg.Deflater.Stats(); got.Messages != 1 || got.BytesIn != uint64(len(large)) || got.BytesOut > uint64(len(large))/50 {
			t.Errorf("compressed %+v, want one message to a fiftieth", got)
		}
	})
}

// Heads of frames of all sizes, and what is in them.
func TestCompressedFramesAreThoseOfTheRFC(t *testing.T) {
	cfg := packing()
	inBubble(t, cfg, nil, func(t *testing.T, h *host) {
		c, s := h.openPacked(websocket.CompressionNoContextTakeover)
		r := rand.New(rand.NewPCG(1, 2))
		for _, size := range []int{100, 125, 200, 1000, 70_000, 200_000} {
			text := make([]byte, size)
			for i := range text {
				text[i] = "abcd"[r.IntN(4)] // to a quarter
			}
			s.send(string(text))
			if got := c.read(); got != string(text) {
				t.Errorf("%d bytes came as %d", size, len(got))
			}
		}
	})
}

func TestClientsMaySendCompressed(t *testing.T) {
	inBubble(t, packing(), nil, func(t *testing.T, h *host) {
		c, s := h.openPacked(websocket.CompressionContextTakeover)
		var want []string
		for _, size := range []int{1, 500, 1000} {
			want = append(want, strings.Repeat("x", size))
			c.send(want[len(want)-1])
		}
		synctest.Wait()
		if got := s.messages(); got != strings.Join(want, ",") {
			t.Errorf("received %d bytes", len(got))
		}
	})
}

// bomb is a compressed frame of size zeros, a thousandth of that.
func bomb(size int) []byte {
	var data bytes.Buffer
	w, _ := flate.NewWriter(&data, flate.BestCompression)
	w.Write(make([]byte, size))
	w.Flush()
	return data.Bytes()
}

// The limit counts what a message is, not what it was sent as: a bomb is closed
// with 1009 at the byte that is too many.
func TestCompressedBombIsTooBig(t *testing.T) {
	cfg := packing()
	cfg.MaxPayload = 100_000
	for name, tt := range map[string]struct {
		size int
		want ws.Cause
	}{"at the limit": {100_000, 0}, "one over": {100_001, ws.CauseTooBig}, "a bomb": {5_000_000, ws.CauseTooBig}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, nil, func(t *testing.T, h *host) {
				c, in, s := h.rawOpenWith("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
				var out bytes.Buffer
				go io.Copy(&out, in)
				go c.Write(masked(0xc2, len(bomb(tt.size)), string(bomb(tt.size))))
				time.Sleep(ws.CloseTimeout) // nobody answers the close frame
				if got := s.cause(); got != tt.want {
					t.Errorf("cause %d, want %d", got, tt.want)
				}
				if closed := strings.Contains(out.String(), "\x03\xf1"); closed != (tt.want != 0) {
					t.Errorf("closed with 1009: %v", closed)
				}
				if got := len(s.messages()); got > cfg.MaxPayload {
					t.Errorf("received %d bytes", got)
				}
				c.Close()
			})
		})
	}
}

// What is compressed by other rules, or not at all, cuts its own connection.
func TestOtherCompressionIsABreach(t *testing.T) {
	for name, tt := range map[string]struct {
		offer string
		frame []byte
	}{
		"not offered":         {"", masked(0xc1, 2, "\x4a\x00")},
		"a window of its own": {"permessage-deflate; server_max_window_bits=9", masked(0xc1, 2, "\x4a\x00")},
		"unknown parameter":   {"permessage-deflate; magic", masked(0xc1, 2, "\x4a\x00")},
		"no deflate":          {"permessage-deflate", masked(0xc1, 4, "\xff\xff\xff\xff")},
		"compressed ping":     {"permessage-deflate", masked(0xc9, 2, "\x4a\x00")},
		"continuation":        {"permessage-deflate", append(masked(0x01, 1, "x"), masked(0xc0, 2, "\x4a\x00")...)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, packing(), nil, func(t *testing.T, h *host) {
				c, in, s := h.rawOpenWith("Sec-WebSocket-Extensions", tt.offer)
				go io.Copy(io.Discard, in)
				c.Write(tt.frame)
				if got := s.cause(); got != ws.CauseBreach {
					t.Errorf("cause %d, want a breach; received %q", got, s.messages())
				}
			})
		})
	}
}

// A message may end with a block that is marked as the last one, and an empty byte
// behind it (RFC 7692, section 7.2.3.4).
func TestClientsMayMarkTheLastBlock(t *testing.T) {
	inBubble(t, packing(), nil, func(t *testing.T, h *host) {
		c, in, s := h.rawOpenWith("Sec-WebSocket-Extensions", "permessage-deflate")
		go io.Copy(io.Discard, in)
		for range 2 {
			var data bytes.Buffer
			w, _ := flate.NewWriter(&data, flate.BestSpeed)
			w.Write([]byte("hello"))
			w.Close()
			c.Write(masked(0xc1, data.Len()+1, data.String()+"\x00"))
			synctest.Wait()
		}
		if got := s.messages(); got != "hello,hello" {
			t.Errorf("received %q, cause %d", got, s.cause())
		}
	})
}
