package ws

import (
	"sync"
	"syscall"
	"unsafe"
)

// parkedRead is the buffer of a connection that is read where it is parked, in bytes.
const parkedRead = 16 << 10

// input is the arguments of one read.
type input struct {
	buffer [parkedRead]byte
	n      int
	err    syscall.Errno
	read   func(fd uintptr)
}

// inputs are those that nobody uses: an idle connection has none.
var inputs = sync.Pool{New: func() any {
	i := &input{}
	i.read = i.readFrom
	return i
}}

// readFrom is one system call on a descriptor that does not block: see
// vector.writeTo.
func (i *input) readFrom(fd uintptr) {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&i.buffer)), parkedRead)
		if err != syscall.EINTR {
			i.n, i.err = int(n), err
			return
		}
	}
}

// readAll receives what has come, and reports whether more may come.
func (c *Conn) readAll() (goesOn bool) {
	i := inputs.Get().(*input)
	defer inputs.Put(i)
	for {
		i.err = syscall.EBADF
		c.tap.raw.Control(i.read) // fails when closed
		switch {
		case i.err == syscall.EAGAIN:
			return true
		case i.err != 0 || i.n == 0:
			c.fail(CauseLost)
			return false
		}
		c.tap.touch()
		if !c.receive(i.buffer[:i.n]) {
			return false
		}
		// A read that leaves room has taken all, and what comes later is an event of its
		// own. The end of the stream is read with nothing: it comes with the event of the last bytes.
		if i.n < parkedRead && !c.hungUp.Load() {
			return true
		}
	}
}
