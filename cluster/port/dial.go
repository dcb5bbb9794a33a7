package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const dialTimeout = 5 * time.Second // for TCP to connect, all addresses of a name together

// DialGossip opens an authenticated gossip stream to host:port. It takes at
// most the dial timeout and HandshakeTimeout, whatever ctx says. The result is
// a *Conn; the caller owns it. Errors to tell apart: ErrRefused, ErrNotPrivate,
// net.ErrClosed after Run ended. A refusal may also come with the first Read.
func (p *Port) DialGossip(ctx context.Context, addr string) (net.Conn, error) {
	return p.dial(ctx, addr, alpnGossip)
}

// DialLink is DialGossip for links.
func (p *Port) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	return p.dial(ctx, addr, alpnLink)
}

// DialHTTP is DialGossip for the streams of HTTP.
func (p *Port) DialHTTP(ctx context.Context, addr string) (net.Conn, error) {
	return p.dial(ctx, addr, alpnHTTP)
}

func (p *Port) dial(ctx context.Context, addr, alpn string) (net.Conn, error) {
	if p.ended() {
		return nil, fmt.Errorf("dial cluster port %s: %w", addr, net.ErrClosed)
	}
	d := net.Dialer{Timeout: dialTimeout, ControlContext: p.checkDial}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial cluster port: %w", err) // net names the address
	}
	c, err := p.greet(ctx, raw, alpn)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("handshake with cluster port %s: %w", addr, err)
	}
	p.count.dialled.Add(1)
	return c, nil
}

// checkDial applies the address rule to what names resolved to.
func (p *Port) checkDial(_ context.Context, _, address string, _ syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err != nil || !p.Allows(a.Addr()) {
		return ErrNotPrivate
	}
	return nil
}

// greet is the client's side of the handshake.
func (p *Port) greet(ctx context.Context, raw net.Conn, alpn string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.HandshakeTimeout)
	defer cancel()
	id := p.identity.Load()
	s := newStranger(raw)
	t := tls.Client(s, id.dialler(alpn))
	if err := t.HandshakeContext(ctx); err != nil {
		if isRefusal(err) {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return nil, err
	}
	if t.ConnectionState().NegotiatedProtocol != alpn {
		return nil, fmt.Errorf("%w: %w", ErrRefused, errNoProtocol)
	}
	return id.authenticated(t, s)
}

// isRefusal: this side did not accept the certificate, or the other side sent
// an alert instead of going on.
func isRefusal(err error) bool {
	var cert *tls.CertificateVerificationError
	return errors.As(err, &cert) || errors.Is(err, errIdentity) || isAlert(err)
}
