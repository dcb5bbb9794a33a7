package plain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/plain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// host is a node with the relay's verbs and a Server of it behind a real
// http.Server.
type host struct {
	t      *testing.T
	node   *node.Node
	main   *node.Namespace // "/"
	server *plain.Server
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	http   *http.Client

	stopRun, stopNode context.CancelFunc
	ran, nodeRan      chan struct{} // closed when Run of the server, the node, has returned
	web               *http.Server
	atStop            []func()

	mu   sync.Mutex
	left []string // the reasons that OnDisconnect was told
}

// inBubble runs test with a host in a bubble of virtual time.
func inBubble(t *testing.T, cfg plain.Config, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		h := newHost(t, l, cfg, cluster.Config{Name: "n1"})
		h.use(l.dial)
		defer h.stop()
		test(t, h)
	})
}

func newHost(t *testing.T, l net.Listener, cfg plain.Config, others cluster.Config) *host {
	n, err := node.New(node.Config{Cluster: others})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &host{t: t, node: n, main: n.Namespace("/"), server: plain.NewServer(cfg, n), ran: make(chan struct{}), nodeRan: make(chan struct{})}
	relay.Attach(h.main)
	h.main.OnDisconnect(func(_ *node.Session, reason string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.left = append(h.left, reason)
	})
	mux := http.NewServeMux()
	mux.Handle("/", h.server)
	mux.HandleFunc("/sse", h.server.ServeEvents)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	// Timeouts of an http.Server are for requests, and end nothing here.
	h.web = &http.Server{Handler: mux, Protocols: protocols, ReadTimeout: time.Second, WriteTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go h.web.Serve(l)
	h.stopRun = h.start(h.server.Run, h.ran)
	h.stopNode = h.start(n.Run, h.nodeRan)
	return h
}

func (h *host) start(run func(context.Context) error, ran chan struct{}) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ran)
		if err := run(ctx); err != nil {
			h.t.Errorf("Run: %v", err)
		}
	}()
	return cancel
}

func (h *host) use(dial func(context.Context, string, string) (net.Conn, error)) {
	h.dial = dial
	h.http = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// stop ends the server before the node, as the program does. Nothing of the
// clients may be left in the node, however they ended.
func (h *host) stop() {
	h.stopRun()
	<-h.ran
	for _, f := range h.atStop {
		f()
	}
	if s := h.node.Stats(); s.Sessions != 0 || s.Rooms != 0 {
		h.t.Errorf("after Run the node has %d sessions and %d rooms", s.Sessions, s.Rooms)
	}
	if s := h.server.Stats(); s.Open != 0 || s.Streams.Open != 0 {
		h.t.Errorf("after Run %d connections and %d streams are open", s.Open, s.Streams.Open)
	}
	h.web.Close()
	h.http.CloseIdleConnections()
	h.stopNode()
	<-h.nodeRan
}

// wantLeft waits in a bubble until all is still, and checks which reasons
// OnDisconnect was told since the start.
func (h *host) wantLeft(want ...string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.left, want) {
		h.t.Errorf("OnDisconnect was told %q, want %q", h.left, want)
	}
}

// client is one end of a websocket.
type client struct {
	*websocket.Conn
	t  *testing.T
	id string // of its session
}

// connect opens a websocket and does not read.
func (h *host) connect(query string) *client {
	h.t.Helper()
	conn, _, err := websocket.Dial(context.Background(), "http://host/ws"+query, &websocket.DialOptions{HTTPClient: h.http})
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	h.t.Cleanup(func() { conn.CloseNow() })
	return &client{Conn: conn, t: h.t}
}

var welcome = regexp.MustCompile(`^{"type":"welcome","id":"([^"]+)","node":"n1"}$`)

// open opens a session and reads its welcome.
func (h *host) open() *client {
	h.t.Helper()
	c := h.connect("")
	frame := c.read()
	m := welcome.FindStringSubmatch(frame)
	if m == nil {
		h.t.Fatalf("first frame %s, want a welcome", frame)
	}
	c.id = m[1]
	return c
}

// read is the next frame. Heartbeats would let a bubble's clock run for ever while
// it waits for one that never comes.
func (c *client) read() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	typ, data, err := c.Read(ctx)
	if err != nil || typ != websocket.MessageText {
		c.t.Fatalf("read: %v %v", typ, err)
	}
	return string(data)
}

func (c *client) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := c.read(); got != want {
			c.t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// send sends each command as a text frame.
func (c *client) send(commands ...string) {
	c.t.Helper()
	for _, command := range commands {
		if err := c.Write(context.Background(), websocket.MessageText, []byte(command)); err != nil {
			c.t.Fatalf("send: %v", err)
		}
	}
}

// join makes the client a member of a room.
func (c *client) join(room string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"type":"join","id":0,"room":%q}`, room))
	c.want(`{"type":"ack","id":0,"ok":true}`)
}

// readAll reads until the connection ends: what came, and the close frame, with
// status -1 for none.
func (c *client) readAll() (got string, end websocket.CloseError) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var all []string
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			end.Code = -1
			errors.As(err, &end)
			return strings.Join(all, " "), end
		}
		all = append(all, string(data))
	}
}

// get makes a request that gets no connection.
func (h *host) get(method string, header http.Header) (res *http.Response, body string) {
	h.t.Helper()
	req, err := http.NewRequest(method, "http://host/ws", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header = header
	res, err = h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, string(all)
}

// upgrading is the header of a websocket handshake.
func upgrading() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
}

// fast is a configuration whose heartbeat a test can wait for.
var fast = plain.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
