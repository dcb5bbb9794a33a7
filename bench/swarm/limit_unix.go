//go:build linux || darwin

package swarm

import (
	"fmt"
	"syscall"
)

// spare is the number of descriptors for all else.
const spare = 64

// raiseLimit raises the limit of descriptors to what that many connections need.
// Go has raised the soft one to the hard one already; root may go on from there.
func raiseLimit(conns int) error {
	need := uint64(conns + spare)
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		return fmt.Errorf("limit of file descriptors: %w", err)
	}
	if have.Cur >= need {
		return nil
	}
	want := syscall.Rlimit{Cur: need, Max: max(have.Max, need)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("%d connections need %d file descriptors, this process may have %d: raise the hard limit (ulimit -Hn %d as root) or take fewer clients: %w",
			conns, need, have.Max, need, err)
	}
	return nil
}
