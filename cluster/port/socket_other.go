//go:build !linux

package port

import "net"

// rawSocket is what only Linux is measured on, and only done there.
type rawSocket struct{}

func newRawSocket(net.Conn) *rawSocket { return nil }

func (*rawSocket) read([]byte) (n int, err error, ok bool) { return 0, nil, false }

func (*rawSocket) write([]byte) int { return 0 }

func (*rawSocket) tryWrite([]byte) int { return 0 }
