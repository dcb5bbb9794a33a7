package clustertest

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxPacket = 65_507 // bytes, as in UDP over IPv4
	maxUnread = 4096   // packets in a host's receive queue; more are lost
	maxFlying = 65_536 // packets to one host that are on the way; more are lost
)

// packetConn is a host's packet socket.
type packetConn struct {
	host   *Host
	flying atomic.Int64

	gate
	queue     []packet
	readUntil time.Time
	closed    bool
}

type packet struct {
	data []byte
	from *net.UDPAddr
}

// ReadFrom takes one packet; what does not fit into b is lost.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p, pause, err := c.tryRead()
		switch {
		case err != nil:
			return 0, nil, &net.OpError{Op: "read", Net: "udp", Source: c.LocalAddr(), Err: err}
		case pause.none():
			return copy(b, p.data), p.from, nil
		}
		pause.wait()
	}
}

func (c *packetConn) tryRead() (packet, pause, error) {
	c.Lock()
	defer c.Unlock()
	switch {
	case c.closed:
		return packet{}, pause{}, net.ErrClosed
	case passed(c.readUntil, time.Now()):
		return packet{}, pause{}, os.ErrDeadlineExceeded
	case len(c.queue) == 0:
		return packet{}, pause{c.next(), [2]time.Time{c.readUntil}}, nil
	}
	p := c.queue[0]
	c.queue[0] = packet{}
	c.queue = c.queue[1:]
	return p, pause{}, nil
}

// WriteTo sends a packet. That nobody gets it is no error, as in UDP.
func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if err := c.check(len(b)); err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Addr: to, Err: err}
	}
	if target, err := c.host.net.resolve(to.String()); err == nil {
		c.send(b, target)
	}
	return len(b), nil
}

func (c *packetConn) check(size int) error {
	c.Lock()
	defer c.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case size > maxPacket:
		return syscall.EMSGSIZE
	}
	return nil
}

func (c *packetConn) send(b []byte, target string) {
	n := c.host.net
	n.mu.RLock()
	way := n.pathLocked(c.host.name, target)
	to := n.hosts[target].packets
	n.mu.RUnlock()
	if !c.host.serving() || way.cut || n.lost() {
		return
	}
	if to.flying.Add(1) > maxFlying {
		to.flying.Add(-1)
		return
	}
	p := packet{append([]byte(nil), b...), net.UDPAddrFromAddrPort(c.host.addr)}
	time.AfterFunc(way.delay, func() { to.arrive(p) })
}

func (c *packetConn) arrive(p packet) {
	c.flying.Add(-1)
	if !c.host.serving() {
		return
	}
	c.Lock()
	defer c.Unlock()
	if !c.closed && len(c.queue) < maxUnread {
		c.queue = append(c.queue, p)
		c.wake()
	}
}

// Close also ends the host's AcceptGossip.
func (c *packetConn) Close() error {
	c.host.gossip.close()
	c.Lock()
	defer c.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed, c.queue = true, nil
	c.wake()
	return nil
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.host.addr) }

// SetDeadline is SetReadDeadline: a write never waits.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline wakes a ReadFrom that waits beyond t.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.Lock()
	defer c.Unlock()
	c.readUntil = t
	c.wake()
	return nil
}

// SetWriteDeadline does nothing.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }
