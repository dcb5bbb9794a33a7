//go:build !linux

package web

import (
	"syscall"
	"time"
)

// setUserTimeout has no option to set here.
func setUserTimeout(syscall.RawConn, time.Duration) {}
