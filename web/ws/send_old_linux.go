//go:build linux && (386 || s390x)

package ws

import (
	"syscall"
	"unsafe"
)

// sendOne is a write: package syscall has no number of sendto here.
func sendOne(fd uintptr, p *byte, size uintptr) (n uintptr, err syscall.Errno) {
	n, _, err = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(p)), size)
	return n, err
}
