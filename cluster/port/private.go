package port

import (
	"errors"
	"net/netip"
)

// ErrNotPrivate says that open LAN mode forbids an address: it is public, and
// the port has no cluster secret.
var ErrNotPrivate = errors.New("public address, and there is no cluster secret")

// private is the address rule of open LAN mode: loopback, RFC 1918, unique
// local IPv6 (RFC 4193) and link-local of both families. An IPv4 address inside
// an IPv6 one counts as what it is. Everything else is public, carrier-grade
// NAT (100.64/10) too: strangers share it.
func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// plain is the form in which addresses are compared: no IPv4-in-IPv6, no zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// site is the unit in which strangers are counted: one IPv4 address, or the /64
// that one IPv6 host can fill alone. Link-local IPv6 is one /64 for all hosts
// of a network, so there it is the address.
func site(a netip.Addr) netip.Prefix {
	a = plain(a)
	bits := a.BitLen()
	if a.Is6() && !a.IsLinkLocalUnicast() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for the zero address only, which is a unit too
	return p
}
