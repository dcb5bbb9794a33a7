package port

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestAdvertiseFindsTheAddressThatOthersCanDial(t *testing.T) {
	const lo, lan, ula, self, public, public6 = "127.0.0.1/8", "192.168.1.5/24", "fd00::5/64", "169.254.3.4/16", "8.8.4.4/24", "2001:db8::5/64"
	for _, c := range []struct {
		name   string
		bound  string
		open   bool
		ifaces []netip.Prefix
		want   string
	}{
		{"bound address", "10.9.9.9:7", false, prefixes(lo, lan), "10.9.9.9:7"},
		{"bound loopback", "127.0.0.1:7", true, prefixes(lo, lan), "127.0.0.1:7"},
		{"private before public", "0.0.0.0:7", false, prefixes(lo, public, lan), "192.168.1.5:7"},
		{"IPv4 first", "[::]:7", false, prefixes(lo, ula, lan), "192.168.1.5:7"},
		{"first of a kind", "0.0.0.0:7", false, prefixes("10.0.0.1/8", lan), "10.0.0.1:7"},
		{"configured before self-assigned", "0.0.0.0:7", true, prefixes(lo, self, ula), "[fd00::5]:7"},
		{"self-assigned before public", "0.0.0.0:7", false, prefixes(lo, public, self), "169.254.3.4:7"},
		{"public with a secret", "0.0.0.0:7", false, prefixes(lo, public6, public), "8.8.4.4:7"},
		{"never public without", "0.0.0.0:7", true, prefixes(public, public6, lo), "127.0.0.1:7"},
		{"loopback last", "0.0.0.0:7", false, prefixes("::1/128", lo), "127.0.0.1:7"},
	} {
		got, err := findAdvertise("", netip.MustParseAddrPort(c.bound), c.ifaces, c.open)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	if got, err := findAdvertise("", netip.MustParseAddrPort("0.0.0.0:7"), nil, false); err == nil {
		t.Errorf("no address at all: %s", got)
	}
}

func TestNamesPreferIPv4(t *testing.T) {
	var all []netip.Addr
	for _, a := range []string{"fd00::2", "fd00::1", "::ffff:10.0.0.2", "10.0.0.1"} {
		all = append(all, netip.MustParseAddr(a))
	}
	if got := fmt.Sprint(ipv4First(all)); got != "[10.0.0.2 10.0.0.1 fd00::2 fd00::1]" {
		t.Errorf("order %s", got)
	}
}

func TestAdvertiseReadsHostAndPort(t *testing.T) {
	for _, c := range []struct {
		text string
		open bool
		want string // a result or part of an error
	}{
		{"10.0.0.1", true, "10.0.0.1:7946"},
		{"10.0.0.1:99", true, "10.0.0.1:99"},
		{"fd00::1", true, "[fd00::1]:7946"},
		{"[fd00::1]:99", true, "[fd00::1]:99"},
		{"localhost", true, "127.0.0.1:7946"},
		{"localhost:99", true, "127.0.0.1:99"},
		{"::ffff:10.0.0.1", true, "10.0.0.1:7946"},
		{"8.8.8.8:99", false, "8.8.8.8:99"},
		{"8.8.8.8", true, "no cluster secret"},
		{"::ffff:8.8.8.8", true, "no cluster secret"},
		{"0.0.0.0", false, "not the address of one machine"},
		{"[::]:99", false, "not the address of one machine"},
		{"224.0.0.1", false, "not the address of one machine"},
		{"fe80::1%eth0", true, "do not know the zone"},
		{"10.0.0.1:0", true, "from 1 to 65535"},
		{"10.0.0.1:65536", true, "from 1 to 65535"},
		{"10.0.0.1:x", true, "from 1 to 65535"},
		{"no.such.host.invalid", false, "no.such.host.invalid"},
	} {
		got, err := findAdvertise(c.text, netip.MustParseAddrPort("127.0.0.1:7946"), nil, c.open)
		text := got.String()
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != c.want || !strings.Contains(text, c.want) {
			t.Errorf("%q, open %v: %s; want %s", c.text, c.open, text, c.want)
		}
	}
}
