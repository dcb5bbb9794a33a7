package port

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// rawSocket reads and writes a TCP socket, which does not block. Go's scheduler is not told of
// these system calls: each takes some microseconds, and in a calm node one that it is told
// of wakes the thread that watches over system calls, for a dozen naps. Each
// direction is for one goroutine at a time.
type rawSocket struct {
	raw           syscall.RawConn
	local, remote net.Addr
	in, out       transfer
}

// transfer is one direction of a rawSocket: the rest of what is to be read or written, and
// how the last system call ended.
type transfer struct {
	number uintptr
	rest   []byte
	n      int
	err    syscall.Errno
	now    func(fd uintptr)
	wait   func(fd uintptr) bool
}

// newRawSocket is nil for what is not a TCP connection.
func newRawSocket(c net.Conn) *rawSocket {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed: whoever reads or writes finds out
	}
	s := &rawSocket{raw: raw, local: c.LocalAddr(), remote: c.RemoteAddr(), in: transfer{number: syscall.SYS_READ}, out: transfer{number: syscall.SYS_WRITE}}
	s.in.wait = func(fd uintptr) bool {
		s.in.call(fd)
		raceHasRead()
		return s.in.err != syscall.EAGAIN
	}
	s.out.now = s.out.all
	s.out.wait = func(fd uintptr) bool {
		s.out.all(fd)
		return s.out.err != syscall.EAGAIN
	}
	return s
}

// call makes one system call.
func (t *transfer) call(fd uintptr) {
	for {
		n, _, err := syscall.RawSyscall(t.number, fd, uintptr(unsafe.Pointer(&t.rest[0])), uintptr(len(t.rest)))
		if err == syscall.EINTR {
			continue
		}
		if t.n, t.err = int(n), err; err != 0 {
			t.n = 0
		}
		return
	}
}

// all makes calls until nothing is left or the socket takes no more.
func (t *transfer) all(fd uintptr) {
	for len(t.rest) > 0 {
		raceWrites()
		if t.call(fd); t.err != 0 {
			return
		}
		t.rest = t.rest[t.n:]
	}
}

// read waits for bytes like net.Conn.Read. It is not ok when that has to say what went wrong. An error of
// the socket it cannot: the system tells of each once.
func (s *rawSocket) read(b []byte) (n int, err error, ok bool) {
	if s == nil || len(b) == 0 {
		return 0, nil, false
	}
	s.in.rest, s.in.err = b, 0
	err = s.raw.Read(s.in.wait)
	s.in.rest = nil
	switch {
	case err != nil:
		return 0, nil, false
	case s.in.err != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.local, Addr: s.remote, Err: os.NewSyscallError("read", s.in.err)}, true
	case s.in.n == 0:
		return 0, io.EOF, true
	}
	return s.in.n, nil, true
}

// write waits until b is out, or something goes wrong, and tells how much is out.
func (s *rawSocket) write(b []byte) (n int) {
	if s == nil {
		return 0
	}
	s.out.rest, s.out.err = b, 0
	s.raw.Write(s.out.wait) // an error: net.Conn.Write has it too
	return s.written(b)
}

// tryWrite writes what of b the socket takes without waiting.
func (s *rawSocket) tryWrite(b []byte) (n int) {
	s.out.rest, s.out.err = b, 0
	s.raw.Control(s.out.now) // fails when closed
	return s.written(b)
}

func (s *rawSocket) written(b []byte) int {
	n := len(b) - len(s.out.rest)
	s.out.rest = nil
	return n
}
