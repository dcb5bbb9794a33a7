package port

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// hello is the head of a TLS record with a ClientHello of the given length,
// which then never comes.
func hello(length int) []byte {
	return []byte{recordHandshake, 3, 1, 0x40, 0, 1, byte(length >> 16), byte(length >> 8), byte(length)}
}

var garbage = []struct {
	name, reason string
	data         []byte
}{
	{"HTTP", "not_tls", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
	{"SSH", "not_tls", []byte("SSH-2.0-scan\r\n")},
	{"zeros", "not_tls", make([]byte, 100)},
	{"100 KB of A", "not_tls", bytes.Repeat([]byte("A"), 100_000)},
	{"memberlist without TLS", "not_tls", []byte("\xf4\x06meshrt")},
	{"TLS garbage", "handshake", []byte("\x16\x03\x01\x00\x05hello")},
	{"TLS with an odd version", "handshake", []byte("\x16\xff\xff\x00\x05hello")},
	{"TLS record too long", "handshake", []byte("\x16\x03\x01\xff\xff\x01")},
	{"TLS of zeros", "handshake", append([]byte("\x16\x03\x01\x40\x00"), make([]byte, 20_000)...)},
	{"hello of 16 MiB", "handshake", hello(1<<24 - 1)},
	{"hello beyond the budget", "handshake", append(hello(60_000), make([]byte, 2*maxHandshakeBytes)...)},
	{"nothing", "gone", nil},
	{"a byte of TLS", "handshake", []byte{recordHandshake}},
}

func TestGarbageIsRefusedAtOnce(t *testing.T) {
	for _, g := range garbage {
		var log logBuffer
		p := start(t, logTo(&log), patience(time.Minute))
		const times = 5
		for range times {
			c := strangerFrom(t, p, "127.0.0.1")
			go func() {
				c.Write(g.data)
				c.(*net.TCPConn).CloseWrite()
			}()
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%s: not closed", g.name)
			}
			c.Close()
		}
		eventually(t, g.name+" is counted as "+g.reason, func() bool { return p.Stats().Rejected[g.reason] == times })
		lines := log.lines("refused connection on the cluster port")
		if want := 1; g.reason != "gone" && len(lines) != want || g.reason == "gone" && len(lines) != 0 {
			t.Errorf("%s: logged %q", g.name, lines)
		}
	}
}

func TestRefusedConnectionsAreLoggedForEachAddress(t *testing.T) {
	var log logBuffer
	p := start(t, logTo(&log))
	for i := range 30 {
		c := strangerFrom(t, p, fmt.Sprintf("127.0.0.%d", 1+i%3))
		c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		io.Copy(io.Discard, c)
	}
	eventually(t, "all are counted", func() bool { return p.Stats().Rejected["not_tls"] == 30 })
	for i := range 3 {
		line := fmt.Sprintf(`level=WARN msg="refused connection on the cluster port" addr=127.0.0.%d reason="not TLS: another protocol on the cluster port"`, i+1)
		if got := log.lines(line); len(got) != 1 {
			t.Errorf("lines for 127.0.0.%d: %q", i+1, got)
		}
	}
}

// publicConn says that it comes from a public address.
type publicConn struct{ fakeConn }

func (*publicConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP("8.8.8.8"), Port: 40000}
}

func TestOpenModeLetsNoPublicAddressIn(t *testing.T) {
	var log logBuffer
	p, c, wg := listen(t, secrets(), logTo(&log)), &publicConn{}, &sync.WaitGroup{}
	p.admit(wg, c)
	wg.Wait()
	if got := p.Stats().Rejected["not_private"]; got != 1 || !c.closed {
		t.Errorf("counted %d, closed %v", got, c.closed)
	}
	if got := log.lines(`addr=8.8.8.8 reason="public address, and there is no cluster secret"`); len(got) != 1 {
		t.Errorf("logged %q", got)
	}
}

// silent opens connections that never say anything. Those that are shed at once
// are closed by the other side meanwhile.
func silent(t *testing.T, p *Port, from string, n int) {
	t.Helper()
	for range n {
		strangerFrom(t, p, from)
	}
}

// connectsWithin dials b until it works, as links do.
func connectsWithin(t *testing.T, limit time.Duration, a, b *Port) {
	t.Helper()
	begin := time.Now()
	for {
		c, err := a.DialLink(soon(t), b.Advertise().String())
		if err == nil {
			c.Close()
			return
		}
		if time.Since(begin) > limit {
			t.Fatalf("no connection in %v: %v", limit, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestSilentConnectionsFromOneAddressStopNobodyElse(t *testing.T) {
	var log logBuffer
	a, b := start(t), start(t, patience(time.Minute), logTo(&log))
	silent(t, b, "127.0.0.2", 1000)
	eventually(t, "the address has its 16 slots", func() bool { return b.Stats().Handshaking == 16 })
	if _, err := a.DialLink(soon(t), b.Advertise().String()); err != nil {
		t.Errorf("dial from another address: %v", err)
	}
	eventually(t, "all others are shed", func() bool {
		s := b.Stats().Rejected
		return s["busy_addr"]+s["evicted"] == 1000-16
	})
	if got := log.lines("127.0.0.2"); len(got) != 1 {
		t.Errorf("%d lines, want 1: %q", len(got), got)
	}
}

func TestSilentConnectionsFromManyAddressesLeaveTheReserveToMembers(t *testing.T) {
	a, b := start(t), start(t, patience(time.Minute))
	b.SetKnown(func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") })
	for i := range 100 {
		silent(t, b, fmt.Sprintf("127.0.1.%d", i), 10)
	}
	eventually(t, "all slots for unknown addresses are taken", func() bool { return b.Stats().Handshaking == 192 })
	c, err := a.DialLink(soon(t), b.Advertise().String())
	if err != nil {
		t.Fatalf("known member: %v", err)
	}
	c.Close()
}

// The silent ones have a minute, but they give way when somebody waits.
func TestNewNodeJoinsAmongSilentConnections(t *testing.T) {
	for name, from := range map[string]func(i int) string{
		"same address":   func(int) string { return "127.0.0.1" },
		"many addresses": func(i int) string { return fmt.Sprintf("127.0.1.%d", i%100) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t), start(t, patience(time.Minute))
			for i := range 1000 {
				silent(t, b, from(i), 1)
			}
			connectsWithin(t, evictAfter+2*time.Second, a, b)
			eventually(t, "one gave way", func() bool { return b.Stats().Rejected["evicted"] > 0 })
		})
	}
}

// strangerMemory is the memory that a port may spend on all strangers together.
const strangerMemory = 16 << 20

// 192 addresses, as many as ever get a slot, each do their worst. Without the
// budget of a stranger the hellos of 60 KB alone would hold 25 MiB.
func TestStrangersCostLittleMemory(t *testing.T) {
	const strangers = 192
	for _, attack := range []struct {
		name string
		data []byte
		size int // bytes, data repeated
	}{
		{"18 MiB of A", bytes.Repeat([]byte("A"), 1<<16), 18 << 20},
		{"18 MiB of TLS records", append(hello(60_000), make([]byte, 0x4000-4)...), 18 << 20},
		{"15 KiB and silence", append(hello(60_000), make([]byte, 15<<10)...), 15 << 10},
		{"60 KB of a hello and silence", longHello(60_000), 60_000},
	} {
		t.Run(attack.name, func(t *testing.T) {
			p := start(t, patience(time.Second))
			var conns []net.Conn
			for i := range strangers {
				conns = append(conns, strangerFrom(t, p, fmt.Sprintf("127.0.2.%d", i)))
			}
			base := memory(true)
			var wg sync.WaitGroup
			for _, c := range conns {
				wg.Go(func() {
					for sent := 0; sent < attack.size; {
						n, err := c.Write(attack.data[:min(len(attack.data), attack.size-sent)])
						if sent += n; err != nil {
							return
						}
					}
				})
			}
			peak := uint64(0)
			eventually(t, "all are refused", func() bool {
				peak = max(peak, memory(false))
				return rejected(p) >= strangers
			})
			wg.Wait()
			if used := int64(peak) - int64(base); used > strangerMemory {
				t.Errorf("%d strangers cost %d KiB, want at most %d", strangers, used>>10, strangerMemory>>10)
			} else {
				t.Logf("%d strangers cost %d KiB", strangers, used>>10)
			}
		})
	}
}

// longHello spreads the first n bytes of a ClientHello over TLS records.
func longHello(n int) []byte {
	body := append([]byte{1, 0, 0xff, 0xff}, make([]byte, n)...)
	var out []byte
	for len(body) > 0 {
		k := min(len(body), 0x4000)
		out = append(out, recordHandshake, 3, 1, byte(k>>8), byte(k))
		out, body = append(out, body[:k]...), body[k:]
	}
	return out
}

func rejected(p *Port) (n uint64) {
	for _, r := range p.Stats().Rejected {
		n += r
	}
	return n
}

// memory is heap and stacks in use, garbage included unless collected first.
func memory(collect bool) uint64 {
	if collect {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestStrangerMaySendNoMoreThanItsBudget(t *testing.T) {
	for _, extra := range []int{0, 1} {
		ours, theirs := net.Pipe()
		go func() {
			theirs.Write(append([]byte{recordHandshake}, make([]byte, maxHandshakeBytes-1+extra)...))
			theirs.Close()
		}()
		s := newStranger(ours)
		if err := s.peek(); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, struct{ io.Reader }{s})
		if n != maxHandshakeBytes || !errors.Is(err, errTooLong) {
			t.Errorf("%d bytes too many: read %d, %v", extra, n, err)
		}
		ours.Close()
	}
}

func FuzzStranger(f *testing.F) {
	for _, g := range garbage {
		f.Add(g.data)
	}
	id, err := newIdentity("test", "n@1", [][]byte{oldSecret})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &Port{cfg: Config{HandshakeTimeout: 5 * time.Second}}
		p.identity.Store(id)
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			theirs.Write(data)
			theirs.Close()
		})
		wg.Go(func() { io.Copy(io.Discard, theirs) })
		_, err := p.handshake(ours)
		ours.Close()
		wg.Wait()
		if err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("handshake: %v", err)
		}
	})
}
