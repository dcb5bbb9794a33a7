package swarm

import (
	"fmt"
	"io"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sock is the system's side of a connection, under Conn.mu. Only the loop closes
// the descriptor, so that its number is not another's while the loop uses it.
type sock struct {
	loop      *loop
	fd        int // -1: closed
	connected bool
	paused    bool        // of the loop, which holds mu when it sets it
	pending   []byte      // what the system has not taken yet
	tls       *secureConn // nil without
}

// Loop is the number of the loop that calls the handler for c, from 0.
func (c *Conn) Loop() int { return c.loop.number }

// dial begins to connect.
func (s *Swarm) dial(c *Conn) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.ended {
		return ErrClosed
	}
	fd, err := open(c.target, c.ID)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loop, c.fd = s.loops[c.ID%len(s.loops)], fd
	s.conns[c.ID].Store(c)
	if c.target.TLS {
		s.handshakes.Go(c.secure)
		return nil
	}
	if err := c.watch(unix.EPOLL_CTL_ADD); err != nil {
		s.conns[c.ID].Store(nil)
		c.fd = -1
		unix.Close(fd)
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// open makes a socket that connects.
func open(t Target, id int) (fd int, err error) {
	family := unix.AF_INET
	if t.Addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if t.Narrow {
		err = narrow(fd)
	}
	if err == nil {
		err = connect(fd, t.Addr, source(t.Addr.Addr(), id))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// narrow makes the other side keep little for us: its send buffer grows with segments.
func narrow(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536); err != nil {
		return fmt.Errorf("TCP_MAXSEG: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	return nil
}

func connect(fd int, addr netip.AddrPort, from netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	if from.IsValid() {
		// The port is chosen with the destination known: one serves several.
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
			return fmt.Errorf("bind to %v: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(addr)); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect from %v: %w", from, err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// watch tells epoll what c waits for. c.mu is held.
func (c *Conn) watch(how int) error {
	events := uint32(0)
	if !c.paused {
		events = unix.EPOLLIN
	}
	if !c.connected || len(c.pending) > 0 {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(c.loop.epoll, how, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.ID)})
}

// Write sends bytes that are whole frames, AppendFrame. It does not block, and
// keeps a copy of what the system does not take; over 16 MiB of that it fails.
func (c *Conn) Write(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return ErrClosed
	}
	if c.target.TLS {
		if c.tls == nil {
			return ErrClosed // or not open yet
		}
		var err error
		if frames, err = c.tls.seal(frames); err != nil {
			return err
		}
	}
	if !c.connected || len(c.pending) > 0 {
		if len(c.pending)+len(frames) > maxPending {
			return fmt.Errorf("the server does not read: over %d bytes wait for it", maxPending)
		}
		c.pending = append(c.pending, frames...)
		return nil
	}
	n, err := write(c.fd, frames)
	if err != nil || n == len(frames) {
		return err
	}
	c.pending = append(c.pending, frames[n:]...)
	return c.watch(unix.EPOLL_CTL_MOD)
}

// write is unix.Write, and 0 when the system takes nothing now.
func write(fd int, b []byte) (int, error) {
	n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), err
}

// ready does what epoll says can be done. It is of the loop.
func (c *Conn) ready(events uint32) {
	err := c.writable(events)
	if err == nil && c.paused {
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			err = fmt.Errorf("the server ends the connection: %w", io.ErrUnexpectedEOF)
		}
	} else if err == nil && events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 {
		err = c.readable()
	}
	if err != nil {
		c.close(nil)
		c.ended(err)
	}
}

// Pause stops reading from c for ever; what was read already may still come. Only the
// handler may call it, for the same c.
func (c *Conn) Pause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return ErrClosed
	}
	c.paused = true
	return c.watch(unix.EPOLL_CTL_MOD)
}

// writable ends the connect, then writes what waits.
func (c *Conn) writable(events uint32) error {
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.connected {
		code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || code != 0 {
			return fmt.Errorf("connect to %v: %w", c.target.Addr, unix.Errno(code))
		}
		c.connected = true
		if c.target.Split == nil {
			c.pending = append(request(c.target.Host, c.target.Path), c.pending...)
		}
	}
	n, err := write(c.fd, c.pending)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if c.pending = c.pending[n:]; len(c.pending) == 0 {
		c.pending = nil
	}
	return c.watch(unix.EPOLL_CTL_MOD)
}

// readable reads once: epoll calls again when there is more.
func (c *Conn) readable() error {
	if c.target.TLS {
		return c.readSecure()
	}
	buf := c.loop.buf
	held := copy(buf, c.rest)
	n, errno := read(c.fd, buf[held:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("read: %w", errno)
	case n == 0:
		return fmt.Errorf("the server closes the connection: %w", io.ErrUnexpectedEOF)
	}
	return c.take(buf[:held+n], c.swarm.Now())
}

// read is unix.Read for what does not block: it does not tell Go's scheduler.
func read(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// close closes the descriptor, after last if the system takes it at once.
func (c *Conn) close(last []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return
	}
	if last != nil && c.connected && len(c.pending) == 0 {
		_, _ = write(c.fd, last) // a courtesy
	}
	unix.Close(c.fd)
	c.fd, c.pending = -1, nil
}
