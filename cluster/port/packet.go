package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// maxDatagram is the largest payload UDP carries, and a little more, so that
// nothing is ever cut.
const maxDatagram = 64 << 10

// packetConn is all UDP sockets of a port as one net.PacketConn.
type packetConn struct{ p *Port }

// PacketConn gives the gossip datagrams: those from allowed addresses, empty
// ones left out, in order of arrival. All calls return the same connection.
// What nobody reads in time is dropped and counted. Close does nothing, because
// Run owns the sockets; after Run ended, reads and writes fail with
// net.ErrClosed. Write deadlines have no effect: writes do not wait.
func (p *Port) PacketConn() net.PacketConn { return packetConn{p} }

// readLoop moves datagrams from a socket to the queue until Run ends. Errors do
// not end it: some systems report ICMP messages about datagrams sent earlier.
func (p *Port) readLoop(ctx context.Context, s *socket) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.packets.receive(buf)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.count.rejected[packetReadError].Add(1)
			sleep(ctx, acceptBackoff)
		case n > 0:
			p.takePacket(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

// takePacket filters one datagram and queues a copy of its own size.
func (p *Port) takePacket(b []byte, from netip.AddrPort) {
	if !p.Allows(from.Addr()) {
		p.reject(from.Addr(), packetNotPrivate, nil)
		return
	}
	if !p.packets.push(packet{data: append([]byte(nil), b...), from: from}) {
		p.reject(from.Addr(), packetQueueFull, nil)
		return
	}
	p.count.received.Add(1)
}

// ReadFrom takes the next datagram. A b that is too short gets its beginning,
// as with UDP sockets.
func (c packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	pk, err := c.p.packets.pop()
	if err != nil {
		return 0, nil, fmt.Errorf("read from cluster port: %w", err)
	}
	return copy(b, pk.data), net.UDPAddrFromAddrPort(pk.from), nil
}

// WriteTo sends b to an address, not a name.
func (c packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	dst, err := addrPort(to)
	if err != nil {
		return 0, err
	}
	if !c.p.Allows(dst.Addr()) {
		return 0, fmt.Errorf("send datagram to %s: %w", dst, ErrNotPrivate)
	}
	s := pick(c.p.socks, c.p.advertise.Addr(), dst.Addr())
	if s == nil {
		return 0, fmt.Errorf("send datagram to %s: no bound address of that family", dst)
	}
	n, err := s.packets.send(b, dst)
	if err != nil {
		return n, fmt.Errorf("send datagram: %w", err) // net names the address
	}
	c.p.count.sent.Add(1)
	return n, nil
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	if a == nil {
		return netip.AddrPort{}, errors.New("send datagram: no address")
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("send datagram: %w", err)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// pick chooses the socket for a destination: the one on the same network, the
// narrowest of several, else the advertised one, else any that could be routed.
// Loopback and other networks never mix: the kernel would refuse it.
func pick(socks []*socket, advertise, dst netip.Addr) *socket {
	if len(socks) == 1 {
		return socks[0]
	}
	var best *socket
	for _, s := range socks {
		a := s.local.Addr()
		if a.Is4() != dst.Is4() || a.IsLoopback() != dst.IsLoopback() {
			continue
		}
		if best == nil || weight(s, advertise, dst) > weight(best, advertise, dst) {
			best = s
		}
	}
	return best
}

func weight(s *socket, advertise, dst netip.Addr) int {
	switch {
	case s.subnet.Contains(dst.WithZone("")):
		return 2 + s.subnet.Bits()
	case s.local.Addr() == advertise:
		return 1
	}
	return 0
}

func (c packetConn) Close() error { return nil }

// LocalAddr is the advertised address.
func (c packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.p.advertise) }

func (c packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c packetConn) SetReadDeadline(t time.Time) error {
	c.p.packets.setDeadline(t)
	return nil
}

func (c packetConn) SetWriteDeadline(time.Time) error { return nil }
