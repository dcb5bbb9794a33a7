package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// longestHold is after how long others may have the lock, between two runs.
const longestHold = 100 * time.Second

// lock is that of flock(1) on a file: measurements of other programs on the same machine
// wait for the same. Without a name it is none.
type lock struct {
	name  string
	file  *os.File // while it is held
	since time.Time
}

// hold takes the lock, and waits for it. One that is held for long goes to others first.
// When ctx ends the wait is left behind: the program ends too.
func (l *lock) hold(ctx context.Context) error {
	if l.name == "" || l.file != nil && time.Since(l.since) < longestHold {
		return nil
	}
	l.release()
	f, err := os.OpenFile(l.name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("-lock: %w", err)
	}
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	select {
	case err = <-locked:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("-lock %s: %w", l.name, err)
	}
	l.file, l.since = f, time.Now()
	return nil
}

func (l *lock) release() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
