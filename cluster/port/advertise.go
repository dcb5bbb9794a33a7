package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// findAdvertise decides what other nodes dial: what the operator says, else the
// bound address, else the best of the machine's addresses.
func findAdvertise(advertise string, bound netip.AddrPort, ifaces []netip.Prefix, open bool) (netip.AddrPort, error) {
	if advertise != "" {
		return parseAdvertise(advertise, bound.Port(), open)
	}
	a := bound.Addr()
	if a.IsUnspecified() {
		a = bestAddr(ifaces, open)
	}
	if err := checkAdvertise(a, open); err != nil {
		return netip.AddrPort{}, fmt.Errorf("address to advertise: %w", err)
	}
	return netip.AddrPortFrom(a, bound.Port()), nil
}

// parseAdvertise reads "host[:port]"; an IPv6 address needs no brackets when no
// port follows.
func parseAdvertise(s string, port uint16, open bool) (netip.AddrPort, error) {
	fail := func(err error) (netip.AddrPort, error) {
		return netip.AddrPort{}, fmt.Errorf("advertise address %q: %w", s, err)
	}
	host := s
	if _, err := netip.ParseAddr(s); err != nil {
		if h, p, err := net.SplitHostPort(s); err == nil {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || n == 0 {
				return fail(errors.New("the port must be a number from 1 to 65535"))
			}
			host, port = h, uint16(n)
		}
	}
	a, err := resolve(host, func(a netip.Addr) bool { return !open || private(a) })
	if err != nil {
		return fail(err)
	}
	if err := checkAdvertise(a, open); err != nil {
		return fail(err)
	}
	return netip.AddrPortFrom(a, port), nil
}

func checkAdvertise(a netip.Addr, open bool) error {
	switch {
	case !a.IsValid():
		return errors.New("this machine has no usable address")
	case a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%s is not the address of one machine", a)
	case a.Zone() != "":
		return fmt.Errorf("%s: other nodes do not know the zone %q: name another address", a, a.Zone())
	case open && !private(a):
		return fmt.Errorf("%s: %w", a, ErrNotPrivate)
	}
	return nil
}

// bestAddr is the first address of the best kind, zero if there is none.
func bestAddr(ifaces []netip.Prefix, open bool) netip.Addr {
	var best netip.Addr
	for _, p := range ifaces {
		if a := p.Addr(); rank(a, open) > rank(best, open) {
			best = a
		}
	}
	return best
}

// rank orders kinds of addresses by how sure other nodes can dial them; 0 is
// never advertised. Self-assigned IPv4 (169.254/16) comes after what somebody
// configured, and a public address only where a secret protects it.
func rank(a netip.Addr, open bool) int {
	r := 0
	switch {
	case !a.IsValid(), a.IsMulticast(), a.IsUnspecified(), open && !private(a):
		return 0
	case a.IsLoopback():
		r = 1
	case a.IsPrivate():
		r = 4
	case a.IsLinkLocalUnicast():
		r = 3
	default:
		r = 2
	}
	if a.Is4() {
		return 2*r + 1
	}
	return 2 * r
}
