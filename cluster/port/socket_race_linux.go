//go:build race

package port

import (
	"runtime"
	"syscall"
	"unsafe"
)

// ioSync stands for the order between a write and the read of what it wrote, of which package
// syscall tells the race detector for its own calls.
var ioSync int64

func raceWrites() {
	runtime.RaceReleaseMerge(unsafe.Pointer(&ioSync))
	syscall.Write(-1, nil) // fails, and tells of a write all the same: who reads may use package syscall
}

func raceHasRead() { runtime.RaceAcquire(unsafe.Pointer(&ioSync)) }
