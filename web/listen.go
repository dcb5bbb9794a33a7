package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// heartbeats are the times of a client connection that the kernel is told.
type heartbeats struct{ interval, timeout time.Duration }

// listen has the kernel give up clients that have vanished without a word. What was
// sent and not acknowledged for as long as a heartbeat may take ends the connection,
// where the system knows such an option: not earlier, as a client whose network was
// away for that time may still answer. Elsewhere the probes of an idle connection
// (RFC 9293, section 3.8.4) find the dead ones, at about that time.
func (h heartbeats) listen(addr string) (net.Listener, error) {
	probe := max(h.timeout/keepAliveProbes, time.Second)
	l, err := listenOn(addr, net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: max(h.interval, time.Second), Interval: probe, Count: keepAliveProbes}})
	if l == nil || err != nil {
		return nil, err
	}
	return vanishing{l, h.interval + h.timeout}, nil
}

// readers has the connection of an event stream given up earlier. Its client sends
// nothing whose absence would tell, but there is a heartbeat every interval: when
// that is not acknowledged for a timeout, the reader is gone within the two together.
func (h heartbeats) readers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(guestKey{}).(*guest); ok {
			vanishes(c.conn, h.timeout)
		}
		next.ServeHTTP(w, r)
	})
}

// vanishing is a listener whose connections are given up after a timeout.
type vanishing struct {
	net.Listener
	timeout time.Duration
}

// Accept sets the option on each connection: not every kernel hands down a
// listener's.
func (l vanishing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		vanishes(c, l.timeout)
	}
	return c, err
}

// vanishes sets the option. A connection that refuses it is served all the same.
func vanishes(c net.Conn, after time.Duration) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			setUserTimeout(raw, after)
		}
	}
}

// keepAliveProbes are sent before a connection is given up.
const keepAliveProbes = 3

// listenOn gives errors that name the address once and plainly.
func listenOn(addr string, lc net.ListenConfig) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := lc.Listen(context.Background(), "tcp", addr)
	var sys *os.SyscallError
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: address already in use", addr)
	case errors.As(err, &sys):
		return nil, fmt.Errorf("%s: %w", addr, sys.Err)
	}
	return nil, err
}
