package swarm

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// secureConn is TLS over a socket that does not block: crypto/tls reads from it and
// writes to it. Reads that would block end with errAgain, after which crypto/tls goes
// on where it was, as that is a temporary net.Error; but its handshake cannot, so that
// is made in a goroutine, which waits.
type secureConn struct {
	fd    int
	over  func() bool // the swarm has ended
	waits bool        // in the handshake
	tls   *tls.Conn

	mu  sync.Mutex
	out []byte // what crypto/tls wrote
}

// handshakePoll is how late a handshake notices the end of its swarm, in milliseconds.
const handshakePoll = 100

// errAgain says that nothing is there to read now.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing to read now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// secure makes the handshake, then gives c to its loop.
func (c *Conn) secure() {
	err := c.handshake()
	if err == nil {
		err = c.Write(request(c.target.Host, c.target.Path))
	}
	if err != nil && !c.swarm.over() {
		c.close(nil)
		c.ended(fmt.Errorf("TLS with %v: %w", c.target.Addr, err))
	}
}

func (c *Conn) handshake() error {
	s := &secureConn{fd: c.fd, over: c.swarm.over, waits: true}
	if err := s.wait(unix.POLLOUT); err != nil {
		return err
	}
	if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	s.tls = tls.Client(s, &tls.Config{InsecureSkipVerify: true}) // Target says so
	if err := s.tls.Handshake(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.waits = false
	c.tls, c.connected = s, true
	return c.watch(unix.EPOLL_CTL_ADD)
}

// wait waits until poll(2) says that something can be done.
func (s *secureConn) wait(events int16) error {
	for !s.over() {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, handshakePoll)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
	}
	return ErrClosed
}

// seal is what to write for frames.
func (s *secureConn) seal(frames []byte) ([]byte, error) {
	if _, err := s.tls.Write(frames); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	s.out = nil
	return out, nil
}

// readSecure reads until nothing is there: epoll does not know what crypto/tls holds.
func (c *Conn) readSecure() error {
	c.mu.Lock()
	s := c.tls
	c.mu.Unlock()
	for {
		buf := c.loop.buf
		held := copy(buf, c.rest)
		n, err := s.tls.Read(buf[held:])
		if n > 0 {
			if err := c.take(buf[:held+n], c.swarm.Now()); err != nil {
				return err
			}
		}
		if err == errAgain {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// Read implements net.Conn for crypto/tls.
func (s *secureConn) Read(b []byte) (int, error) {
	for {
		n, errno := read(s.fd, b)
		switch {
		case errno == unix.EAGAIN && !s.waits:
			return 0, errAgain
		case errno == unix.EAGAIN:
			if err := s.wait(unix.POLLIN); err != nil {
				return 0, err
			}
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn for crypto/tls: after the handshake, seal takes it.
func (s *secureConn) Write(b []byte) (int, error) {
	if !s.waits {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out = append(s.out, b...)
		return len(b), nil
	}
	for rest := b; len(rest) > 0; {
		n, err := write(s.fd, rest)
		if err != nil {
			return 0, err
		}
		if rest = rest[n:]; n == 0 {
			if err := s.wait(unix.POLLOUT); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

// Close is not what ends the connection, Conn.close does.
func (s *secureConn) Close() error                     { return nil }
func (s *secureConn) LocalAddr() net.Addr              { return nil }
func (s *secureConn) RemoteAddr() net.Addr             { return nil }
func (s *secureConn) SetDeadline(time.Time) error      { return nil }
func (s *secureConn) SetReadDeadline(time.Time) error  { return nil }
func (s *secureConn) SetWriteDeadline(time.Time) error { return nil }
