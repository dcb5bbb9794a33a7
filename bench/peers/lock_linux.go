package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock of flock(1) on a file, "" for none, and waits for it:
// measurements of other programs on the same machine wait for the same.
func lockFile(name string) (unlock func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("-lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("-lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
