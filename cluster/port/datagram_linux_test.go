//go:build !386 && !s390x

package port

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// What the raw calls cannot do is left to package net, which says why if it cannot either.
func TestDatagramsThatCannotBeSentRawAreLeftToPackageNet(t *testing.T) {
	for _, tt := range []struct {
		bind, to string
		size     int
		raw      bool
		err      error
	}{
		{"127.0.0.1:0", "127.0.0.1:9", 1, true, nil},
		{"[::1]:0", "[::1]:9", 1400, true, nil},
		{"0.0.0.0:0", "127.0.0.1:9", 1, true, nil},
		{"0.0.0.0:0", "[::ffff:127.0.0.1]:9", 1, true, nil},
		{"0.0.0.0:0", "[::1]:9", 1, true, nil},
		{"127.0.0.1:0", "127.0.0.1:9", 0, false, nil},
		{"127.0.0.1:0", "[::1]:9", 1, false, errAny},
		{"[::1]:0", "[fe80::1%lo]:9", 1, false, nil}, // the system may refuse it or not
		{"127.0.0.1:0", "127.0.0.1:9", 65_508, false, syscall.EMSGSIZE},
	} {
		s, err := bind(netip.MustParseAddrPort(tt.bind))
		if err != nil {
			t.Fatal(err)
		}
		to := netip.MustParseAddrPort(tt.to)
		if got := s.packets.trySend(make([]byte, tt.size), to); got != tt.raw {
			t.Errorf("%s to %s, %d bytes: sent raw: %v, want %v", tt.bind, tt.to, tt.size, got, tt.raw)
		}
		n, err := s.packets.send(make([]byte, tt.size), to)
		switch {
		case to.Addr().Zone() != "":
		case tt.err == errAny && err == nil, tt.err != errAny && !errors.Is(err, tt.err), err == nil && n != tt.size:
			t.Errorf("%s to %s, %d bytes: sent %d, %v, want %v", tt.bind, tt.to, tt.size, n, err, tt.err)
		}
		s.close()
		if s.packets.trySend([]byte("x"), to) {
			t.Errorf("%s: sent by a socket that is closed", tt.bind)
		}
		if _, err := s.packets.send([]byte("x"), to); err == nil || tt.err == nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: closed: %v, want net.ErrClosed", tt.bind, err)
		}
		if _, _, err := s.packets.receive(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: closed: receive: %v", tt.bind, err)
		}
	}
}

var errAny = errors.New("any error")

// A datagram that is longer than the buffer is cut, as with package net, and its sender is known.
func TestSenderOfADatagramIsKnown(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		a, err := bind(netip.MustParseAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		to := a.udp.LocalAddr().(*net.UDPAddr).AddrPort()
		if to.Addr().IsUnspecified() {
			to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
		}
		c, err := net.Dial("udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, text := range []string{"ab", "abcd"} {
			c.Write([]byte(text))
			b := make([]byte, 3)
			n, from, err := a.packets.receive(b)
			if want := text[:min(3, len(text))]; err != nil || string(b[:n]) != want {
				t.Errorf("%s: got %q, %v, want %q", at, b[:n], err, want)
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if want := c.LocalAddr().(*net.UDPAddr).AddrPort(); from != want {
				t.Errorf("%s: from %v, want %v", at, from, want)
			}
		}
	}
}

// An interface is looked up for the first datagram that comes by it, and not for each.
func TestZoneIsLookedUpOnce(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err)
	}
	var i incoming
	for _, tt := range []struct {
		scope uint32
		want  string
	}{{0, ""}, {uint32(lo.Index), "lo"}, {1 << 30, "1073741824"}, {uint32(lo.Index), "lo"}} {
		if got := i.zoneOf(tt.scope); got != tt.want {
			t.Errorf("scope %d: %q, want %q", tt.scope, got, tt.want)
		}
	}
	if got := testing.AllocsPerRun(10, func() { i.zoneOf(uint32(lo.Index)) }); got != 0 {
		t.Errorf("%v allocations for a zone that is known", got)
	}
}
