package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	acceptQueue   = 64                   // authenticated connections of one protocol that wait for Accept
	acceptBackoff = 5 * time.Millisecond // first pause after a failed accept; doubles
	maxBackoff    = time.Second
)

var errNoProtocol = errors.New("no protocol agreed")

// acceptLoop takes connections until the listener is closed. Other errors are
// shortages, such as of file descriptors, that pass.
func (p *Port) acceptLoop(ctx context.Context, wg *sync.WaitGroup, s *socket) {
	pause := acceptBackoff
	for {
		c, err := s.tcp.AcceptTCP()
		switch {
		case err == nil:
			pause = acceptBackoff
			p.admit(wg, c)
		case ctx.Err() != nil:
			return
		default:
			if n, ok := p.refusals.allow(site(s.local.Addr())); ok {
				p.log.Warn("cannot accept on the cluster port", "addr", s.local, "suppressed", n, "err", err)
			}
			sleep(ctx, pause)
			pause = min(2*pause, maxBackoff)
		}
	}
}

// sleep pauses for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// admit closes c at once or gives it a slot and a goroutine.
func (p *Port) admit(wg *sync.WaitGroup, c net.Conn) {
	from := remote(c)
	if !p.Allows(from) {
		c.Close()
		p.reject(from, notPrivate, nil)
		return
	}
	s, why := p.gate.enter(c, from, p.isKnown(from), time.Now())
	if s == nil {
		c.Close()
		p.reject(from, why, nil)
		return
	}
	wg.Go(func() { p.serve(s, from) })
}

func remote(c net.Conn) netip.Addr {
	a, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return a.Addr().Unmap()
}

// serve makes a peer of a stranger and hands it over, or closes it. It holds
// the slot all the while, so the number of these goroutines is bounded.
func (p *Port) serve(s *slot, from netip.Addr) {
	defer p.gate.leave(s)
	c, err := p.handshake(s.conn)
	if !p.gate.settle(s) {
		p.reject(from, evicted, nil)
		return
	}
	if err != nil {
		s.conn.Close()
		p.reject(from, judge(err), err)
		return
	}
	p.count.handshakes.Add(1)
	if !p.deliver(c) {
		s.conn.Close()
		p.reject(from, acceptQueueFull, nil)
	}
}

// handshake is the server's side. One deadline covers all of it.
func (p *Port) handshake(raw net.Conn) (*Conn, error) {
	if err := raw.SetDeadline(time.Now().Add(p.cfg.HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("set handshake deadline: %w", err)
	}
	s := newStranger(raw)
	if err := s.peek(); err != nil {
		return nil, err
	}
	id := p.identity.Load()
	t := tls.Server(s, id.server)
	if err := t.Handshake(); err != nil {
		return nil, err
	}
	if t.ConnectionState().NegotiatedProtocol == "" {
		return nil, errNoProtocol
	}
	c, err := id.authenticated(t, s)
	if err != nil {
		return nil, err
	}
	c.heard.Store(true) // this side judges last, so a later alert is no refusal
	return c, raw.SetDeadline(time.Time{})
}

// deliver queues c for Accept. It waits as long as a handshake may take when
// the queue is full.
func (p *Port) deliver(c *Conn) bool {
	queue := p.queue(c.ConnectionState().NegotiatedProtocol)
	select {
	case queue <- c:
		return true
	default:
	}
	t := time.NewTimer(p.cfg.HandshakeTimeout)
	defer t.Stop()
	select {
	case queue <- c:
		return true
	case <-t.C:
	case <-p.done:
	}
	return false
}

// queue has the connections of a protocol that wait for Accept.
func (p *Port) queue(alpn string) chan *Conn {
	switch alpn {
	case alpnGossip:
		return p.gossip
	case alpnHTTP:
		return p.http
	}
	return p.links
}

// AcceptGossip waits for the next authenticated gossip stream, a *Conn. The
// caller owns it. After Run ended it returns net.ErrClosed.
func (p *Port) AcceptGossip() (net.Conn, error) { return p.accept(context.Background(), p.gossip) }

// AcceptLink is AcceptGossip for links.
func (p *Port) AcceptLink() (net.Conn, error) { return p.accept(context.Background(), p.links) }

// AcceptHTTP is AcceptGossip for the streams of HTTP. It also returns
// net.ErrClosed when ctx ends: who serves them stops before the port does.
func (p *Port) AcceptHTTP(ctx context.Context) (net.Conn, error) { return p.accept(ctx, p.http) }

func (p *Port) accept(ctx context.Context, queue <-chan *Conn) (net.Conn, error) {
	if !p.ended() && ctx.Err() == nil {
		select {
		case c := <-queue:
			return c, nil
		case <-ctx.Done():
		case <-p.done:
		}
	}
	return nil, fmt.Errorf("accept on the cluster port: %w", net.ErrClosed)
}

// drain closes what nobody accepted.
func drain(queue <-chan *Conn) {
	for {
		select {
		case c := <-queue:
			c.NetConn().Close()
		default:
			return
		}
	}
}
