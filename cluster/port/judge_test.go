package port

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

// TestResetIsNoWrongSecret: a peer that is stopped in the middle of a
// handshake must not alarm the operator about secrets.
func TestResetIsNoWrongSecret(t *testing.T) {
	for want, err := range map[reason]error{
		gone:      fmt.Errorf("handshake: %w", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
		handshake: tls.AlertError(42),
		timeout:   fmt.Errorf("read: %w", os.ErrDeadlineExceeded),
		notTLS:    errNotTLS,
	} {
		if got := judge(err); got != want {
			t.Errorf("judge(%v) = %s, want %s", err, names[got], names[want])
		}
	}
}
