package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestBindPlanTakesOnlyPrivateAddressesInOpenMode(t *testing.T) {
	machine := prefixes("127.0.0.1/8", "192.168.1.5/24", "8.8.8.8/24", "::1/128", "fd00::5/64", "2001:db8::5/64")
	for _, c := range []struct {
		bind string
		open bool
		want string
	}{
		{"0.0.0.0", true, "[127.0.0.1/8 192.168.1.5/24 ::1/128 fd00::5/64]"},
		{"::", true, "[127.0.0.1/8 192.168.1.5/24 ::1/128 fd00::5/64]"},
		{"0.0.0.0", false, "[0.0.0.0/32]"},
		{"::", false, "[::/128]"},
		{"192.168.1.5", true, "[192.168.1.5/32]"},
		{"8.8.8.8", false, "[8.8.8.8/32]"},
	} {
		got, err := bindPlan(netip.MustParseAddr(c.bind), c.open, machine)
		if fmt.Sprint(got) != c.want || err != nil {
			t.Errorf("bindPlan(%s, open %v) = %v, %v; want %s", c.bind, c.open, got, err, c.want)
		}
	}
}

func TestBindPlanHasLimits(t *testing.T) {
	any4 := netip.MustParseAddr("0.0.0.0")
	if _, err := bindPlan(any4, true, prefixes("8.8.8.8/24")); !errors.Is(err, ErrNotPrivate) {
		t.Errorf("only public addresses: %v", err)
	}
	var many []netip.Prefix
	for i := range maxSockets + 1 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 24))
	}
	if got, err := bindPlan(any4, true, many[:maxSockets]); len(got) != maxSockets || err != nil {
		t.Errorf("%d addresses: %d, %v", maxSockets, len(got), err)
	}
	if _, err := bindPlan(any4, true, many); err == nil {
		t.Errorf("%d addresses were accepted", len(many))
	}
}

func TestListenRefusesWhatItCannotServe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"cluster", func(c *Config) { c.Cluster = "a/b" }, `cluster name "a/b": only letters`},
		{"node", func(c *Config) { c.Node = "n" }, "must have the form name@boot"},
		{"secret", secrets([]byte("short")), "cluster secret 1 has 5 bytes, at least 32"},
		{"bind without port", bindTo("127.0.0.1"), "must be host:port"},
		{"bind to a bad port", bindTo("127.0.0.1:70000"), "from 0 to 65535"},
		{"bind to an unknown name", bindTo("no.such.host.invalid:0"), "no.such.host.invalid"},
		{"bind to another machine", bindTo("192.0.2.254:0"), "bind cluster port 192.0.2.254:0/tcp: cannot assign requested address"},
		{"public bind, no secret", func(c *Config) { c.Bind, c.Secrets = "8.8.8.8:0", nil },
			`bind address "8.8.8.8:0": 8.8.8.8: public address, and there is no cluster secret`},
		{"public advertise, no secret", func(c *Config) { c.Advertise, c.Secrets = "8.8.8.8", nil },
			`advertise address "8.8.8.8": 8.8.8.8: public address, and there is no cluster secret`},
	} {
		p, err := Listen(config(c.change))
		if err == nil {
			closeAll(p.socks)
			t.Errorf("%s: accepted", c.name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want one line with %q", c.name, err, c.want)
		}
	}
}

func TestBusyPortIsOnePlainLine(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		busy := listen(t).socks[0]
		if network == "udp" {
			busy.tcp.Close()
		}
		_, err := Listen(config(bindTo(busy.local.String())))
		want := fmt.Sprintf("bind cluster port %s/%s: address already in use", busy.local, network)
		if !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}

func TestBusyPortOnOneOfSeveralAddressesLeavesNothingOpen(t *testing.T) {
	plan := prefixes("127.0.0.1/8", "::1/128")
	free, err := bindAll(plan, 0)
	if err != nil {
		t.Skip("no IPv6")
	}
	free[0].close()
	defer free[1].close()
	if _, err := bindAll(plan, free[0].local.Port()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("error %v, want address already in use", err)
	}
	again, err := bindAll(plan[:1], free[0].local.Port())
	if err != nil {
		t.Fatalf("the first address is still bound: %v", err)
	}
	closeAll(again)
}

func TestPortZeroIsOnePortForAllSockets(t *testing.T) {
	p := listen(t, bindTo("0.0.0.0:0"), secrets())
	port := p.Advertise().Port()
	loopback := false
	for _, s := range p.socks {
		tcp, udp := s.tcp.Addr().(*net.TCPAddr).AddrPort(), s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
		if port == 0 || tcp.Port() != port || udp.Port() != port {
			t.Errorf("%s: tcp %s, udp %s, advertised port %d", s.local, tcp, udp, port)
		}
		if !private(tcp.Addr()) || !private(udp.Addr()) {
			t.Errorf("bound %s without a secret", tcp)
		}
		loopback = loopback || tcp.Addr().IsLoopback()
	}
	if !loopback || !private(p.Advertise().Addr()) {
		t.Errorf("loopback bound: %v, advertises %s", loopback, p.Advertise())
	}
}

func TestOpenModeWarnsOnceAtListen(t *testing.T) {
	var open, closed logBuffer
	listen(t, secrets(), logTo(&open))
	listen(t, logTo(&closed))
	if got := open.lines("no cluster secret"); len(got) != 1 || !strings.Contains(got[0], "WARN") {
		t.Errorf("open mode logged %q", got)
	}
	if got := closed.lines(""); len(got) != 0 {
		t.Errorf("with a secret: logged %q", got)
	}
}

func TestSecretBindsTheUnspecifiedAddressItself(t *testing.T) {
	p := listen(t, bindTo(":0"))
	if len(p.socks) != 1 || !p.socks[0].local.Addr().IsUnspecified() {
		t.Fatalf("bound %d sockets, the first to %s", len(p.socks), p.socks[0].local)
	}
	if a := p.Advertise().Addr(); a.IsUnspecified() || !a.IsValid() {
		t.Errorf("advertises %s", a)
	}
}
