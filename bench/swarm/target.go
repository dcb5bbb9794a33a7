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

// Target is where clients connect, and how.
type Target struct {
	Addr netip.AddrPort
	Host string // of the Host header
	Path string // with the query
	// TLS is for https and wss. No certificate is checked: this is for measuring.
	TLS bool
	// Split is nil for websocket. Else the connection is bare TCP, and Split tells how many
	// bytes the first message of b takes, up to MaxMessage; 0 when more must be read first.
	Split func(b []byte) (n int, err error)
	// Narrow keeps what the systems hold for a client that does not read small: segments
	// and receive buffer.
	Narrow bool
}

// ParseTarget reads a URL and looks its host up; of several addresses the first
// is taken, IPv4 ones before others. http, ws and tcp mean the same, also https and wss. A URL without a path gets path. query, without "?", is added to that of the URL.
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
	port := "80"
	if secure(u) {
		port = "443"
	}
	addr, err := lookUp(ctx, u.Hostname(), cmp.Or(u.Port(), port))
	if err != nil {
		return Target{}, fmt.Errorf("url %q: %w", text, err)
	}
	return Target{Addr: addr, Host: u.Host, Path: path, TLS: secure(u)}, nil
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
	case "http", "ws", "https", "wss", "tcp":
		return u, nil
	}
	return nil, fmt.Errorf("url %q: want http://host:port", text)
}

func secure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "wss" }

func lookUp(ctx context.Context, host, port string) (netip.AddrPort, error) {
	number, err := strconv.ParseUint(port, 10, 16)
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
