package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// schedClock asks for the time that the scheduler has counted for a process, all its
// threads, also those that ended: CPUCLOCK_SCHED of the kernel's posix-timers.h.
const schedClock = 2

// readCPU is the user and system time of a process, in nanoseconds: /proc has ticks
// of 10 ms. The clock of a process is that of clock_getcpuclockid(3).
func readCPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, fmt.Errorf("-pid %d: its CPU time: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
