package port

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

// ErrRefused says that one side did not accept the other's certificate: another
// cluster secret, another cluster name, or something that is no meshrt node.
var ErrRefused = errors.New("not authenticated: wrong cluster secret or cluster name?")

const (
	// maxHandshakeBytes is what a peer may send before it is authenticated. An
	// honest node sends about 3 KiB; crypto/tls alone would hold 256 KiB.
	maxHandshakeBytes = 16 << 10
	recordHandshake   = 0x16 // first byte of a TLS ClientHello (RFC 8446 §5.1)
)

var (
	errNotTLS  = errors.New("first byte is not that of TLS")
	errTooLong = fmt.Errorf("more than %d bytes before authentication", maxHandshakeBytes)
	errGone    = errors.New("closed before it sent anything")
)

// Conn is a connection to an authenticated node. It is a *tls.Conn with the
// peer's name; NetConn gives the TCP connection below, for socket options.
type Conn struct {
	*tls.Conn
	tcp   net.Conn
	peer  string
	heard atomic.Bool // the peer is known to have accepted us
}

// PeerName is the "name@boot" in the verified certificate of the peer.
func (c *Conn) PeerName() string { return c.peer }

// NetConn is the TCP connection. Reading or writing it breaks the TLS stream.
func (c *Conn) NetConn() net.Conn { return c.tcp }

// Read is tls.Conn.Read, except that a dialled connection that the other side
// refused returns ErrRefused: in TLS 1.3 the client has finished its handshake
// before the server judges its certificate (RFC 8446 §2).
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if err != nil && !c.heard.Load() && isAlert(err) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return n, err
}

// isAlert tells whether the other side ended TLS with an alert of error level.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// stranger limits what an unauthenticated peer can make this side hold.
type stranger struct {
	net.Conn
	tcp     net.Conn // the same
	first   byte
	peeked  bool
	trusted bool
	budget  int // bytes that it may still send
}

func newStranger(c net.Conn) *stranger {
	return &stranger{Conn: directly(c), tcp: c, budget: maxHandshakeBytes}
}

// peek waits for the first byte and refuses what cannot be TLS: another
// protocol never reaches the TLS parser, and a silent connection costs no
// buffer.
func (s *stranger) peek() error {
	var b [1]byte
	if _, err := s.Conn.Read(b[:]); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if b[0] != recordHandshake {
		return errNotTLS
	}
	s.first, s.peeked = b[0], true
	s.budget--
	return nil
}

func (s *stranger) Read(b []byte) (int, error) {
	switch {
	case s.peeked && len(b) > 0:
		s.peeked = false
		b[0] = s.first
		return 1, nil
	case s.trusted:
		return s.Conn.Read(b)
	case s.budget == 0:
		return 0, errTooLong
	}
	n, err := s.Conn.Read(b[:min(len(b), s.budget)])
	s.budget -= n
	return n, err
}

// trust lifts the limit. Call it after the handshake, before anybody else reads.
func (s *stranger) trust() { s.trusted = true }

// authenticated makes the Conn of a finished handshake.
func (id *identity) authenticated(t *tls.Conn, s *stranger) (*Conn, error) {
	name, err := id.peerName(t.ConnectionState())
	if err != nil {
		return nil, err
	}
	s.trust()
	return &Conn{Conn: t, tcp: s.tcp, peer: name}, nil
}
