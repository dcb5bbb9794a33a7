//go:build amd64 || arm64

package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/meshrt/meshrt/web/ws"
)

// deferred is for how long the kernel keeps a connection on which nothing has come, in
// seconds: TCP_DEFER_ACCEPT of tcp(7). Clients of HTTP speak first, so that most
// connections are accepted with their request. Those that say nothing are accepted all
// the same when the time is over.
const deferred = 1

// option is one of a TCP connection. The listener hands it down, but Linux's listener
// of Multipath TCP, which Go takes by default, not each.
type option struct{ level, name, value int }

func (h heartbeats) options() []option {
	return []option{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, seconds(h.interval)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, seconds(h.timeout / keepAliveProbes)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveProbes},
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.IPPROTO_TCP, tcpUserTimeout, int((h.interval + h.timeout).Milliseconds())},
	}
}

// seconds are whole ones, at least one.
func seconds(d time.Duration) int { return int(max((d+time.Second-1)/time.Second, 1)) }

// doorway is a listener that has front serve handshakes within Accept, and returns the
// other connections. It asks the system for itself, past package net: a connection that
// becomes a websocket costs an accept, a read and its registration at a ws.Poller,
// none of which makes Go wake a thread.
type doorway struct {
	front
	addr    net.Addr
	file    *os.File
	raw     syscall.RawConn
	options []option // handed down by the listener
	missing []option // those that are not
	probed  bool     // ... which is known
	buffer  []byte
}

// listenInFront is listen for connections that are not encrypted.
func (h heartbeats) listenInFront(addr string) (net.Listener, error) {
	l, err := listenOn(addr, net.ListenConfig{})
	if l == nil || err != nil {
		return nil, err
	}
	d, err := newDoorway(l.(*net.TCPListener), h.options())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return d, nil
}

// newDoorway takes the place of l, which it closes.
func newDoorway(l *net.TCPListener, options []option) (*doorway, error) {
	defer l.Close()
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	d := &doorway{addr: l.Addr(), file: file, raw: raw, options: options, buffer: make([]byte, handshakeRoom)}
	raw.Control(func(fd uintptr) {
		set(int(fd), append(options, option{syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, deferred}))
	})
	return d, nil
}

// Addr implements net.Listener.
func (d *doorway) Addr() net.Addr { return d.addr }

// Close implements net.Listener.
func (d *doorway) Close() error { return d.file.Close() }

// Accept implements net.Listener, for one caller at a time. Its errors are those of
// package net, after which net/http tries again or ends.
func (d *doorway) Accept() (net.Conn, error) {
	for {
		fd, remote, err := d.accept()
		if err != nil {
			return nil, err
		}
		d.prepare(fd)
		refusal, passed := d.pass(fd, remote)
		if passed {
			continue
		}
		c, err := d.conn(fd)
		switch {
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			return nil, d.failed(err)
		case err != nil: // it went away
			continue
		}
		if refusal != nil {
			d.leave(c, refusal)
		}
		return c, nil
	}
}

// accept waits for the next connection.
func (d *doorway) accept() (fd int, remote netip.AddrPort, err error) {
	var errno syscall.Errno
	err = d.raw.Read(func(l uintptr) bool {
		for {
			fd, remote, errno = acceptNow(l)
			switch errno {
			case syscall.EINTR, syscall.ECONNABORTED: // it went away
			case syscall.EAGAIN:
				return false
			default:
				return true
			}
		}
	})
	switch {
	case err != nil:
		return 0, remote, net.ErrClosed
	case errno != 0:
		return 0, remote, d.failed(os.NewSyscallError("accept4", errno))
	}
	return fd, remote, nil
}

// failed is an error as package net has it: net/http finds out what is temporary.
func (d *doorway) failed(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: d.addr, Err: err}
}

// acceptNow does not wait, so that the scheduler need not hear of it: see
// ws.Poller.
func acceptNow(l uintptr) (fd int, remote netip.AddrPort, errno syscall.Errno) {
	var a syscall.RawSockaddrAny
	size := uint32(syscall.SizeofSockaddrAny)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, l, uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, remote, errno
	}
	return int(r), addrPort(&a), 0
}

// addrPort is the address of a peer. One that has a zone is left to package net, which
// knows its name: it is invalid.
func addrPort(a *syscall.RawSockaddrAny) netip.AddrPort {
	switch a.Addr.Family {
	case syscall.AF_INET:
		p := (*syscall.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), port(p.Port))
	case syscall.AF_INET6:
		p := (*syscall.RawSockaddrInet6)(unsafe.Pointer(a))
		if p.Scope_id == 0 {
			return netip.AddrPortFrom(netip.AddrFrom16(p.Addr).Unmap(), port(p.Port))
		}
	}
	return netip.AddrPort{}
}

// port is one in the order of the network.
func port(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// prepare sets the options that are not handed down. The first connection tells which.
func (d *doorway) prepare(fd int) {
	if !d.probed {
		d.probed = true
		for _, o := range d.options {
			if got, err := syscall.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.value {
				d.missing = append(d.missing, o)
			}
		}
	}
	set(fd, d.missing)
}

// set sets options. A connection that refuses one is served all the same.
func set(fd int, options []option) {
	for _, o := range options {
		value := int32(o.value)
		syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name), uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	}
}

// pass serves a connection whose request has come and is a handshake. Else it leaves
// all as it is, the request unread, perhaps with an answer to it.
func (d *doorway) pass(fd int, remote netip.AddrPort) (refusal *answer, passed bool) {
	n := receive(fd, d.buffer, syscall.MSG_PEEK)
	if n <= 0 || !remote.IsValid() {
		return nil, false
	}
	r, size, ok := parseHandshake(string(d.buffer[:n]))
	if !ok || !d.quick(r) {
		return nil, false
	}
	r.RemoteAddr = remote.String()
	c := ws.NewSocket(fd, remote)
	return d.serve(c, r, func() {
		c.Control(func(fd uintptr) { receive(int(fd), d.buffer[:size], 0) })
	})
}

// receive reads what has come, without waiting. It is negative for an error.
func receive(fd int, b []byte, flags int) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(flags|syscall.MSG_DONTWAIT), 0, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}

// conn is the connection of a descriptor as package net has it, under another number. One
// that was reset meanwhile has no peer any more, and package net no address for it.
func (d *doorway) conn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	c, err := net.FileConn(f)
	switch {
	case err != nil:
		return nil, err
	case c.RemoteAddr() == nil:
		c.Close()
		return nil, syscall.ENOTCONN
	}
	if raw, err := c.(*net.TCPConn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { set(int(fd), d.options) }) // FileConn has set its own
	}
	return c, nil
}
