//go:build !linux

package ws

import (
	"net"
	"time"
)

// rawConn is nil: what only Linux is measured on is only done there.
func rawConn(net.Conn) controller { return nil }

func patience(_ net.Conn, most time.Duration) time.Duration { return most }

func (c *tap) tryLocked([]encoded) int { return 0 }
