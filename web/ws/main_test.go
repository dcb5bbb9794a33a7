package ws_test

import (
	"bufio"
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

	"github.com/meshrt/meshrt/web/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// session is the simplest Handler: a queue, and a list of what came in. Hooks run
// where they are set.
type session struct {
	*ws.Conn
	host *host

	opened   func(s *session)
	received func(s *session, data string, binary bool)
	try      func(s *session, data string) (done bool) // nil: everything else is, if nothing hooks received

	mu     sync.Mutex
	out    ws.Outbox
	over   bool // no more to come from Take
	got    []string
	causes []ws.Cause
	served time.Time // when Ended came
	leave  func()
}

func (s *session) Opened() {
	s.host.sessions <- s
	if s.opened != nil {
		s.opened(s)
	}
}

func (s *session) Received(data []byte, binary bool) {
	s.mu.Lock()
	s.got = append(s.got, string(data))
	s.mu.Unlock()
	if s.received != nil {
		s.received(s, string(data), binary)
	}
}

// TryReceived implements ws.Trier.
func (s *session) TryReceived(text []byte) (done bool) {
	done = s.received == nil
	if s.try != nil {
		done = s.try(s, string(text))
	}
	if done {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, string(text))
	}
	return done
}

func (s *session) Take() ([]*ws.Group, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Take(), !s.over
}

// Failed ends as a server would, for the causes that have a status.
func (s *session) Failed(cause ws.Cause) {
	s.mu.Lock()
	s.causes = append(s.causes, cause)
	s.mu.Unlock()
	s.end(map[ws.Cause]ws.Status{
		ws.CauseLost: ws.StatusNormal, ws.CauseGoodbye: ws.StatusNormal, ws.CauseTooBig: ws.StatusTooBig,
		ws.CauseInvalidText: ws.StatusInvalidText, ws.CausePanic: ws.StatusInternalError,
	}[cause], "")
}

func (s *session) Ended() {
	s.mu.Lock()
	s.served = time.Now()
	s.mu.Unlock()
	s.leave()
}

// end ends the session as every Handler must: no more to come, then End.
func (s *session) end(status ws.Status, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.End(status, text)
}

// queue puts texts on the queue, each a group of its own, without a Flush.
func (s *session) queue(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range texts {
		s.out.Add(ws.NewGroup(ws.Frame{Opcode: ws.Text, Data: []byte(text)}))
	}
}

func (s *session) send(texts ...string) {
	s.queue(texts...)
	s.Flush()
}

func (s *session) messages() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, ",")
}

// cause waits in a bubble until all is still: why the session has ended, or zero.
func (s *session) cause() ws.Cause {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served.IsZero() {
		return 0
	}
	return s.causes[0]
}

// pipeListener is a network of net.Pipes: a write waits for its reader, so nothing
// hides in buffers, and it works in a bubble.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
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

// host serves every request as a websocket with a session of its own.
type host struct {
	t        *testing.T
	cfg      ws.Config
	setup    func(s *session) // before run; nil for none
	run      func(s *session) // serves a connection
	sessions chan *session    // in the order they open
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	guests   []ws.Guest   // of each request
	log      bytes.Buffer // read when all is still
}

var limits = ws.Config{MaxPayload: 1000, WriteTimeout: 20 * time.Second}

// inBubble runs test with a host in a bubble of virtual time. setup, which may be
// nil, prepares each session before it is served.
func inBubble(t *testing.T, cfg ws.Config, setup func(*session), test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		h := newHost(t, cfg, setup)
		h.dial = l.dial
		defer h.serve(l)()
		test(t, h)
	})
}

func newHost(t *testing.T, cfg ws.Config, setup func(*session)) *host {
	h := &host{t: t, setup: setup, run: func(s *session) { s.Go(s) }, sessions: make(chan *session, 100)}
	cfg.Traffic = &ws.Traffic{}
	cfg.Poller = &ws.Poller{}
	cfg.Logger = slog.New(slog.NewTextHandler(&h.log, nil))
	h.cfg = cfg
	return h
}

// serve serves l until the result is called, and waits for all sessions.
func (h *host) serve(l net.Listener) (stop func()) {
	var roster ws.Roster[*session, *session]
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if roster.Enter() {
			defer roster.Leave()
			h.session(&roster, w, r)
		}
	})}
	go web.Serve(l)
	return func() {
		roster.DrainOver(context.Background(), 0, func(s *session) { s.end(0, "") })
		roster.Wait()
		web.Close()
	}
}

func (h *host) session(roster *ws.Roster[*session, *session], w http.ResponseWriter, r *http.Request) {
	for _, g := range h.guests {
		r = r.WithContext(ws.WithGuest(r.Context(), g))
	}
	conn, err := ws.Accept(w, r, &h.cfg)
	if err != nil {
		return
	}
	s := &session{Conn: conn, host: h, out: ws.Outbox{MaxBytes: 1 << 20, MaxGroups: 1000}}
	if h.setup != nil {
		h.setup(s)
	}
	roster.Stay()
	if roster.Add(s, s) != nil {
		conn.Reject(ws.StatusGoingAway, "", roster.Leave)
		return
	}
	s.leave = func() {
		roster.Remove(s)
		roster.Leave()
	}
	h.run(s)
}

// client is one end of a websocket.
type client struct {
	*websocket.Conn
	t *testing.T
}

// open opens a websocket that does not read by itself, and gives both ends.
func (h *host) open() (*client, *session) {
	h.t.Helper()
	web := &http.Client{Transport: &http.Transport{DialContext: h.dial, DisableKeepAlives: true}}
	conn, _, err := websocket.Dial(context.Background(), "http://host/", &websocket.DialOptions{HTTPClient: web})
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	h.t.Cleanup(func() { conn.CloseNow() })
	return &client{conn, h.t}, <-h.sessions
}

// rawOpen opens a websocket on a bare connection, for bytes that no library writes.
// What comes in is in the reader.
func (h *host) rawOpen() (net.Conn, *bufio.Reader, *session) {
	h.t.Helper()
	return h.rawOpenWith("X", "")
}

// rawOpenWith is rawOpen with one more header.
func (h *host) rawOpenWith(name, value string) (net.Conn, *bufio.Reader, *session) {
	h.t.Helper()
	c, err := h.dial(h.t.Context(), "tcp", "host")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	req, _ := http.NewRequest("GET", "http://host/", nil)
	req.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	if value != "" {
		req.Header.Set(name, value)
	}
	if err := req.Write(c); err != nil {
		h.t.Fatal(err)
	}
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("handshake: %v, %v", res, err)
	}
	return c, in, <-h.sessions
}

// deafOpen is rawOpen for tests that do not care what comes.
func (h *host) deafOpen() (net.Conn, *session) {
	c, in, s := h.rawOpen()
	go io.Copy(io.Discard, in) // ends with c
	return c, s
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

// readAll reads until the connection ends: what came, and the close frame, with
// status -1 for none.
func (c *client) readAll() (got string, end websocket.CloseError) {
	var all []string
	for {
		_, data, err := c.Read(context.Background())
		if err != nil {
			end.Code = -1
			errors.As(err, &end)
			return strings.Join(all, ","), end
		}
		all = append(all, string(data))
	}
}

// masked is a frame of a client with the mask 0, which leaves the data as it is.
func masked(first byte, size int, data string) []byte {
	head := []byte{first, 0x80 | byte(size), 0, 0, 0, 0}
	if size > 125 {
		head = []byte{first, 0x80 | 126, byte(size >> 8), byte(size), 0, 0, 0, 0}
	}
	return append(head, data...)
}
