package engineio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/eio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// official is the configuration that the official suite wants.
var official = engineio.Config{
	PingInterval: 300 * time.Millisecond,
	PingTimeout:  200 * time.Millisecond,
}

// handlerFunc is a Handler of one function.
type handlerFunc func(*engineio.Socket) engineio.Receiver

func (f handlerFunc) Opened(s *engineio.Socket) engineio.Receiver { return f(s) }

// session is a Receiver that keeps what it got and, where set, calls hooks.
type session struct {
	*engineio.Socket
	received func(s *session, data string, binary bool)

	mu      sync.Mutex
	got     []string
	reasons []engineio.Reason
	endedAt time.Time
}

func (s *session) Received(data []byte, binary bool) {
	s.mu.Lock()
	s.got = append(s.got, string(data))
	if len(s.reasons) > 0 {
		s.got = append(s.got, "after Closed")
	}
	s.mu.Unlock()
	if s.received != nil {
		s.received(s, string(data), binary)
	}
}

func (s *session) Closed(reason engineio.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons = append(s.reasons, reason)
	s.endedAt = time.Now()
}

// ends is each reason that Closed was called with: one, when all is well.
func (s *session) ends() []engineio.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]engineio.Reason(nil), s.reasons...)
}

func (s *session) messages() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, ",")
}

// app is a Handler that hands its sessions to the test in the order they open.
type app struct {
	opened   chan *session
	received func(s *session, data string, binary bool)
}

func newApp(received func(*session, string, bool)) *app {
	return &app{opened: make(chan *session, 100), received: received}
}

func (a *app) Opened(s *engineio.Socket) engineio.Receiver {
	one := &session{Socket: s, received: a.received}
	a.opened <- one
	return one
}

// echo sends every message back, as the official suite wants.
func echo(s *session, data string, binary bool) {
	s.Send(message(data, binary))
	s.Flush()
}

func message(data string, binary bool) *engineio.Group {
	return engineio.NewGroup(eio.Packet{Type: eio.Message, Binary: binary, Data: []byte(data)})
}

// pipeListener is a network of net.Pipes: a write waits for its reader, so nothing
// hides in buffers, and it works in a bubble.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, errors.New("nobody listens")
	}
}

// host is a Server behind a real http.Server, with all that clients of it need.
type host struct {
	t      *testing.T
	server *engineio.Server
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	http   *http.Client
	addr   string
	base   string // of URLs, when it is not addr
	log    *lockedBuffer

	stopRun context.CancelFunc
	ran     chan struct{} // closed when Run has returned
	web     *http.Server
}

// inBubble runs test with a Server in a bubble of virtual time.
func inBubble(t *testing.T, cfg engineio.Config, h engineio.Handler, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		host := newHost(t, l, cfg, h)
		host.use(l.dial)
		defer host.stop()
		test(t, host)
	})
}

func newHost(t *testing.T, l net.Listener, cfg engineio.Config, h engineio.Handler) *host {
	host := &host{t: t, addr: l.Addr().String(), log: &lockedBuffer{}, ran: make(chan struct{})}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(host.log, nil))
	}
	host.server = engineio.NewServer(cfg, h)
	host.web = &http.Server{Handler: host.server}
	go host.web.Serve(l)
	ctx, cancel := context.WithCancel(context.Background())
	host.stopRun = cancel
	go func() {
		defer close(host.ran)
		if err := host.server.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	host.use((&net.Dialer{}).DialContext)
	return host
}

func (h *host) use(dial func(context.Context, string, string) (net.Conn, error)) {
	h.dial = dial
	h.http = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (h *host) stop() {
	h.stopRun()
	<-h.ran
	h.web.Close()
	h.http.CloseIdleConnections()
}

// client is one end of a websocket.
type client struct {
	*websocket.Conn
	t *testing.T
}

// url is the address of a query.
func (h *host) url(query string) string {
	base := h.base
	if base == "" {
		base = "http://" + h.addr
	}
	return base + "/engine.io/?" + query
}

// connect opens a websocket and does not read.
func (h *host) connect() *client {
	h.t.Helper()
	ws, _, err := websocket.Dial(context.Background(), h.url("EIO=4&transport=websocket"), &websocket.DialOptions{HTTPClient: h.http})
	if err != nil {
		h.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	h.t.Cleanup(func() { ws.CloseNow() })
	return &client{ws, h.t}
}

// open opens a session and reads its open packet.
func (h *host) open() *client {
	h.t.Helper()
	c := h.connect()
	if got := c.read(); !strings.HasPrefix(got, `0{"sid":"`) {
		h.t.Fatalf("first packet %q, want an open packet", got)
	}
	return c
}

// read is the next message; of a binary one, its bytes in brackets.
func (c *client) read() string {
	c.t.Helper()
	typ, data, err := c.Read(context.Background())
	switch {
	case err != nil:
		c.t.Fatalf("read: %v", err)
	case typ == websocket.MessageBinary:
		return fmt.Sprint(data)
	}
	return string(data)
}

func (c *client) send(data string) {
	c.t.Helper()
	if err := c.Write(context.Background(), websocket.MessageText, []byte(data)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// readAll reads until the connection ends: what came, and the status of the close
// frame, -1 for none.
func (c *client) readAll() (got string, status websocket.StatusCode) {
	var all []string
	for {
		_, data, err := c.Read(context.Background())
		if err != nil {
			return strings.Join(all, ","), websocket.CloseStatus(err)
		}
		all = append(all, string(data))
	}
}

// get makes a plain request.
func (h *host) get(method, query string, header http.Header) (status int, body string) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url(query), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	res, err := h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(all)
}

// upgrading is the header of a websocket handshake.
func upgrading() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wantEnd waits in a bubble until all is still, and checks how s ended.
func wantEnd(t *testing.T, s *session, want engineio.Reason) {
	t.Helper()
	synctest.Wait()
	if got := s.ends(); len(got) != 1 || got[0] != want {
		t.Errorf("Closed was called with %v, want once with %q", got, want)
	}
}
