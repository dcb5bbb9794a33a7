package swarm

import (
	"strings"
	"testing"
)

// TestAccept is the example of RFC 6455 section 1.3.
func TestAccept(t *testing.T) {
	if got, want := acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("accept is %q, want %q", got, want)
	}
}

func TestParseResponse(t *testing.T) {
	good := "HTTP/1.1 101 Switching Protocols\r\nUPGRADE: websocket\r\nSec-WebSocket-Accept:  " + accept + " \r\n\r\n"
	for _, tt := range []struct{ name, in, fails string }{
		{"good", good, ""},
		{"frames behind", good + "\x81\x01a", ""},
		{"not whole", good[:len(good)-1], ""},
		{"too long", "HTTP/1.1 101 x\r\n" + strings.Repeat("a: b\r\n", 4000), "over 16384 bytes"},
		{"full", "HTTP/1.1 503 Service Unavailable\r\n\r\ntoo many", `refuses the websocket: 503 Service Unavailable "too many"`},
		{"no HTTP", "SSH-2.0\r\n\r\n", "not HTTP"},
		{"empty", "\r\n\r\n", "not HTTP"},
		{"wrong key", strings.Replace(good, accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 1), "Sec-WebSocket-Accept"},
		{"extension", strings.Replace(good, "UPGRADE: websocket", "Sec-WebSocket-Extensions: permessage-deflate", 1), "nobody asked"},
	} {
		n, err := parseResponse([]byte(tt.in))
		switch {
		case tt.fails == "" && err != nil, tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)):
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.fails)
		case tt.fails == "" && strings.HasPrefix(tt.in, good) && n != len(good):
			t.Errorf("%s: takes %d bytes, want %d", tt.name, n, len(good))
		}
	}
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseResponse(b); n < 0 || n > len(b) || err == nil && n > 0 && !strings.Contains(string(b), accept) {
			t.Errorf("%q: takes %d bytes, %v", b, n, err)
		}
	})
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct{ url, addr, path, fails string }{
		{"http://127.0.0.1:8080", "127.0.0.1:8080", "/d/?q=1", ""},
		{"ws://127.0.0.1:8080/", "127.0.0.1:8080", "/d/?q=1", ""},
		{"http://127.0.0.1/x%20y?token=a", "127.0.0.1:80", "/x%20y?token=a&q=1", ""},
		{"http://[::1]:1", "[::1]:1", "/d/?q=1", ""},
		{"https://127.0.0.1", "127.0.0.1:443", "/d/?q=1", ""},
		{"tcp://127.0.0.1:4222", "127.0.0.1:4222", "/d/?q=1", ""},
		{"127.0.0.1:8080", "", "", "want http://"},
		{"ftp://127.0.0.1", "", "", "want http://"},
		{"http://", "", "", "want http://"},
		{"http://127.0.0.1:99999", "", "", "port"},
	} {
		got, err := ParseTarget(t.Context(), tt.url, "/d/", "q=1")
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: %v, want %q", tt.url, err, tt.fails)
			}
			continue
		}
		if err != nil || got.Addr.String() != tt.addr || got.Path != tt.path {
			t.Errorf("%s: %v %s, %v, want %s %s", tt.url, got.Addr, got.Path, err, tt.addr, tt.path)
		}
	}
}

func TestSourcesAreSpreadOverLoopback(t *testing.T) {
	loopback, other, six := targetAddr(t, "127.0.0.1"), targetAddr(t, "10.0.0.1"), targetAddr(t, "::1")
	for _, tt := range []struct {
		id   int
		want string
	}{{0, "127.0.0.1"}, {perSource - 1, "127.0.0.1"}, {perSource, "127.0.0.2"}, {MaxConns - 1, "127.0.0.200"}} {
		if got := source(loopback, tt.id).String(); got != tt.want {
			t.Errorf("connection %d is from %s, want %s", tt.id, got, tt.want)
		}
	}
	if source(other, 5).IsValid() || source(six, 5).IsValid() {
		t.Error("only loopback of IPv4 has more addresses")
	}
}
