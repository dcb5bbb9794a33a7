package port

import (
	"net/netip"
	"testing"
)

func TestPrivateAddressesAreLoopbackLANAndLinkLocal(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "::1": true,
		"10.0.0.1": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true,
		"fc00::1": true, "fd12:3456::1": true,
		"169.254.1.1": true, "fe80::1": true, "fe80::1%eth0": true,
		"::ffff:10.0.0.1": true, "::ffff:127.0.0.1": true, "::ffff:169.254.0.1": true,
		"8.8.8.8": false, "172.15.255.255": false, "172.32.0.1": false, "192.169.0.1": false, "11.0.0.1": false,
		"100.64.0.1": false, "192.0.2.1": false, "0.0.0.0": false, "::": false, "255.255.255.255": false,
		"224.0.0.1": false, "ff02::1": false, "2001:db8::1": false, "fec0::1": false,
		"::ffff:8.8.8.8": false, "64:ff9b::a00:1": false, "2002:a00:1::1": false, "::10.0.0.1": false,
	} {
		if got := private(netip.MustParseAddr(addr)); got != want {
			t.Errorf("private(%s) = %v, want %v", addr, got, want)
		}
	}
	if private(netip.Addr{}) {
		t.Error("the zero address is private")
	}
}

func TestAllowsEverybodyOnlyWithASecret(t *testing.T) {
	for _, open := range []bool{true, false} {
		p := &Port{open: open}
		if got := p.Allows(netip.MustParseAddr("8.8.8.8")); got == open {
			t.Errorf("open=%v: Allows(8.8.8.8) = %v", open, got)
		}
		if !p.Allows(netip.MustParseAddr("::ffff:10.1.2.3")) {
			t.Errorf("open=%v: a private address is not allowed", open)
		}
	}
}

func TestStrangersAreCountedByAddressOrSlash64(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":          "192.0.2.7/32",
		"::ffff:192.0.2.7":   "192.0.2.7/32",
		"2001:db8:0:1:2::3":  "2001:db8:0:1::/64",
		"2001:db8:0:1:ff::9": "2001:db8:0:1::/64",
		"fe80::1%eth0":       "fe80::1/128",
		"fe80::2":            "fe80::2/128",
	} {
		if got := site(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("site(%s) = %s, want %s", addr, got, want)
		}
	}
	if got := site(netip.Addr{}); got.IsValid() {
		t.Errorf("site of no address = %s", got)
	}
}
