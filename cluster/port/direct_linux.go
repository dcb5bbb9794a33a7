//go:build !race

package port

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// direct is a TCP connection whose system calls the scheduler is not told of. They never block, and
// telling it wakes the thread that watches such calls (sysmon), which then looks around fifty times: a sixth
// of the time of a node that gets a message now and then.
type direct struct {
	*net.TCPConn
	raw syscall.RawConn
	in  half
	out half
}

// half is one direction, and the call under way on it.
type half struct {
	mu   sync.Mutex
	b    []byte
	n    int
	err  syscall.Errno
	call func(fd uintptr) bool
}

// directly makes c direct if it can be.
func directly(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c // closed: whoever reads finds out
	}
	d := &direct{TCPConn: tcp, raw: raw}
	d.in.call, d.out.call = d.in.read, d.out.write
	return d
}

// Read is that of TCPConn.
func (d *direct) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := d.in.run(b, d.raw.Read)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, d.wrap("read", err)
}

// Write is that of TCPConn.
func (d *direct) Write(b []byte) (int, error) {
	n, err := d.out.run(b, d.raw.Write)
	return n, d.wrap("write", err)
}

// run makes calls on b; wait makes another one when the socket is ready, until call has done.
func (h *half) run(b []byte, wait func(func(uintptr) bool) error) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b, h.n, h.err = b, 0, 0
	err := wait(h.call)
	h.b = nil
	if err == nil && h.err != 0 {
		err = h.err
	}
	return h.n, err
}

func (h *half) read(fd uintptr) (done bool) {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&h.b[0])), uintptr(len(h.b)))
		switch err {
		case 0:
			h.n = int(n)
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			h.err = err
		}
		return true
	}
}

func (h *half) write(fd uintptr) (done bool) {
	for h.n < len(h.b) {
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&h.b[h.n])), uintptr(len(h.b)-h.n))
		switch err {
		case 0:
			h.n += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			h.err = err
			return true
		}
	}
	return true
}

// wrap gives errors of system calls the form that those of TCPConn have.
func (d *direct) wrap(op string, err error) error {
	switch e := err.(type) {
	case syscall.Errno:
		return &net.OpError{Op: op, Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: os.NewSyscallError(op, e)}
	case *net.OpError:
		e.Op = op // not raw-read
	}
	return err
}
