package web

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// pipes is a listener of net.Pipe connections, which works in a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A request that comes in drops, a byte a second, is given up in time: its header
// by both listeners, its body by the API. The body of a poll has the session's
// heartbeat, see package engineio.
func TestRequestsThatTrickleAreGivenUp(t *testing.T) {
	const forever = "this never ends this never ends this never ends this never ends"
	for name, tt := range map[string]struct {
		api  bool
		text string // at once
		want time.Duration
	}{
		"nothing":                {false, "", headerTimeout},
		"half a header":          {false, "GET /ws HTTP/1.1\r\nHost: ", headerTimeout},
		"a websocket handshake":  {false, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: ", headerTimeout},
		"half a header, API":     {true, "GET /api/nodes HTTP/1.1\r\nHost: ", headerTimeout},
		"half a body, API":       {true, "POST /api/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", apiReadTimeout},
		"half a body, new poll":  {false, "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4", 3 * time.Second},
		"half a body, origin":    {false, "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 1000\r\n\r\n4", bodyTimeout},
		"half a body, preflight": {false, "OPTIONS /socket.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4", bodyTimeout},
		"half a body, bundle":    {false, "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4", bodyTimeout},
		"half a body, plain":     {false, "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4", bodyTimeout},
		"half a body, chat page": {false, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4", bodyTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, err := node.New(node.Config{})
				if err != nil {
					t.Fatal(err)
				}
				s, err := New(Config{Demo: true}, n)
				if err != nil {
					t.Fatal(err)
				}
				clients, ops := s.servers()
				server := clients
				if tt.api {
					server = ops
				}
				l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				go server.Serve(l)
				far, near := net.Pipe()
				l.conns <- far
				start := time.Now()
				var writer sync.WaitGroup
				writer.Go(func() {
					io.WriteString(near, tt.text)
					for _, b := range []byte(forever) {
						if _, err := near.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				io.Copy(io.Discard, near)
				if took := time.Since(start); took > tt.want {
					t.Errorf("closed after %v, want %v", took, tt.want)
				}
				near.Close()
				writer.Wait()
				server.Close()
			})
		})
	}
}

// Headers have a limit, each and all together, on both listeners.
func TestHeadersOverTheLimitAreRefused(t *testing.T) {
	for name, header := range map[string]string{
		"one large":  "X: " + strings.Repeat("x", 2*maxHeader) + "\r\n",
		"many small": strings.Repeat("X: x\r\n", maxHeader/3),
		"a long URL": "",
	} {
		for _, api := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				n, err := node.New(node.Config{})
				if err != nil {
					t.Fatal(err)
				}
				s, err := New(Config{}, n)
				if err != nil {
					t.Fatal(err)
				}
				server, ops := s.servers()
				if api {
					server = ops
				}
				l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				go server.Serve(l)
				far, near := net.Pipe()
				l.conns <- far
				path := "/healthz"
				if header == "" {
					path += "?" + strings.Repeat("x", 2*maxHeader)
				}
				var writer sync.WaitGroup
				writer.Go(func() { io.WriteString(near, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n") })
				resp, err := http.ReadResponse(bufio.NewReader(near), nil)
				if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
					t.Errorf("%s: %v, %v, want 431", name, resp, err)
				}
				near.Close()
				writer.Wait()
				server.Close()
				time.Sleep(time.Second) // net/http gives the answer half of that to arrive
			})
		}
	}
}

// A server whose descriptors have run out goes on: accept is tried again.
func TestAcceptThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{}, n)
		if err != nil {
			t.Fatal(err)
		}
		inner := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		s.http = &exhausted{pipes: inner, failures: 5}
		ctx, stop := context.WithCancel(context.Background())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		far, near := net.Pipe()
		inner.conns <- far
		go io.WriteString(near, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(near), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("after failures of accept: %v", err)
		}
		near.Close()
		stop()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// exhausted fails to accept as a process without descriptors does.
type exhausted struct {
	*pipes
	failures int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.failures--; e.failures >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: temporary{}}
	}
	return e.pipes.Accept()
}

type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Timeout() bool   { return false }
func (temporary) Temporary() bool { return true }
