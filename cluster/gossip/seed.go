package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	defaultPort   = 7946
	maxSeedAddrs  = 64  // of one name; the rest is ignored
	maxHostLength = 253 // bytes, as in DNS
)

// seed is one address that the operator gave, with what became of it.
type seed struct {
	text  string // host:port, for people
	host  string // empty when it is an IP address, which needs no lookup
	port  uint16
	addrs []netip.AddrPort // what it stands for; of a name, the last answer
	err   error            // of the last lookup

	looking bool
	failing bool // the operator was told
}

// parseSeeds drops what is given twice.
func parseSeeds(texts []string) ([]*seed, error) {
	var seeds []*seed
	seen := make(map[string]bool)
	for _, text := range texts {
		s, err := parseSeed(text)
		if err != nil {
			return nil, fmt.Errorf("address to join %.300q: %w", text, err)
		}
		if !seen[s.text] {
			seen[s.text] = true
			seeds = append(seeds, s)
		}
	}
	return seeds, nil
}

// parseSeed reads host:port, host, [ipv6]:port or a bare IPv6 address.
func parseSeed(text string) (*seed, error) {
	host, port, err := splitHostPort(text)
	if err != nil {
		return nil, err
	}
	s := &seed{host: host, port: port, text: net.JoinHostPort(host, strconv.Itoa(int(port)))}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return s, checkHost(host)
	case ip.Zone() != "":
		return nil, errors.New("addresses with a zone cannot be joined")
	case ip.IsUnspecified() || ip.IsMulticast():
		return nil, errors.New("that is no node's address")
	}
	s.host, s.addrs = "", []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}
	return s, nil
}

func splitHostPort(text string) (string, uint16, error) {
	if _, err := netip.ParseAddr(text); err == nil || !strings.Contains(text, ":") {
		return text, defaultPort, nil
	}
	host, service, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, errors.New("it must be host:port or host")
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("port %.20q must be 1 to 65535", service)
	}
	return host, uint16(port), nil
}

func checkHost(host string) error {
	switch {
	case host == "":
		return errors.New("there is no host in it")
	case len(host) > maxHostLength || strings.ContainsFunc(host, odd):
		return errors.New("the host must be a DNS name or an IP address")
	}
	return nil
}

// found takes the answer of a lookup. After an error the last answer counts on:
// a name server that is away must not make a cluster forget its seeds.
func (s *seed) found(ips []netip.Addr, err error) {
	s.looking, s.err = false, err
	if err != nil {
		return
	}
	s.addrs = nil
	for _, ip := range ips[:min(len(ips), maxSeedAddrs)] {
		s.addrs = append(s.addrs, netip.AddrPortFrom(ip.Unmap().WithZone(""), s.port))
	}
	if len(s.addrs) == 0 {
		s.err = &net.DNSError{Err: "no such host", Name: s.host, IsNotFound: true}
	}
}
