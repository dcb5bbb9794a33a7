package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

const (
	maxSockets   = 64      // addresses bound in open LAN mode; a machine with more must name one
	portAttempts = 20      // tries to find one port that is free on all addresses
	udpBuffer    = 2 << 20 // bytes asked of the kernel for each UDP socket
)

// socket is one bound address: a UDP socket and a TCP listener on one port.
type socket struct {
	udp     *net.UDPConn
	packets *datagrams // of udp
	tcp     *net.TCPListener
	local   netip.AddrPort
	subnet  netip.Prefix // the network that the address is on; zero if not asked for
}

func (s *socket) close() {
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
}

// parseBind reads "host:port". An empty host is the unspecified address.
func parseBind(bind string, allow func(netip.Addr) bool) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(bind)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bind address %q must be host:port: %w", bind, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bind address %q: the port must be a number from 0 to 65535", bind)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	a, err := resolve(host, allow)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bind address %q: %w", bind, err)
	}
	return netip.AddrPortFrom(a, uint16(port)), nil
}

// bindPlan lists what to bind: the address as given or, when it is unspecified
// in open LAN mode, each private address of the machine, so that no public
// interface has a socket at all.
func bindPlan(a netip.Addr, open bool, ifaces []netip.Prefix) ([]netip.Prefix, error) {
	if !a.IsUnspecified() || !open {
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	var plan []netip.Prefix
	for _, p := range ifaces {
		if private(p.Addr()) {
			plan = append(plan, p)
		}
	}
	switch {
	case len(plan) == 0:
		return nil, fmt.Errorf("bind address %s: this machine has no private address: %w", a, ErrNotPrivate)
	case len(plan) > maxSockets:
		return nil, fmt.Errorf("bind address %s: this machine has %d private addresses, more than %d: bind one of them", a, len(plan), maxSockets)
	}
	return plan, nil
}

// bindAll binds each address of the plan, all on one port. Port 0 is any port
// that is free on all of them, for UDP and TCP.
func bindAll(plan []netip.Prefix, port uint16) ([]*socket, error) {
	attempts := 1
	if port == 0 {
		attempts = portAttempts
	}
	var err error
	for range attempts {
		var socks []*socket
		if socks, err = bindOnce(plan, port); err == nil {
			return socks, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

func bindOnce(plan []netip.Prefix, port uint16) ([]*socket, error) {
	var socks []*socket
	var gone error
	for _, p := range plan {
		s, err := bind(netip.AddrPortFrom(p.Addr(), port))
		if len(plan) > 1 && errors.Is(err, syscall.EADDRNOTAVAIL) {
			gone = err // the interface lost it since the list was made, or does not use it yet
			continue
		}
		if err != nil {
			closeAll(socks)
			return nil, err
		}
		s.subnet = p
		socks = append(socks, s)
		port = s.local.Port()
	}
	if len(socks) == 0 {
		return nil, gone
	}
	return socks, nil
}

func subnets(socks []*socket) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range socks {
		all = append(all, s.subnet)
	}
	return all
}

func closeAll(socks []*socket) {
	for _, s := range socks {
		s.close()
	}
}

// bind opens TCP first, whose port UDP then takes too. MPTCP, Go's default for
// listeners, is off: with it a connection goes on from other addresses than the
// one that was checked and counted.
func bind(a netip.AddrPort) (*socket, error) {
	tcp, udp := "tcp", "udp" // both families for an unspecified address
	if !a.Addr().IsUnspecified() {
		tcp, udp = tcp+family(a.Addr()), udp+family(a.Addr())
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), tcp, a.String())
	if err != nil {
		return nil, bindError(a, "tcp", err)
	}
	s := &socket{tcp: ln.(*net.TCPListener)}
	s.local = netip.AddrPortFrom(a.Addr(), uint16(ln.Addr().(*net.TCPAddr).Port))
	pc, err := lc.ListenPacket(context.Background(), udp, s.local.String())
	if err != nil {
		s.close()
		return nil, bindError(s.local, "udp", err)
	}
	s.udp = pc.(*net.UDPConn)
	_ = s.udp.SetReadBuffer(udpBuffer) // best effort: the kernel's limit stands
	s.packets = newDatagrams(s.udp)
	return s, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// bindError keeps the system's own words: package net would name the address twice.
func bindError(a netip.AddrPort, network string, err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		err = no
	}
	return fmt.Errorf("bind cluster port %s/%s: %w", a, network, err)
}
