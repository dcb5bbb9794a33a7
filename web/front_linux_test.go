//go:build amd64 || arm64

package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/ws"
)

// fronted is a server with a doorway, which runs until the test ends.
func fronted(t *testing.T, cfg Config) *Server {
	t.Helper()
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	relay.Attach(n.Namespace("/"))
	cfg.HTTP = "127.0.0.1:0"
	s, err := New(cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.RunWithNode)
	return s
}

func run(t *testing.T, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// await reads until want has come.
func await(t *testing.T, c io.Reader, want string) {
	t.Helper()
	var got []byte
	for b := make([]byte, 1<<10); !bytes.Contains(got, []byte(want)); {
		n, err := c.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("%q came (%v), want %q in it", got, err, want)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// inFront counts the connections that net/http has never had.
func inFront(s *Server) (n int) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	for c := range s.gate.conns {
		if _, ok := c.(*ws.Socket); ok {
			n++
		}
	}
	return n
}

// A handshake that comes whole is served in front, with the frames behind it; one that
// comes in pieces, or over a connection that has had another request, by net/http. All
// work, are counted, and forgotten when they are over.
func TestHandshakesAreServedWhicheverWayTheyCome(t *testing.T) {
	frames := string(masked("40")) + string(masked(`420["join","room"]`))
	whole := connectRequest + frames
	for name, tt := range map[string]struct {
		pieces []string
		front  int
	}{
		"at once":          {[]string{whole}, 1},
		"of a browser":     {[]string{strings.Replace(browserHandshake, "https://app", "http://app", 1) + frames}, 1},
		"in two":           {[]string{whole[:40], whole[40:]}, 0},
		"a second request": {[]string{"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", whole}, 0},
		"a long cookie":    {[]string{strings.Replace(whole, "Upgrade: w", "Cookie: "+strings.Repeat("c", handshakeRoom)+"\r\nUpgrade: w", 1)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := fronted(t, Config{Origins: []string{"app.example.com"}})
			c := dial(t, s.Addr())
			for i, piece := range tt.pieces {
				if i > 0 {
					time.Sleep(20 * time.Millisecond) // so that they come apart
				}
				io.WriteString(c, piece)
			}
			await(t, c, `430[`)
			if open, halfOpen, _ := s.gate.stats(); open != 1 || halfOpen != 0 || inFront(s) != tt.front {
				t.Errorf("%d connections, %d half-open, %d in front, want 1, 0, %d", open, halfOpen, inFront(s), tt.front)
			}
			c.Close()
			eventually(t, "the connection is not forgotten", func() bool { open, _, _ := s.gate.stats(); return open == 0 })
		})
	}
}

var dates = regexp.MustCompile(`Date: [^\r]*\r\n`)

// What is refused gets the bytes that net/http gives, and is counted once.
func TestRefusalsAreThoseOfNetHTTP(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg     Config
		request string
		status  string
	}{
		"origin":  {Config{}, strings.Replace(connectRequest, "Sec-WebSocket-V", "Origin: https://evil.example\r\nSec-WebSocket-V", 1), "403"},
		"version": {Config{}, strings.Replace(connectRequest, "n: 13", "n: 12", 1), "400"},
		"key":     {Config{}, strings.Replace(connectRequest, "AAAA==", "", 1), "400"},
		"limit":   {Config{MaxConnsPerIP: 1}, connectRequest, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fronted(t, tt.cfg)
			if tt.cfg.MaxConnsPerIP > 0 {
				c := dial(t, s.Addr())
				io.WriteString(c, connectRequest)
				await(t, c, `0{"sid":`)
			}
			refuse := func(pieces ...string) string {
				before := refusals(s)
				c := dial(t, s.Addr())
				for i, piece := range pieces {
					if i > 0 {
						time.Sleep(20 * time.Millisecond)
					}
					io.WriteString(c, piece)
				}
				in := bufio.NewReader(c)
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				var text bytes.Buffer
				resp.Write(&text)
				if got := refusals(s) - before; got != 1 {
					t.Errorf("counted %d times", got)
				}
				eventually(t, "the connection has had a request, and counts as half-open", func() bool { _, halfOpen, _ := s.gate.stats(); return halfOpen == 0 })
				io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
					t.Errorf("the next request on the connection: %v", err)
				}
				return dates.ReplaceAllString(text.String(), "")
			}
			got, want := refuse(tt.request), refuse(tt.request[:30], tt.request[30:])
			if got != want || !strings.HasPrefix(got, "HTTP/1.1 "+tt.status) {
				t.Errorf("the answer is\n%s\nthat of net/http\n%s\nwant %s", got, want, tt.status)
			}
		})
	}
}

func refusals(s *Server) (n uint64) {
	for _, count := range s.socketio.Stats().Engine.Refused {
		n += count
	}
	return n
}

// A bug that one handshake finds ends that connection, and no more.
func TestPanicInFrontEndsItsConnectionOnly(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{HTTP: "127.0.0.1:0"}, n)
	if err != nil {
		t.Fatal(err)
	}
	routes, bug := s.handler, true
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bug {
			bug = false
			panic("a bug")
		}
		routes.ServeHTTP(w, r)
	})
	run(t, s.RunWithNode)
	for _, want := range []string{"", `0{"sid":`} {
		c := dial(t, s.Addr())
		io.WriteString(c, connectRequest)
		if want != "" {
			await(t, c, want)
		} else if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d bytes (%v), want the end", n, err)
		}
	}
	if open, _, _ := s.gate.stats(); open != 1 {
		t.Errorf("%d connections are counted, want 1", open)
	}
}

// Where there is no room the newest is closed, and nothing of it served.
func TestGateClosesHandshakesForWhichThereIsNoRoom(t *testing.T) {
	s := fronted(t, Config{})
	s.gate.mu.Lock()
	s.gate.max = 1
	s.gate.mu.Unlock()
	first := dial(t, s.Addr())
	io.WriteString(first, connectRequest)
	await(t, first, `0{"sid":`)
	second := dial(t, s.Addr())
	io.WriteString(second, connectRequest)
	if n, err := second.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes (%v), want the end", n, err)
	}
	if opened := s.socketio.Stats().Engine.Opened; opened != 1 {
		t.Errorf("%d sessions were opened, want 1", opened)
	}
}

// Who says nothing is net/http's after a moment, which gives it up.
func TestConnectionsThatSayNothingAreAccepted(t *testing.T) {
	s := fronted(t, Config{})
	dial(t, s.Addr())
	eventually(t, "is not accepted", func() bool { _, halfOpen, _ := s.gate.stats(); return halfOpen == 1 })
}

// The kernel gives up clients that vanish, as it does behind every other listener, and
// sends what is small at once.
func TestConnectionsInFrontHaveTheOptionsOfTheListener(t *testing.T) {
	h := heartbeats{interval: 7 * time.Second, timeout: 6 * time.Second}
	l, err := h.listenInFront("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 { // the first tells which options the listener does not hand down
		client := dial(t, l.Addr())
		io.WriteString(client, "x")
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			for name, want := range map[int]int{tcpUserTimeout: 13_000, syscall.TCP_KEEPIDLE: 7, syscall.TCP_KEEPINTVL: 2, syscall.TCP_KEEPCNT: 3, syscall.TCP_NODELAY: 1} {
				if got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, name); err != nil || got != want {
					t.Errorf("option %#x is %d (%v), want %d", name, got, err, want)
				}
			}
			if got, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); err != nil || got != 1 {
				t.Errorf("keep-alive is %d (%v)", got, err)
			}
		})
	}
}
