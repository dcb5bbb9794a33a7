package swarm

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Target is where clients connect.
type Target struct {
	Addr netip.AddrPort
	Host string // of the Host header
	Path string // with the query
}

// ParseTarget reads a URL and looks its host up; of several addresses the first
// is taken, IPv4 ones before others. http and ws mean the same; https and wss are
// refused. A URL without a path gets path. query, without "?", is added to that of the URL.
func ParseTarget(ctx context.Context, text, path, query string) (Target, error) {
	u, err := parseURL(text)
	if err != nil {
		return Target{}, err
	}
	if p := u.EscapedPath(); p != "" && p != "/" {
		path = p
	}
	query = strings.Trim(u.RawQuery+"&"+query, "&")
	if query != "" {
		path += "?" + query
	}
	addr, err := lookUp(ctx, u.Hostname(), u.Port())
	if err != nil {
		return Target{}, fmt.Errorf("url %q: %w", text, err)
	}
	return Target{addr, u.Host, path}, nil
}

// CheckURL tells whether ParseTarget takes a URL, if its host has an address.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("url %q: want http://host:port", text)
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16); err != nil {
		return nil, fmt.Errorf("url %q: want a port up to 65535", text)
	}
	switch u.Scheme {
	case "http", "ws":
		return u, nil
	case "https", "wss":
		return nil, fmt.Errorf("url %q: no TLS here: it would be measured too", text)
	}
	return nil, fmt.Errorf("url %q: want http://host:port", text)
}

func lookUp(ctx context.Context, host, port string) (netip.AddrPort, error) {
	number, err := strconv.ParseUint(cmp.Or(port, "80"), 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q: %w", port, err)
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := list[0].Unmap()
	for _, a := range list {
		if a = a.Unmap(); a.Is4() {
			best = a
			break
		}
	}
	return netip.AddrPortFrom(best, uint16(number)), nil
}

// perSource is how many connections share a source address on loopback: fewer
// than the ports that the system has for one (28,232 on Linux), as those of an earlier
// run may not be free yet.
const perSource = 10_000

// source is the address that connection id to a is made from: one of 127.0.0.0/8
// when a is there, so that ports do not run out; else the system's choice, the
// zero Addr.
func source(a netip.Addr, id int) netip.Addr {
	if !a.Is4() || !a.IsLoopback() {
		return netip.Addr{}
	}
	n := 1 + id/perSource
	return netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
}
