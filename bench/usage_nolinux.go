//go:build !linux

package bench

import (
	"errors"
	"time"
)

// readCPU is for Linux only, as readPSS.
func readCPU(int) (time.Duration, error) { return 0, errors.New("-pid: only on Linux") }
