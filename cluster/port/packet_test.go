package port

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestDatagramsMakeTheRoundTrip(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		for _, secret := range [][][]byte{{oldSecret}, nil} {
			a, b := start(t, bindTo(bind), secrets(secret...)), start(t, bindTo(bind), secrets(secret...))
			for _, size := range []int{1, 1400, 60_000} {
				sent := bytes.Repeat([]byte{byte(size)}, size)
				if _, err := a.PacketConn().WriteTo(sent, net.UDPAddrFromAddrPort(b.Advertise())); err != nil {
					t.Fatalf("%s: %v", bind, err)
				}
				got, from := receive(t, b)
				if !bytes.Equal(got, sent) {
					t.Errorf("%s: sent %d bytes, got %d", bind, len(sent), len(got))
				}
				if _, err := b.PacketConn().WriteTo(got, from); err != nil {
					t.Errorf("%s: answer: %v", bind, err)
				}
				if back, from := receive(t, a); !bytes.Equal(back, sent) || from.String() != b.Advertise().String() {
					t.Errorf("%s: %d bytes back from %s, want from %s", bind, len(back), from, b.Advertise())
				}
			}
			eventually(t, bind+": 3 sent and 3 received are counted", func() bool {
				s := a.Stats()
				return s.PacketsSent == 3 && s.PacketsReceived == 3
			})
		}
	}
}

func receive(t *testing.T, p *Port) ([]byte, net.Addr) {
	t.Helper()
	pc := p.PacketConn()
	pc.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, maxDatagram)
	n, from, err := pc.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], from
}

func TestOpenModeHearsEveryLoopbackSocket(t *testing.T) {
	p := start(t, bindTo(":0"), secrets())
	for _, s := range p.socks {
		c, err := net.Dial("udp", s.local.String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, s.local)
		if got, from := receive(t, p); string(got) != s.local.String() || from.String() != c.LocalAddr().String() {
			t.Errorf("got %q from %s, want %q from %s", got, from, s.local, c.LocalAddr())
		}
		c.Close()
	}
}

func TestPacketsFromPublicAddressesAreDroppedInOpenMode(t *testing.T) {
	var log logBuffer
	p := listen(t, secrets(), logTo(&log))
	for range 3 {
		p.takePacket([]byte("x"), netip.MustParseAddrPort("8.8.8.8:7946"))
	}
	p.takePacket([]byte("y"), netip.MustParseAddrPort("10.0.0.1:7946"))
	if got, from := receive(t, p); string(got) != "y" || from.String() != "10.0.0.1:7946" {
		t.Errorf("got %q from %s", got, from)
	}
	if got := p.Stats().Rejected["packet_not_private"]; got != 3 {
		t.Errorf("counted %d, want 3", got)
	}
	if got := log.lines("datagram from a public address"); len(got) != 1 {
		t.Errorf("logged %q", got)
	}
}

func TestFullPacketQueueDropsAndCounts(t *testing.T) {
	from := netip.MustParseAddrPort("127.0.0.1:1")
	for _, c := range []struct{ size, fit int }{
		{1, maxPackets},
		{maxDatagram, maxPacketBytes / maxDatagram},
	} {
		p := listen(t)
		for range c.fit + 1 {
			p.takePacket(make([]byte, c.size), from)
		}
		if s := p.Stats(); s.PacketsReceived != uint64(c.fit) || s.Rejected["packet_queue_full"] != 1 {
			t.Errorf("packets of %d: %d queued, %d dropped, want %d and 1", c.size, s.PacketsReceived, s.Rejected["packet_queue_full"], c.fit)
		}
		receive(t, p)
		p.takePacket(make([]byte, c.size), from)
		if got := p.Stats().PacketsReceived; got != uint64(c.fit+1) {
			t.Errorf("no room after a read: %d queued", got)
		}
	}
}

func TestQueueKeepsOrderAndCopies(t *testing.T) {
	p := listen(t)
	buf := []byte{0}
	for i := range 10 {
		buf[0] = byte(i)
		p.takePacket(buf, netip.MustParseAddrPort("127.0.0.1:1"))
	}
	for i := range 10 {
		if got, _ := receive(t, p); got[0] != byte(i) {
			t.Errorf("packet %d is %d", i, got[0])
		}
	}
}

func TestReadDeadlineConcernsWaitingReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newPacketQueue()
		begin := time.Now()
		go func() {
			time.Sleep(time.Second)
			q.setDeadline(begin.Add(3 * time.Second))
		}()
		if _, err := q.pop(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("pop: %v after %v, want a timeout after 3s", err, time.Since(begin))
		}
		if _, err := q.pop(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("pop after the deadline: %v", err)
		}
		q.setDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			q.push(packet{data: []byte("x")})
		}()
		if pk, err := q.pop(); err != nil || string(pk.data) != "x" {
			t.Errorf("pop without a deadline: %q, %v", pk.data, err)
		}
	})
}

func TestWriteToNeedsAnAddressThatASocketCanReach(t *testing.T) {
	p := listen(t, bindTo("0.0.0.0:0"), secrets())
	for _, to := range []net.Addr{nil, &net.UnixAddr{Name: "x"}} {
		if _, err := p.PacketConn().WriteTo([]byte("x"), to); err == nil {
			t.Errorf("WriteTo(%v) has no error", to)
		}
	}
	p.socks = append([]*socket(nil), p.socks[0], p.socks[0]) // IPv4 only
	if _, err := p.PacketConn().WriteTo([]byte("x"), udpAddr("[fd00::9]:1")); err == nil {
		t.Error("IPv6 destination with IPv4 sockets has no error")
	}
}

func TestDatagramsLeaveFromTheSocketOfTheirNetwork(t *testing.T) {
	var socks []*socket
	for _, s := range prefixes("127.0.0.1/8", "10.1.0.1/8", "10.2.0.1/16", "192.168.1.5/24", "::1/128", "fd00::5/64", "fd01::5/64") {
		socks = append(socks, &socket{local: netip.AddrPortFrom(s.Addr(), 7946), subnet: s})
	}
	advertise := netip.MustParseAddr("192.168.1.5")
	for dst, want := range map[string]string{
		"127.0.0.1":   "127.0.0.1",
		"127.9.9.9":   "127.0.0.1",
		"10.9.9.9":    "10.1.0.1",
		"10.2.9.9":    "10.2.0.1",
		"192.168.1.7": "192.168.1.5",
		"192.168.1.5": "192.168.1.5",
		"172.16.0.1":  "192.168.1.5",
		"::1":         "::1",
		"fd01::9":     "fd01::5",
		"fd99::9":     "fd00::5",
	} {
		if got := pick(socks, advertise, netip.MustParseAddr(dst)).local.Addr().String(); got != want {
			t.Errorf("to %s from %s, want %s", dst, got, want)
		}
	}
	if got := pick(socks[1:4], advertise, netip.MustParseAddr("127.0.0.1")); got != nil {
		t.Errorf("loopback from %s", got.local)
	}
	if got := pick(socks[:1], advertise, netip.MustParseAddr("10.0.0.1")); got != socks[0] {
		t.Error("a single socket is not used for everything")
	}
}
