package ws

import (
	"net"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// rawConn is the descriptor of a connection that is TCP and nothing else.
func rawConn(c net.Conn) controller {
	switch c := c.(type) {
	case *Socket:
		return c
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil { // else closed: whoever writes finds out
			return raw
		}
	}
	return nil
}

// patience is how long the answer to a handshake may wait for the connection. On a Socket
// who waits keeps all others from being accepted; nothing was sent before, so that one
// which does not take it is one for which the system has no memory.
func patience(c net.Conn, most time.Duration) time.Duration {
	if _, ok := c.(*Socket); ok {
		return 0
	}
	return most
}

// vector is the arguments of one write.
type vector struct {
	pieces []syscall.Iovec
	n      int // bytes that are out
	write  func(fd uintptr)
}

// maxPieces is IOV_MAX of Linux.
const maxPieces = 1024

// vectors are those that nobody uses: a write allocates nothing.
var vectors = sync.Pool{New: func() any {
	v := &vector{pieces: make([]syscall.Iovec, 0, 4)}
	v.write = v.writeTo
	return v
}}

// tryLocked writes what of frames the socket takes without waiting, and says how
// many bytes that is. An error is none. Deadlines are for those who wait, and out
// keeps other writers away: Control heeds neither, and costs less than Write.
func (c *tap) tryLocked(frames []encoded) int {
	if c.raw == nil || c.dead != nil {
		return 0
	}
	if s, ok := c.raw.(*Socket); ok && len(frames) == 1 && len(frames[0].data) == 0 {
		return s.tryWrite(frames[0].head)
	}
	v := vectors.Get().(*vector)
	for _, f := range frames {
		v.add(f.head)
		v.add(f.data)
	}
	v.n = 0
	c.raw.Control(v.write) // fails when closed
	clear(v.pieces)
	v.pieces = v.pieces[:0]
	n := v.n
	vectors.Put(v)
	return n
}

// tryWrite is tryLocked for one piece, as most messages are. p is not empty.
func (s *Socket) tryWrite(p []byte) int {
	if !s.use() {
		return 0
	}
	n, err := sendOne(uintptr(s.fd), &p[0], uintptr(len(p)))
	for err == syscall.EINTR {
		n, err = sendOne(uintptr(s.fd), &p[0], uintptr(len(p)))
	}
	s.leave()
	if err != 0 {
		return 0
	}
	return int(n)
}

func (v *vector) add(p []byte) {
	if len(p) > 0 && len(v.pieces) < maxPieces {
		piece := syscall.Iovec{Base: &p[0]}
		piece.SetLen(len(p))
		v.pieces = append(v.pieces, piece)
	}
}

// writeTo is one system call on a descriptor that does not block. The scheduler is
// not told: it takes some microseconds for each of thousands of clients, and passing
// the processor on to another thread meanwhile would cost more.
func (v *vector) writeTo(fd uintptr) {
	for len(v.pieces) > 0 {
		n, err := v.send(fd)
		if err == syscall.EINTR {
			continue
		}
		if err == 0 {
			v.n = int(n)
		}
		return
	}
}

// send is that call. Mostly there is one piece, for which a list of them costs the kernel
// a twentieth more.
func (v *vector) send(fd uintptr) (n uintptr, err syscall.Errno) {
	if len(v.pieces) == 1 {
		return sendOne(fd, v.pieces[0].Base, uintptr(v.pieces[0].Len))
	}
	n, _, err = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v.pieces[0])), uintptr(len(v.pieces)))
	return n, err
}
