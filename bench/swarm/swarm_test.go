package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func targetAddr(t *testing.T, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// log is a Handler that remembers.
type log struct {
	mu    sync.Mutex
	lines []string
	echo  bool // opened connections send "hello", and each message back
}

func (l *log) add(c *Conn, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprint(c.ID, " ", what))
}

func (l *log) Opened(c *Conn) {
	l.add(c, "opened")
	if l.echo {
		_ = c.Send(Text, []byte("hello"), 1)
	}
}

func (l *log) Message(c *Conn, data []byte, binary bool, at int64) {
	if at <= 0 || at > c.swarm.Now() {
		l.add(c, fmt.Sprint("read at ", at))
	}
	l.add(c, fmt.Sprintf("%.20s %d %v", data, len(data), binary))
	if l.echo {
		_ = c.Send(Text, bytes.Clone(data), 2)
	}
}

func (l *log) Closed(c *Conn, err error) { l.add(c, "closed: "+err.Error()) }

func (l *log) has(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.lines {
		if strings.HasPrefix(x, line) {
			return true
		}
	}
	return false
}

func (l *log) wait(t *testing.T, line string) {
	t.Helper()
	for start := time.Now(); !l.has(line); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("no %q in\n%.2000s", line, strings.Join(l.lines, "\n"))
		}
	}
}

// start runs a swarm against a handler of websockets until the test ends.
func start(t *testing.T, l *log, loops int, serve func(ctx context.Context, c *websocket.Conn)) (*Swarm, Target) {
	t.Helper()
	server := httptest.NewServer(accepting(t, serve))
	s := run(t, l, loops, server.Close)
	return s, targetOf(t, server.URL)
}

// accepting serves websockets; without serve it refuses them.
func accepting(t *testing.T, serve func(ctx context.Context, c *websocket.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serve == nil {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		serve(r.Context(), c)
	})
}

// run runs a swarm until the test ends, and then calls after.
func run(t *testing.T, h Handler, loops int, after func()) *Swarm {
	t.Helper()
	s, err := New(1000, loops, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		after()
	})
	return s
}

func targetOf(t *testing.T, url string) Target {
	t.Helper()
	target, err := ParseTarget(t.Context(), url, "/", "")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func dial(t *testing.T, s *Swarm, target Target) *Conn {
	t.Helper()
	c, err := s.Dial(target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMessagesGoBothWays(t *testing.T) {
	l := &log{echo: true}
	s, target := start(t, l, 2, growing)
	threeGrow(t, l, s, target)
}

// TestMessagesGoBothWaysOverTLS: those of many records too.
func TestMessagesGoBothWaysOverTLS(t *testing.T) {
	l := &log{echo: true}
	server := httptest.NewTLSServer(accepting(t, growing))
	s := run(t, l, 2, server.Close)
	threeGrow(t, l, s, targetOf(t, server.URL))
}

// TestTLSWithWhatSpeaksNone: the handshake ends, and a swarm that ends waits for it.
func TestTLSWithWhatSpeaksNone(t *testing.T) {
	l := &log{}
	s, target := start(t, l, 1, func(ctx context.Context, c *websocket.Conn) {})
	target.TLS = true
	dial(t, s, target)
	l.wait(t, "0 closed: ")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dial(t, s, targetOf(t, "https://"+silent.Addr().String()))
}

// growing answers with twice of what it got, until that is long.
func growing(ctx context.Context, c *websocket.Conn) {
	c.SetReadLimit(1 << 20)
	for i := 0; ; i++ {
		_, data, err := c.Read(ctx)
		if err != nil {
			return
		}
		if i == 0 {
			data = []byte("x" + string(data))
		}
		if len(data) > 500_000 {
			data = append([]byte("last"), data...)
		}
		kind := websocket.MessageText
		if len(data) > 100 {
			kind = websocket.MessageBinary
		}
		if c.Write(ctx, kind, append(data, data...)) != nil || len(data) > 500_000 {
			return
		}
	}
}

func threeGrow(t *testing.T, l *log, s *Swarm, target Target) {
	t.Helper()
	for range 3 {
		dial(t, s, target)
	}
	for i := range 3 {
		l.wait(t, fmt.Sprint(i, " opened"))
		l.wait(t, fmt.Sprint(i, " xhelloxhello 12 false"))
		l.wait(t, fmt.Sprint(i, " xhelloxhelloxhelloxh 384 true"))
		l.wait(t, fmt.Sprint(i, " lastxhelloxhelloxhel 1572872 true")) // larger than a socket's buffer
	}
}

func TestPingsAreAnsweredAndEndsTold(t *testing.T) {
	l := &log{}
	s, target := start(t, l, 1, func(ctx context.Context, c *websocket.Conn) {
		read := c.CloseRead(ctx)
		ctx, cancel := context.WithTimeout(read, 5*time.Second)
		defer cancel()
		if err := c.Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
		_ = c.Close(websocket.StatusTryAgainLater, "moved")
	})
	c := dial(t, s, target)
	l.wait(t, `0 closed: the server closes the websocket: 1013 "moved"`)
	if err := c.Send(Text, []byte("x"), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Send on what is closed: %v, want ErrClosed", err)
	}
}

func TestRefusalsAreTold(t *testing.T) {
	l := &log{}
	s, target := start(t, l, 1, nil)
	dial(t, s, target)
	l.wait(t, `0 closed: the server refuses the websocket: 503 Service Unavailable "full`)
	closed := httptest.NewServer(nil)
	free, err := ParseTarget(t.Context(), closed.URL, "/", "")
	closed.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Dial(free); err == nil { // Linux tells later
		l.wait(t, "1 closed: ")
		if !l.has("1 closed: connect to "+free.Addr.String()+": connection refused") && !l.has("1 closed: dial") {
			t.Errorf("a refused connect is told as %q", l.lines)
		}
	}
}

func TestServerThatVanishesIsTold(t *testing.T) {
	l := &log{}
	s, target := start(t, l, 1, func(context.Context, *websocket.Conn) {})
	dial(t, s, target)
	l.wait(t, "0 closed: ")
}

func TestMoreConnectionsThanSaidAreRefused(t *testing.T) {
	for _, n := range []int{0, MaxConns + 1} {
		if _, err := New(n, 1, &log{}); err == nil {
			t.Errorf("a swarm of %d connections", n)
		}
	}
	for _, n := range []int{0, MaxLoops + 1} {
		if _, err := New(1, n, &log{}); err == nil {
			t.Errorf("a swarm with %d loops", n)
		}
	}
	l := &log{}
	s, target := start(t, l, 1, func(ctx context.Context, c *websocket.Conn) { <-c.CloseRead(ctx).Done() })
	for range 1000 {
		dial(t, s, target)
	}
	if _, err := s.Dial(target); err == nil {
		t.Error("connection 1001 of at most 1000")
	}
	l.wait(t, "999 opened")
}

// TestServerThatDoesNotReadIsGivenUp: what waits for it has a limit.
func TestServerThatDoesNotReadIsGivenUp(t *testing.T) {
	l := &log{}
	s, target := start(t, l, 1, func(context.Context, *websocket.Conn) { <-t.Context().Done() })
	c := dial(t, s, target)
	l.wait(t, "0 opened")
	sent := 0
	for piece := make([]byte, 1<<20); sent < 100<<20; sent += len(piece) {
		err := c.Send(Binary, piece, 0)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "does not read") || runtime.GOOS == "linux" && sent < maxPending {
			t.Errorf("after %d bytes: %v", sent, err)
		}
		return
	}
	t.Errorf("%d bytes wait", sent)
}

// TestBareTCP: without websocket, Split tells messages apart, in whatever pieces they come.
func TestBareTCP(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := server.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for _, piece := range []string{"one.", "tw", "o.three.", "hello"} {
			c.Write([]byte(piece))
			time.Sleep(5 * time.Millisecond) // so that the pieces are read apart, mostly
		}
		got := make([]byte, 15)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "one.two.three.x" {
			t.Errorf("server got %q, %v", got, err)
		}
		c.Write(bytes.Repeat([]byte("x"), MaxMessage)) // no dot
		c.Read(got)
	}()
	l := &log{}
	s := run(t, l, 1, func() { server.Close(); <-ended })
	target := targetOf(t, "tcp://"+server.Addr().String())
	target.Split = func(b []byte) (int, error) { return bytes.IndexByte(b, '.') + 1, nil }
	c := dial(t, s, target)
	for _, want := range []string{"0 opened", "0 one. 4 false", "0 two. 4 false", "0 three. 6 false"} {
		l.wait(t, want)
	}
	if err := c.Write(c.Append(c.Append(nil, Text, []byte("one.two.three."), 1), Text, []byte("x"), 2)); err != nil {
		t.Error(err)
	}
	l.wait(t, "0 closed: message over")
}

// pausing is a handler that reads nothing after the first message.
type pausing struct{ log }

func (p *pausing) Message(c *Conn, data []byte, binary bool, at int64) {
	p.log.Message(c, data, binary, at)
	if err := c.Pause(); err != nil {
		p.add(c, err.Error())
	}
}

// TestPause: the server's writes come to a stop, soon when the connection is narrow.
func TestPause(t *testing.T) {
	const most = 512 << 10 // a wide one takes megabytes
	stopped := make(chan int, 1)
	h := &pausing{}
	server := httptest.NewServer(accepting(t, func(ctx context.Context, c *websocket.Conn) {
		wait, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		sent := 0
		for c.Write(wait, websocket.MessageText, make([]byte, 1000)) == nil && sent < 64<<20 {
			sent += 1000
		}
		stopped <- sent
	}))
	s := run(t, h, 1, server.Close)
	target := targetOf(t, server.URL)
	target.Narrow = true
	dial(t, s, target)
	if sent := <-stopped; sent < 1000 || runtime.GOOS == "linux" && sent > most {
		t.Errorf("the server sent %d bytes to who does not read", sent)
	}
}
