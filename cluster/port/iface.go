package port

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const resolveTimeout = 5 * time.Second // for the names in Bind and Advertise

// interfaceAddrs lists this machine's addresses with the prefix of the network
// each is on. IPv6 link-local addresses are left out: they mean nothing without
// a zone, and gossip carries none.
func interfaceAddrs() ([]netip.Prefix, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []netip.Prefix
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface went away meanwhile
		}
		for _, a := range addrs {
			if p, ok := prefixOf(a); ok && !(p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap()
	ones, bits := n.Mask.Size()
	if bits != ip.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(ip, ones), true
}

// resolve finds the address that host stands for, an address or a name. Of
// several it takes one that allow accepts, IPv4 before IPv6.
func resolve(host string, allow func(netip.Addr) bool) (netip.Addr, error) {
	all, err := lookup(host)
	if err != nil {
		return netip.Addr{}, err
	}
	i := slices.IndexFunc(all, func(a netip.Addr) bool { return a.IsUnspecified() || allow(a) })
	if i < 0 {
		return netip.Addr{}, fmt.Errorf("%s: %w", all[0], ErrNotPrivate)
	}
	return all[i], nil
}

// lookup gives all addresses of host, IPv4 first; never none without an error.
func lookup(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", host, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("resolve %q: no address", host)
	}
	return ipv4First(all), nil
}

// ipv4First sorts in place and keeps the resolver's order otherwise.
func ipv4First(all []netip.Addr) []netip.Addr {
	for i := range all {
		all[i] = all[i].Unmap()
	}
	slices.SortStableFunc(all, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return all
}
