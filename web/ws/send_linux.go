//go:build !386 && !s390x

package ws

import (
	"syscall"
	"unsafe"
)

// sendOne is a write to a socket that asks nothing of files.
func sendOne(fd uintptr, p *byte, size uintptr) (n uintptr, err syscall.Errno) {
	n, _, err = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(p)), size,
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	return n, err
}
