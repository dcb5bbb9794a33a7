// Package webtest is for tests of the protocols: an http.Server in memory that
// works in a bubble of testing/synctest, and a websocket client that speaks in
// whole frames.
package webtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// listener is a net.Listener of net.Pipe connections.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error { l.once.Do(func() { close(l.done) }); return nil }

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	far, near := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Server serves a handler in memory until the test ends.
type Server struct {
	t      testing.TB
	Client *http.Client // reaches the server under any host name
	stop   func()
}

// Serve starts a server for h.
func Serve(t testing.TB, h http.Handler) *Server {
	l := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial}
	s := &Server{t: t, Client: &http.Client{Transport: transport}}
	s.stop = func() {
		server.Close()
		transport.CloseIdleConnections()
		<-ended
	}
	t.Cleanup(s.stop)
	return s
}

// Stop ends the server before the test does. A bubble ends before its
// cleanups are of use, so tests in one call it.
func (s *Server) Stop() { s.stop() }

// Conn is a websocket client.
type Conn struct {
	t  testing.TB
	ws *websocket.Conn
}

// Dial opens a websocket on path, with headers as name, value pairs.
func (s *Server) Dial(path string, headers ...string) *Conn {
	s.t.Helper()
	c, _, err := s.TryDial(path, headers...)
	if err != nil {
		s.t.Fatalf("dial %s: %v", path, err)
	}
	return c
}

// TryDial is Dial for handshakes that may be refused; then the status tells how.
func (s *Server) TryDial(path string, headers ...string) (*Conn, int, error) {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	ws, resp, err := websocket.Dial(context.Background(), "ws://meshrt.test"+path, &websocket.DialOptions{HTTPClient: s.Client, HTTPHeader: h})
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		return nil, status, err
	}
	ws.SetReadLimit(64 << 20)
	return &Conn{s.t, ws}, http.StatusSwitchingProtocols, nil
}

// Send writes text frames.
func (c *Conn) Send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.ws.Write(context.Background(), websocket.MessageText, []byte(f)); err != nil {
			c.t.Fatalf("send %.80s: %v", f, err)
		}
	}
}

// SendBinary writes a binary frame.
func (c *Conn) SendBinary(b []byte) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, b); err != nil {
		c.t.Fatal(err)
	}
}

// Next is the next frame: its text, or binary as "binary:" and the bytes.
func (c *Conn) Next() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	typ, b, err := c.ws.Read(ctx)
	if typ == websocket.MessageBinary {
		return fmt.Sprintf("binary:%x", b), err
	}
	return string(b), err
}

// Expect reads frames and compares them.
func (c *Conn) Expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, err := c.Next()
		if err != nil {
			c.t.Fatalf("got %v, want %.200s", err, w)
		}
		if got != w {
			c.t.Errorf("got %.500s, want %.500s", got, w)
		}
	}
}

// ExpectClose reads until the server closes and compares the close status; -1
// is an end without a close frame.
func (c *Conn) ExpectClose(want websocket.StatusCode) {
	c.t.Helper()
	for {
		got, err := c.Next()
		if err == nil {
			c.t.Errorf("got %.200s, want the end", got)
			continue
		}
		if status := websocket.CloseStatus(err); status != want {
			c.t.Errorf("closed with %v (%v), want %v", status, err, want)
		}
		return
	}
}

// Close hangs up without a word.
func (c *Conn) Close() { c.ws.CloseNow() }

// Bye closes in order.
func (c *Conn) Bye() { c.ws.Close(websocket.StatusNormalClosure, "") }

// Post sends a JSON body and gives the status and the answer.
func (s *Server) Post(path, body string, headers ...string) (int, string) {
	s.t.Helper()
	return s.do(http.MethodPost, path, body, append([]string{"Content-Type", "application/json"}, headers...))
}

// Get gives the status and the answer.
func (s *Server) Get(path string, headers ...string) (int, string) {
	s.t.Helper()
	return s.do(http.MethodGet, path, "", headers)
}

func (s *Server) do(method, path, body string, headers []string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(b))
}
