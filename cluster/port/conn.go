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
	out   *outlet
	peer  string
	heard atomic.Bool // the peer is known to have accepted us
}

// PeerName is the "name@boot" in the verified certificate of the peer.
func (c *Conn) PeerName() string { return c.peer }

// NetConn is the TCP connection. Reading or writing it breaks the TLS stream.
func (c *Conn) NetConn() net.Conn { return c.tcp }

// BeginNow makes Write wait for nothing until EndNow: what the socket does not take is kept. It
// is false, and changes nothing, where that cannot be: while a write waits for the socket or
// has left something, and on systems other than Linux. Between the two only their caller
// writes, for a deadline of which nobody has to care.
func (c *Conn) BeginNow() bool { return c.out.begin() }

// EndNow tells how many bytes, as they go over the network, are kept. They go before all that is
// written later, or with Flush.
func (c *Conn) EndNow() (left int) { return c.out.end() }

// Flush waits until what writes between BeginNow and EndNow have left is out, or fails.
func (c *Conn) Flush() error { return c.out.flush() }

// Close ends the connection. After a record that is out in part there is no word of TLS about that,
// as the other side could not read it.
func (c *Conn) Close() error {
	if c.out.torn.Load() {
		return c.tcp.Close()
	}
	return c.Conn.Close()
}

// CloseWrite ends this direction. After a record that is out in part the other side is told by TCP alone, as with Close.
func (c *Conn) CloseWrite() error {
	if tcp, ok := c.tcp.(*net.TCPConn); ok && c.out.torn.Load() {
		return tcp.CloseWrite()
	}
	return c.Conn.CloseWrite()
}

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
	out     outlet
	socket  *rawSocket
	first   byte
	peeked  bool
	trusted bool
	budget  int // bytes that it may still send
}

func newStranger(c net.Conn) *stranger {
	s := newRawSocket(c)
	return &stranger{Conn: c, out: outlet{conn: c, socket: s}, socket: s, budget: maxHandshakeBytes}
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
		if n, err, ok := s.socket.read(b); ok {
			return n, err
		}
		return s.Conn.Read(b)
	case s.budget == 0:
		return 0, errTooLong
	}
	n, err := s.Conn.Read(b[:min(len(b), s.budget)])
	s.budget -= n
	return n, err
}

// Write is for TLS: see outlet.
func (s *stranger) Write(b []byte) (int, error) { return s.out.Write(b) }

// trust lifts the limit. Call it after the handshake, before anybody else reads.
func (s *stranger) trust() { s.trusted = true }

// authenticated makes the Conn of a finished handshake.
func (id *identity) authenticated(t *tls.Conn, s *stranger) (*Conn, error) {
	name, err := id.peerName(t.ConnectionState())
	if err != nil {
		return nil, err
	}
	s.trust()
	return &Conn{Conn: t, tcp: s.Conn, out: &s.out, peer: name}, nil
}
