package web

import (
	"syscall"
	"testing"
)

// Nobody must raise the soft limit by hand: the Go runtime does at the start, and
// what we count with is what is in force.
func TestSoftLimitOfDescriptorsIsTheHardOne(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur != limit.Max || descriptors() == 0 || uint64(descriptors()) > uint64(limit.Max) {
		t.Errorf("soft limit %d, hard %d, counted with %d", limit.Cur, limit.Max, descriptors())
	}
}
