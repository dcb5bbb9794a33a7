package gossip

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/meshrt/meshrt/cluster/clustertest"
)

func TestProfiles(t *testing.T) {
	for p, tt := range map[Profile]struct {
		name                                              string
		probe, timeout, gossip, pushPull, stream, dead    time.Duration
		suspicion, suspicionMax, nodes, packet, rejoinSec int
	}{
		LAN:   {"lan", 500e6, 200e6, 100e6, 15e9, 3e9, 60e9, 4, 4, 3, 1400, 2},
		WAN:   {"wan", 1500e6, 750e6, 300e6, 30e9, 5e9, 120e9, 5, 4, 4, 1200, 5},
		Local: {"local", 500e6, 200e6, 100e6, 5e9, 1e9, 15e9, 4, 4, 3, 1400, 2},
	} {
		if got, err := ParseProfile(tt.name); got != p || err != nil || p.String() != tt.name {
			t.Errorf("%s is read as %v, %v", tt.name, got, err)
		}
		g, err := New(Config{ID: 1, Name: "a", Cluster: "c", Profile: p, Net: clustertest.NewNetwork(1).Host("a")})
		if err != nil {
			t.Fatal(err)
		}
		c := g.memberlistConfig(nil, &keys{})
		got := []any{c.ProbeInterval, c.ProbeTimeout, c.GossipInterval, c.PushPullInterval, c.TCPTimeout, c.GossipToTheDeadTime,
			c.SuspicionMult, c.SuspicionMaxTimeoutMult, c.GossipNodes, c.UDPBufferSize, g.timing.rejoin,
			c.EnableCompression, c.Label, c.RequireNodeNames, c.HandoffQueueDepth, c.DelegateProtocolMax, c.Name}
		want := []any{tt.probe, tt.timeout, tt.gossip, tt.pushPull, tt.stream, tt.dead,
			tt.suspicion, tt.suspicionMax, tt.nodes, tt.packet, time.Duration(tt.rejoinSec) * time.Second,
			false, "meshrt:c", false, 4096, uint8(0), "a@0000000000002"[:2] + g.cfg.ID.String()}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}

func TestReasonsAreShort(t *testing.T) {
	flat := func(err error) error { // as memberlist does
		return multierror.Append(nil, fmt.Errorf("failed to join %s: %v", "10.0.0.1:7946", err))
	}
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{IsNotFound: true, Name: "a"}, "no such host"},
		{&net.DNSError{IsTimeout: true, Name: "a"}, "the name server does not answer"},
		{&net.DNSError{Err: "server misbehaving", Name: "a"}, "name lookup failed: server misbehaving"},
		{op(syscall.ECONNREFUSED), "connection refused"},
		{op(syscall.EHOSTUNREACH), "no route to host"},
		{op(context.DeadlineExceeded), "no answer"},
		{context.DeadlineExceeded, "no answer"},
		{flat(errors.New("read tcp 10.0.0.1:1->10.0.0.2:2: i/o timeout")), "no answer"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "another cluster secret or cluster name"},
		{flat(errors.New("not authenticated: wrong cluster secret or cluster name?")), "another cluster secret or cluster name"},
		{op(errors.New("remote error: tls: bad certificate")), "another cluster secret or cluster name"},
		{flat(errors.New("no installed keys could decrypt the message")), "another cluster secret or cluster name"},
		{flat(io.EOF), "closed by the other side (another cluster name or secret?)"},
		{flat(errors.New("read tcp: connection reset by peer")), "closed by the other side (another cluster name or secret?)"},
		{flat(errors.New("node 'x' is\n\tincompatible")), "failed to join 10.0.0.1:7946: node 'x' is incompatible"},
		{errors.New(strings.Repeat("long ", 1000)), strings.Repeat("long ", maxReason/5)},
	} {
		if got := reason(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestLogLinesGoToDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := &record{}, &counters{}
		l := &logs{log: slog.New(r), count: c}
		out := l.logger()
		out.Printf("[ERR] memberlist: Failed to send ping: %s", "boom")
		out.Printf("[WARN] memberlist: handler queue full, dropping message (%d) %s", 3, "from=x")
		out.Printf("[ERR] memberlist: Decrypt packet failed: no installed keys from=x")
		out.Printf("[ERR] memberlist: discarding packet with unacceptable label %q", "x")
		out.Printf("plain \xff %s", strings.Repeat("x", 2*maxLogLine))
		for range 2 {
			out.Printf("[WARN] memberlist: Was able to connect to %s over TCP but UDP probes failed, network may be misconfigured", "b@1")
		}
		r.mu.Lock()
		first, plain := r.lines[0], r.lines[4]
		r.mu.Unlock()
		if want := "DEBUG memberlist detail=Failed to send ping: boom"; first != want {
			t.Errorf("got %q, want %q", first, want)
		}
		if !strings.HasPrefix(plain, "DEBUG memberlist detail=plain ? xxx") || len(plain) > maxLogLine+30 {
			t.Errorf("a long line became %q", plain)
		}
		if c.messagesDropped.Load() != 1 || c.packetsRefused.Load() != 2 {
			t.Errorf("counted %d dropped, %d refused", c.messagesDropped.Load(), c.packetsRefused.Load())
		}
		if got := r.from(slog.LevelInfo); len(got) != 1 || !strings.Contains(got[0], "WARN") {
			t.Errorf("above debug: %q, want one warning", got)
		}
		time.Sleep(blockedUDPEvery)
		out.Printf("over TCP but UDP probes failed")
		if got := r.from(slog.LevelWarn); len(got) != 2 {
			t.Errorf("ten minutes later: %q, want another warning", got)
		}
		l.closed.Store(true)
		out.Printf("late")
		if got := r.from(slog.LevelDebug); strings.Contains(got[len(got)-1], "late") {
			t.Error("logged after Run")
		}
	})
}

func TestKeysFollow(t *testing.T) {
	key := func(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }
	list := func(names string) (ks [][]byte) {
		for _, c := range []byte(names) {
			ks = append(ks, key(c))
		}
		return ks
	}
	for _, tt := range []struct{ from, to string }{
		{"a", "a"}, {"a", "ab"}, {"ab", "ba"}, {"ba", "b"}, {"ab", "ac"}, {"ab", "cb"}, {"ab", "cd"}, {"abc", "db"},
	} {
		k, err := newKeys(list(tt.from))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.follow(list(tt.to)); err != nil {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
		if got := k.ring.GetKeys(); !slices.EqualFunc(got, list(tt.to), bytes.Equal) {
			t.Errorf("%s to %s: the ring has %q", tt.from, tt.to, got)
		}
	}
	k, _ := newKeys(list("ab"))
	for _, bad := range [][][]byte{nil, {key('c'), []byte("short")}, {[]byte("short")}} {
		k.follow(bad)
		if got := k.ring.GetKeys(); !slices.EqualFunc(got, list("ab"), bytes.Equal) {
			t.Errorf("%q changed the ring to %q", bad, got)
		}
	}
	if _, err := newKeys([][]byte{[]byte("short")}); err == nil {
		t.Error("a short key was taken")
	}
}

// What memberlist reads of the ring must not change under it.
func TestKeysFollowWithoutARace(t *testing.T) {
	a, b, c := bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32), bytes.Repeat([]byte("c"), 32)
	k, _ := newKeys([][]byte{a, b})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			for _, key := range k.ring.GetKeys() {
				if len(key) != 32 {
					t.Errorf("key %q", key)
				}
			}
		}
	}()
	for range 100 {
		for _, want := range [][][]byte{{c, b}, {b, a}, {a, b, c}, {b, c}, {a}} {
			k.follow(want)
		}
	}
	<-done
}

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		a, b := n.Host("a"), n.Host("b")
		go a.Run(t.Context())
		go b.Run(t.Context())
		var c counters
		tr := newTransport(a, &c)
		for range maxStreams {
			if _, err := b.DialGossip(t.Context(), "a:7946"); err != nil {
				t.Fatal(err)
			}
			<-tr.StreamCh()
		}
		over, err := b.DialGossip(t.Context(), "a:7946")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := over.Read(make([]byte, 1)); err != io.EOF || c.streamsRefused.Load() != 1 {
			t.Errorf("one stream too many: %v, %d refused", err, c.streamsRefused.Load())
		}
		b.PacketConn().WriteTo([]byte("hello"), udp(a.Advertise()))
		if p := <-tr.PacketCh(); string(p.Buf) != "hello" || p.From.String() != "10.0.0.2:7946" || p.Timestamp.IsZero() {
			t.Errorf("got %+v", p)
		}
		if _, err := tr.WriteTo([]byte("x"), "host:1"); !sendError(err) || c.packetErrors.Load() != 1 {
			t.Errorf("sent to a name: %#v", err)
		}
		// Nobody reads any more, and still it ends.
		b.PacketConn().WriteTo([]byte("hello"), udp(a.Advertise()))
		time.Sleep(time.Second)
		start := time.Now()
		tr.Shutdown()
		if took := time.Since(start); took > 0 {
			t.Errorf("Shutdown took %v", took)
		}
		if _, err := tr.DialTimeout("b:7946", time.Second); err == nil {
			t.Error("dialled after Shutdown")
		}
		tr.Shutdown() // again is no harm
	})
}

// sendError tells whether memberlist will take err as a failure of the other end.
func sendError(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Op == "write" && op.Net == "udp"
}

func TestTransportKeepsDialErrorsThatAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		a := n.Host("a")
		n.Host("off")
		go a.Run(t.Context())
		tr := newTransport(a, &counters{})
		defer tr.Shutdown()
		tr.DialTimeout("off:7946", time.Second)
		if len(tr.fails) > 0 {
			t.Errorf("kept without being asked: %v", tr.fails)
		}
		tr.watch("off:7946")
		tr.DialTimeout("off:7946", time.Second)
		if err := tr.unwatch("off:7946"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("kept %v", err)
		}
	})
}

// stubborn ignores that its PacketConn is closed.
type stubborn struct {
	*clustertest.Host
	end chan struct{}
}

type open struct{ net.PacketConn }

func (open) Close() error { return nil }

func (s stubborn) PacketConn() net.PacketConn { return open{s.Host.PacketConn()} }

func (s stubborn) AcceptGossip() (net.Conn, error) {
	<-s.end
	return nil, net.ErrClosed
}

func TestShutdownDoesNotWaitForAStubbornNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := clustertest.NewNetwork(1).Host("a")
		go a.Run(t.Context())
		end := make(chan struct{})
		tr := newTransport(stubborn{a, end}, &counters{})
		synctest.Wait()
		start := time.Now()
		tr.Shutdown()
		if took := time.Since(start); took != acceptGrace {
			t.Errorf("Shutdown took %v, want %v", took, acceptGrace)
		}
		close(end)
	})
}

// flaky fails a few times before it works.
type flaky struct {
	*clustertest.Host
	left int
}

func (f *flaky) AcceptGossip() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, syscall.EMFILE
	}
	return f.Host.AcceptGossip()
}

func TestTransportSurvivesFailedAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		a, b := n.Host("a"), n.Host("b")
		go a.Run(t.Context())
		go b.Run(t.Context())
		tr := newTransport(&flaky{a, 10}, &counters{})
		defer tr.Shutdown()
		start := time.Now()
		if _, err := b.DialGossip(t.Context(), "a:7946"); err != nil {
			t.Fatal(err)
		}
		<-tr.StreamCh()
		// 5 ms, 10, 20, ... 640 ms, then twice a second
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestStreamClosesWhenAWriteFails(t *testing.T) {
	ss := &streams{open: make(map[*stream]struct{})}
	near, far := net.Pipe()
	s, err := ss.add(near, true)
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := s.Write([]byte("x")); err == nil {
		t.Fatal("wrote to nobody")
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) || len(ss.open) != 0 || ss.coming != 0 {
		t.Errorf("read: %v, %d open, %d came in", err, len(ss.open), ss.coming)
	}
}
