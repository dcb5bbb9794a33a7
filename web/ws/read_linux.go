package ws

import (
	"sync"
	"syscall"
	"unsafe"
)

// parkedRead is the buffer of a connection that is read where it is parked, in bytes.
const parkedRead = 16 << 10

// input is the arguments of one read, and what of it is still to be acted on.
type input struct {
	buffer [parkedRead]byte
	n      int
	err    syscall.Errno
	read   func(fd uintptr)
	left   leftover
}

// leftover is what one who has read leaves to another: a message, or the error instead,
// then the bytes behind it.
type leftover struct {
	message message
	err     error
	bytes   []byte // of input.buffer
	broken  bool   // the decoder has panicked
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

// resume acts on what was left.
func (c *Conn) resume(i *input) (goesOn bool) {
	left := i.left
	i.left = leftover{}
	if left.broken {
		return false
	}
	return c.guard(func() { goesOn = c.decoded(left.message, left.err) && c.decode(left.bytes) }) && goesOn
}

// readAll receives what was left in i, which may be nil, and what has come since, and
// reports whether more may come.
func (c *Conn) readAll(i *input) (goesOn bool) {
	resumes := i != nil
	if !resumes {
		i = inputs.Get().(*input)
	}
	defer inputs.Put(i)
	if resumes && !c.resume(i) {
		return false
	}
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
