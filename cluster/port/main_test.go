package port

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	oldSecret = []byte("an old secret of the test cluster")
	newSecret = []byte("the new secret of the test cluster")
)

// logBuffer keeps what was logged, one record a line.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) lines(containing string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, containing) {
			found = append(found, line)
		}
	}
	return found
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// config is a port on loopback in the test cluster; each change may alter it.
func config(change ...func(*Config)) Config {
	c := Config{Cluster: "test", Node: "n@1", Bind: "127.0.0.1:0", Secrets: [][]byte{oldSecret}}
	for _, f := range change {
		f(&c)
	}
	return c
}

func node(name string) func(*Config)         { return func(c *Config) { c.Node = name } }
func bindTo(addr string) func(*Config)       { return func(c *Config) { c.Bind = addr } }
func secrets(s ...[]byte) func(*Config)      { return func(c *Config) { c.Secrets = s } }
func logTo(l *logBuffer) func(*Config)       { return func(c *Config) { c.Logger = l.logger() } }
func patience(d time.Duration) func(*Config) { return func(c *Config) { c.HandshakeTimeout = d } }

// listen binds a port that is closed at the end of the test without having run.
func listen(t *testing.T, change ...func(*Config)) *Port {
	t.Helper()
	p, err := Listen(config(change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.started.Load() {
			closeAll(p.socks)
		}
	})
	return p
}

// start runs a port until the end of the test.
func start(t *testing.T, change ...func(*Config)) *Port {
	t.Helper()
	p := listen(t, change...)
	run(t, p)
	return p
}

// run runs p; the function it returns ends it and waits.
func run(t *testing.T, p *Port) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition with a deadline.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// strangerFrom opens a plain TCP connection from a chosen loopback address.
func strangerFrom(t *testing.T, p *Port, from string) net.Conn {
	t.Helper()
	if runtime.GOOS != "linux" && from != "127.0.0.1" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", p.Advertise().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
