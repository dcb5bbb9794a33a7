package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// heartbeats are the times of a client connection that the kernel is told.
type heartbeats struct{ interval, timeout time.Duration }

// listen has the kernel give up clients that have vanished without a word: a
// reader of an event stream sends nothing, so that no silence of its own tells.
// What was sent and not acknowledged for a timeout ends the connection, where the
// system knows such an option; a stream has a heartbeat every interval, so that its
// reader is gone within the two together. Elsewhere the probes of an idle connection
// (RFC 9293, section 3.8.4) find the dead ones, at about that time.
func (h heartbeats) listen(addr string) (net.Listener, error) {
	probe := max(h.timeout/keepAliveProbes, time.Second)
	l, err := listenOn(addr, net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: max(h.interval, time.Second), Interval: probe, Count: keepAliveProbes}})
	if l == nil || err != nil {
		return nil, err
	}
	return vanishing{l, h.timeout}, nil
}

// vanishing is a listener whose connections are given up after a timeout.
type vanishing struct {
	net.Listener
	timeout time.Duration
}

// Accept sets the option on each connection: not every kernel hands down a
// listener's. A connection that refuses it is served all the same.
func (l vanishing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		if raw, err := tcp.SyscallConn(); err == nil {
			setUserTimeout(raw, l.timeout)
		}
	}
	return c, err
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
