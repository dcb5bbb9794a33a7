package port

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// protocol is one of the kinds of stream.
type protocol struct {
	name   string
	dial   func(*Port, context.Context, string) (net.Conn, error)
	accept func(*Port) (net.Conn, error)
}

var protocols = []protocol{
	{"gossip", (*Port).DialGossip, (*Port).AcceptGossip},
	{"link", (*Port).DialLink, (*Port).AcceptLink},
	{"http", (*Port).DialHTTP, func(p *Port) (net.Conn, error) { return p.AcceptHTTP(context.Background()) }},
}

// connect dials b from a and gives both ends.
func connect(t *testing.T, proto protocol, a, b *Port) (dialled, accepted *Conn) {
	t.Helper()
	d, err := proto.dial(a, soon(t), b.Advertise().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.(*Conn).NetConn().Close() })
	arrived := make(chan net.Conn, 1)
	go func() {
		c, _ := proto.accept(b)
		arrived <- c
	}()
	select {
	case c := <-arrived:
		t.Cleanup(func() { c.(*Conn).NetConn().Close() })
		return d.(*Conn), c.(*Conn)
	case <-soon(t).Done():
		t.Fatalf("%s: dialled, but not accepted: %v", proto.name, b.Stats().Rejected)
		return nil, nil
	}
}

// refuses checks that a, dialling b, is refused, at once or with the first read.
func refuses(t *testing.T, a, b *Port) {
	t.Helper()
	for _, proto := range protocols {
		c, err := proto.dial(a, soon(t), b.Advertise().String())
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: error %v, want ErrRefused", proto.name, err)
		}
	}
	if got := b.Stats().Handshakes; got != 0 {
		t.Errorf("%d handshakes were accepted", got)
	}
}

func TestStreamsArriveByProtocolWithThePeersName(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0", "0.0.0.0:0", "[::]:0"} {
		for _, secret := range [][][]byte{{oldSecret}, nil} {
			a := start(t, node("a@1"), bindTo(bind), secrets(secret...))
			b := start(t, node("b@2"), bindTo(bind), secrets(secret...))
			for _, proto := range protocols {
				d, c := connect(t, proto, a, b)
				if d.PeerName() != "b@2" || c.PeerName() != "a@1" {
					t.Errorf("%s %s: dialled %q, accepted %q", bind, proto.name, d.PeerName(), c.PeerName())
				}
				exchange(t, d, c)
				exchange(t, c, d)
				if v := c.ConnectionState().Version; v != tls.VersionTLS13 {
					t.Errorf("TLS version %x", v)
				}
			}
			if got, dialled := b.Stats().Handshakes, a.Stats().Dialled; got != 3 || dialled != 3 {
				t.Errorf("%s: %d handshakes, %d dialled, want 3 and 3", bind, got, dialled)
			}
		}
	}
}

// exchange sends more than one TLS record, and more than a stranger may.
func exchange(t *testing.T, from, to net.Conn) {
	t.Helper()
	sent := make([]byte, 2*maxHandshakeBytes)
	go from.Write(sent)
	to.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(to, make([]byte, len(sent))); err != nil {
		t.Errorf("read: %v", err)
	}
	to.SetReadDeadline(time.Time{})
}

// deadlineConn remembers its deadlines.
type deadlineConn struct {
	net.Conn
	set []time.Time
}

func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.set = append(c.set, t)
	return c.Conn.SetDeadline(t)
}

func TestHandshakeDeadlineEndsWithTheHandshake(t *testing.T) {
	begin := time.Now()
	p := listen(t, patience(time.Minute))
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go tls.Client(theirs, p.identity.Load().dialler(alpnLink)).Handshake()
	c := &deadlineConn{Conn: ours}
	if _, err := p.handshake(c); err != nil {
		t.Fatal(err)
	}
	if len(c.set) != 2 || c.set[0].Sub(begin).Round(30*time.Second) != time.Minute || !c.set[1].IsZero() {
		t.Errorf("deadlines %v, want in a minute and then none", c.set)
	}
}

func TestNoSessionIsResumed(t *testing.T) {
	p := start(t)
	cfg := p.identity.Load().dialler(alpnLink)
	cfg.SessionTicketsDisabled, cfg.ClientSessionCache = false, tls.NewLRUClientSessionCache(1)
	for range 2 {
		c, err := tls.Dial("tcp", p.Advertise().String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.ConnectionState().DidResume {
			t.Error("resumed a session")
		}
		got, err := p.AcceptLink()
		if err != nil {
			t.Fatal(err)
		}
		got.Close() // a ticket would come before the end
		c.Read(make([]byte, 1))
	}
}

func TestWrongSecretIsRefusedWithOneLine(t *testing.T) {
	var log logBuffer
	a, b := start(t, secrets(newSecret)), start(t, logTo(&log))
	for range 3 {
		refuses(t, a, b)
	}
	eventually(t, "all are counted", func() bool { return b.Stats().Rejected["handshake"] == 9 })
	lines := log.lines(`msg="refused connection on the cluster port" addr=127.0.0.1 reason="wrong cluster secret or not a meshrt node"`)
	if len(lines) != 1 || len(log.lines("")) != 1 {
		t.Errorf("logged %q", log.lines(""))
	}
}

func TestOtherClusterIsRefused(t *testing.T) {
	other := func(c *Config) { c.Cluster = "other" }
	for _, secret := range [][][]byte{{oldSecret}, nil} {
		refuses(t, start(t, other, secrets(secret...)), start(t, secrets(secret...)))
	}
}

func TestOpenModeAndSecretNeverMix(t *testing.T) {
	refuses(t, start(t, secrets()), start(t))
	refuses(t, start(t), start(t, secrets()))
}

// A node whose certificate has the right signer and the wrong name is made by
// lending it the keys of another cluster.
func TestRightSignerWithAWrongNameIsRefused(t *testing.T) {
	for _, c := range [][2]string{{"other", "n@1"}, {"test", "n"}} {
		liar, honest := start(t), start(t)
		id := liar.identity.Load()
		ca, err := caCertificate(id.keys[0].ca)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := leafCertificate(ca, id.keys[0].ca, nodeURI(c[0], c[1]))
		if err != nil {
			t.Fatal(err)
		}
		id.server.Certificates, id.client.Certificates = []tls.Certificate{leaf}, []tls.Certificate{leaf}
		refuses(t, liar, honest)
		if _, err := honest.DialLink(soon(t), liar.Advertise().String()); !errors.Is(err, ErrRefused) {
			t.Errorf("dialling %v: %v, want ErrRefused", c, err)
		}
	}
}

// Rotation goes old -> old,new -> new,old -> new. Neighbours must connect both
// ways, so no order of restarts cuts the cluster.
func TestRotationNeverCutsNeighbours(t *testing.T) {
	steps := [][][]byte{{oldSecret}, {oldSecret, newSecret}, {newSecret, oldSecret}, {newSecret}}
	for i := range len(steps) - 1 {
		a, b := start(t, secrets(steps[i]...)), start(t, secrets(steps[i+1]...))
		connect(t, protocols[0], a, b)
		connect(t, protocols[1], b, a)
	}
	refuses(t, start(t, secrets(steps[3]...)), start(t, secrets(steps[0]...)))
}

func TestSetSecretsRotatesARunningPort(t *testing.T) {
	a, b := start(t), start(t)
	d, c := connect(t, protocols[1], a, b)
	for _, s := range [][][]byte{{oldSecret, newSecret}, {newSecret, oldSecret}, {newSecret}} {
		for _, p := range []*Port{a, b} {
			if err := p.SetSecrets(s); err != nil {
				t.Fatal(err)
			}
			connect(t, protocols[0], a, b)
			connect(t, protocols[1], b, a)
		}
	}
	exchange(t, d, c)
	refuses(t, a, start(t))
}

func TestSetSecretsKeepsWhatItCannotReplace(t *testing.T) {
	for _, c := range []struct{ before, after [][]byte }{
		{nil, [][]byte{oldSecret}}, {[][]byte{oldSecret}, nil}, {[][]byte{oldSecret}, [][]byte{[]byte("short")}},
	} {
		p := listen(t, secrets(c.before...))
		id := p.identity.Load()
		if err := p.SetSecrets(c.after); err == nil || p.identity.Load() != id {
			t.Errorf("%q -> %q: error %v, replaced %v", c.before, c.after, err, p.identity.Load() != id)
		}
	}
}

// In TLS 1.3 a client that trusts the server has done its part before the
// server refuses it: here the server does not know the client's new secret.
func TestRefusalThatComesLateIsToldByTheFirstRead(t *testing.T) {
	a, b := start(t, secrets(newSecret, oldSecret)), start(t)
	for range 20 {
		c, err := a.DialLink(soon(t), b.Advertise().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1))
		c.Close()
		if !errors.Is(err, ErrRefused) {
			t.Fatalf("read: %v, want ErrRefused", err)
		}
	}
}

func TestOrdinaryEndIsNoRefusal(t *testing.T) {
	a, b := start(t), start(t)
	d, c := connect(t, protocols[1], a, b)
	c.Close()
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want EOF", err)
	}
	if _, err := a.DialLink(soon(t), "127.0.0.1:1"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("dial of a closed port: %v", err)
	}
}

func TestDialGivesUpOnASilentServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a := start(t, patience(50*time.Millisecond))
	_, err = a.DialLink(context.Background(), ln.Addr().String())
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrRefused) {
		t.Errorf("dial: %v, want a timeout", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.DialLink(ctx, ln.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with an ended context: %v", err)
	}
}

func TestOpenModeDialsNoPublicAddress(t *testing.T) {
	a := start(t, secrets())
	for _, addr := range []string{"192.0.2.1:7946", "[2001:db8::1]:7946", "[::ffff:8.8.8.8]:7946"} {
		if _, err := a.DialGossip(soon(t), addr); !errors.Is(err, ErrNotPrivate) {
			t.Errorf("dial %s: %v, want ErrNotPrivate", addr, err)
		}
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))
		if _, err := a.PacketConn().WriteTo([]byte("x"), to); !errors.Is(err, ErrNotPrivate) {
			t.Errorf("datagram to %s: %v, want ErrNotPrivate", addr, err)
		}
	}
}

func TestNodeWithoutAProtocolIsRefused(t *testing.T) {
	var log logBuffer
	p := start(t, logTo(&log))
	id := p.identity.Load()
	for _, reason := range []string{"handshake", "no_protocol"} {
		cfg := id.client.Clone()
		if reason == "handshake" { // the error quotes all of them
			cfg.NextProtos = slices.Repeat([]string{"meshrt-link/99"}, 500)
		}
		c, err := tls.Dial("tcp", p.Advertise().String(), cfg)
		if err == nil {
			c.Close()
		}
		eventually(t, reason, func() bool { return p.Stats().Rejected[reason] == 1 })
	}
	if got := log.lines("refused"); len(got) != 1 || len(got[0]) > 600 {
		t.Errorf("logged %.2000q", got)
	}
}
