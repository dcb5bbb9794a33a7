//go:build unix

package web

import "syscall"

// descriptors is how many files and connections this process may have open, 0 for
// unknown. The Go runtime has raised the soft limit to the hard one at the start
// (package os, since Go 1.19).
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<30)) //nolint:unconvert // signed on some systems
}
