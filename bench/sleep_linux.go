package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep is time.Sleep, which rounds up to a millisecond: here that would be part
// of every latency. It may return early.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
