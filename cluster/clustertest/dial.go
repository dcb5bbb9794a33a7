package clustertest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

// retrySYN is the wait after a full backlog.
const retrySYN = time.Second

// errAgain says that a dial has to wait and to be tried again.
var errAgain = errors.New("clustertest: try again")

// DialGossip opens a stream that the other end gets from AcceptGossip. The
// address is ip:port or the name of a host with the port. While a way is cut it
// waits for ctx or a heal; a host that is not up refuses.
func (h *Host) DialGossip(ctx context.Context, addr string) (net.Conn, error) {
	return h.dial(ctx, addr, func(h *Host) *listener { return h.gossip })
}

// DialLink is DialGossip for AcceptLink.
func (h *Host) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	return h.dial(ctx, addr, func(h *Host) *listener { return h.link })
}

// DialHTTP is DialGossip for AcceptHTTP.
func (h *Host) DialHTTP(ctx context.Context, addr string) (net.Conn, error) {
	return h.dial(ctx, addr, func(h *Host) *listener { return h.http })
}

func (h *Host) dial(ctx context.Context, addr string, kind func(*Host) *listener) (net.Conn, error) {
	c, err := h.connect(ctx, addr, kind)
	if err != nil { // not the nil *conn in an interface
		return nil, &net.OpError{Op: "dial", Net: "tcp", Source: net.TCPAddrFromAddrPort(h.addr), Addr: dialled(addr), Err: err}
	}
	return c, nil
}

func (h *Host) connect(ctx context.Context, addr string, kind func(*Host) *listener) (*conn, error) {
	target, err := h.net.resolve(addr)
	if err != nil {
		return nil, err
	}
	if err := h.wait(ctx, h.up); err != nil {
		return nil, err
	}
	for {
		if err := h.knock(ctx, target); err != nil {
			return nil, err
		}
		c, retry, err := h.net.connect(h, target, kind)
		if err != errAgain {
			return c, err
		}
		if err := h.sleep(ctx, retry); err != nil {
			return nil, err
		}
	}
}

// knock waits until both ways are open, and one round trip.
func (h *Host) knock(ctx context.Context, target string) error {
	for {
		healed := h.net.nextHeal() // before looking, so that no heal is missed
		rtt, open := h.net.roundTrip(h.name, target)
		if open {
			return h.sleep(ctx, rtt)
		}
		if err := h.wait(ctx, healed); err != nil {
			return err
		}
	}
}

func (h *Host) sleep(ctx context.Context, d time.Duration) error {
	over := make(chan struct{})
	timer := time.AfterFunc(max(d, minDelay), func() { close(over) })
	defer timer.Stop()
	return h.wait(ctx, over)
}

// wait is for an event, unless ctx or the host ends before.
func (h *Host) wait(ctx context.Context, event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.down:
		return net.ErrClosed
	}
}

func (n *Network) nextHeal() <-chan struct{} {
	n.gate.Lock()
	defer n.gate.Unlock()
	return n.gate.next()
}

// connect makes the stream, unless the way was cut in the meantime or there is
// no room: then errAgain, and after how long.
func (n *Network) connect(from *Host, target string, kind func(*Host) *listener) (*conn, time.Duration, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pathLocked(from.name, target).cut || n.pathLocked(target, from.name).cut {
		return nil, 0, errAgain
	}
	if from.ended() {
		return nil, 0, net.ErrClosed
	}
	to := n.hosts[target] // the present run of that host
	l := kind(to)
	if !to.serving() || l.closed() {
		return nil, 0, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	near, far := newConns(from, to)
	select {
	case l.waiting <- far:
	default:
		return nil, retrySYN, errAgain
	}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, 0, nil
}

// resolve gives the name of the host at an address.
func (n *Network) resolve(addr string) (string, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	num, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", &net.AddrError{Err: "invalid port", Addr: addr}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	ip, err := netip.ParseAddr(host)
	if h, ok := n.hosts[host]; ok && err != nil {
		ip = h.addr.Addr()
	} else if err != nil {
		return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	name, ok := n.addrs[netip.AddrPortFrom(ip.Unmap(), uint16(num))]
	if !ok {
		return "", os.NewSyscallError("connect", syscall.EHOSTUNREACH)
	}
	return name, nil
}

// dialled is the address of an error.
type dialled string

func (d dialled) Network() string { return "tcp" }
func (d dialled) String() string  { return string(d) }
