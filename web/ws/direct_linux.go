package ws

import (
	"net"
	"sync"
	"syscall"
	"unsafe"
)

// rawConn is the descriptor of a connection that is TCP and nothing else.
func rawConn(c net.Conn) syscall.RawConn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed: whoever writes finds out
	}
	return raw
}

// vector is the arguments of one write.
type vector struct {
	pieces []syscall.Iovec
	n      int // bytes that are out
	write  func(fd uintptr) bool
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
// many bytes that is. An error, also that of a deadline that is over, is none.
func (c *tap) tryLocked(frames []encoded) int {
	if c.raw == nil || c.dead != nil {
		return 0
	}
	v := vectors.Get().(*vector)
	for _, f := range frames {
		v.add(f.head)
		v.add(f.data)
	}
	v.n = 0
	c.raw.Write(v.write)
	clear(v.pieces)
	v.pieces = v.pieces[:0]
	n := v.n
	vectors.Put(v)
	return n
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
// the processor on to another thread meanwhile would cost more. It returns true, as
// nothing is waited for.
func (v *vector) writeTo(fd uintptr) bool {
	if len(v.pieces) == 0 {
		return true
	}
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v.pieces[0])), uintptr(len(v.pieces)))
		switch err {
		case 0:
			v.n = int(n)
		case syscall.EINTR:
			continue
		}
		return true
	}
}
