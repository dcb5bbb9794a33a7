package ws

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Socket is a TCP connection by its descriptor alone, which does not block. Go's poller
// learns of it when somebody has to wait for it, which for most websockets is never:
// a Poller waits for their input, and what they are sent the kernel takes at once. It is
// a net.Conn, and its own syscall.RawConn.
type Socket struct {
	fd     int          // is open while there are users, or it is not closed
	users  atomic.Int64 // those that have fd at hand; see use
	remote netip.AddrPort

	mu              sync.Mutex // and what it guards
	file            *os.File   // of fd, once somebody has had to wait
	readBy, writeBy time.Time
}

// NewSocket takes over a connected descriptor that does not block.
func NewSocket(fd int, remote netip.AddrPort) *Socket { return &Socket{fd: fd, remote: remote} }

// socketClosed is added to Socket.users by Close.
const socketClosed = 1 << 62

// use keeps fd open until leave, or reports that it is closed.
func (s *Socket) use() bool {
	if s.users.Add(1) < socketClosed {
		return true
	}
	s.leave()
	return false
}

func (s *Socket) leave() {
	if s.users.Add(-1) == socketClosed {
		s.release()
	}
}

// Close closes the descriptor once nobody uses it, which is at once mostly. Whoever
// waits gets net.ErrClosed.
func (s *Socket) Close() error {
	for {
		n := s.users.Load()
		if n >= socketClosed {
			return s.failed("close", net.ErrClosed)
		}
		if s.users.CompareAndSwap(n, n+socketClosed) {
			if n == 0 {
				s.release()
			}
			return nil
		}
	}
}

// release closes the descriptor. The last of several late users may come here again.
func (s *Socket) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fd < 0:
	case s.file != nil:
		s.file.Close() // those that wait are users of its own
	default:
		syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(s.fd), 0, 0)
	}
	s.fd = -1
}

// Control implements syscall.RawConn. It heeds no deadline.
func (s *Socket) Control(f func(fd uintptr)) error {
	if !s.use() {
		return s.failed("control", net.ErrClosed)
	}
	defer s.leave()
	f(uintptr(s.fd))
	return nil
}

// Read implements net.Conn.
func (s *Socket) Read(p []byte) (int, error) {
	f, err := s.waits()
	if err != nil {
		return 0, s.failed("read", err)
	}
	n, err := f.Read(p)
	return n, s.failed("read", err)
}

// Write implements net.Conn.
func (s *Socket) Write(p []byte) (int, error) {
	if !s.use() {
		return 0, s.failed("write", net.ErrClosed)
	}
	n := 0
	if len(p) > 0 && !s.late() {
		r, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if errno == 0 {
			n = int(r)
		}
	}
	s.leave()
	if n == len(p) {
		return n, nil
	}
	f, err := s.waits()
	if err != nil {
		return n, s.failed("write", err)
	}
	more, err := f.Write(p[n:]) // an error of the first comes again
	return n + more, s.failed("write", err)
}

// late says that the deadline of writes has passed.
func (s *Socket) late() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.writeBy.IsZero() && !time.Now().Before(s.writeBy)
}

// waits is the descriptor for who waits: from now on Go's poller has it.
func (s *Socket) waits() (*os.File, error) {
	if !s.use() {
		return nil, net.ErrClosed
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		s.file = os.NewFile(uintptr(s.fd), "tcp")
		s.deadlinesLocked()
	}
	return s.file, nil
}

// SetDeadline implements net.Conn.
func (s *Socket) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBy, s.writeBy = t, t
	return s.deadlinesLocked()
}

// SetReadDeadline implements net.Conn.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBy = t
	return s.deadlinesLocked()
}

// SetWriteDeadline implements net.Conn.
func (s *Socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeBy = t
	return s.deadlinesLocked()
}

// deadlinesLocked tells those who wait.
func (s *Socket) deadlinesLocked() error {
	switch {
	case s.fd < 0:
		return s.failed("set", net.ErrClosed)
	case s.file == nil:
		return nil
	}
	return s.failed("set", errors.Join(s.file.SetReadDeadline(s.readBy), s.file.SetWriteDeadline(s.writeBy)))
}

// LocalAddr implements net.Conn.
func (s *Socket) LocalAddr() net.Addr {
	if s.use() {
		defer s.leave()
		switch a, _ := syscall.Getsockname(s.fd); a := a.(type) {
		case *syscall.SockaddrInet4:
			return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		case *syscall.SockaddrInet6:
			return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		}
	}
	return &net.TCPAddr{}
}

// RemoteAddr implements net.Conn.
func (s *Socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// failed makes an error of a file one of a connection; io.EOF stays what it is.
func (s *Socket) failed(op string, err error) error {
	var path *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.As(err, &path):
		err = path.Err
	case op == "read":
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: s.RemoteAddr(), Err: err}
}
