//go:build !386 && !s390x

package port

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

// datagrams reads and writes a UDP socket as rawSocket does TCP: Go's scheduler is not told of
// the system calls, so that none wakes the thread that watches over them. Gossip makes some
// twenty a second in a node that does nothing else. One goroutine receives; any may send.
type datagrams struct {
	udp  *net.UDPConn
	raw  syscall.RawConn // nil: package net does it all
	six  bool            // of the family AF_INET6
	in   incoming
	mu   sync.Mutex // guards out
	out  outgoing
	wait func(fd uintptr) bool
	now  func(fd uintptr)
}

type incoming struct {
	b    []byte
	n    int
	err  syscall.Errno
	from syscall.RawSockaddrAny

	scope uint32 // of the last zone that was looked up, and its name
	zone  string
}

type outgoing struct {
	b    []byte
	to   [syscall.SizeofSockaddrInet6]byte
	size uintptr // of to
	sent bool
}

func newDatagrams(udp *net.UDPConn) *datagrams {
	d := &datagrams{udp: udp}
	d.wait, d.now = d.in.receive, d.out.send
	raw, err := udp.SyscallConn()
	if err != nil {
		return d
	}
	raw.Control(func(fd uintptr) { // fails when closed
		sa, err := syscall.Getsockname(int(fd))
		if err != nil {
			return
		}
		switch sa.(type) {
		case *syscall.SockaddrInet4:
			d.raw = raw
		case *syscall.SockaddrInet6:
			d.raw, d.six = raw, true
		}
	})
	return d
}

// receive waits for a datagram. From is as the socket has it.
func (d *datagrams) receive(b []byte) (n int, from netip.AddrPort, err error) {
	if d.raw == nil || len(b) == 0 {
		return d.udp.ReadFromUDPAddrPort(b)
	}
	d.in.b = b
	err = d.raw.Read(d.wait)
	d.in.b = nil
	switch {
	case err != nil:
		return 0, from, err
	case d.in.err != 0:
		return 0, from, os.NewSyscallError("recvfrom", d.in.err)
	}
	return d.in.n, d.in.sender(), nil
}

func (i *incoming) receive(fd uintptr) (done bool) {
	for {
		size := uint32(syscall.SizeofSockaddrAny)
		n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&i.b[0])), uintptr(len(i.b)),
			0, uintptr(unsafe.Pointer(&i.from)), uintptr(unsafe.Pointer(&size)))
		if err == syscall.EINTR {
			continue
		}
		if i.n, i.err = int(n), err; err != 0 {
			i.n = 0
		}
		raceHasRead()
		return err != syscall.EAGAIN
	}
}

// sender is who sent the datagram.
func (i *incoming) sender() netip.AddrPort {
	sa := &i.from
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch sa.Addr.Family {
	case syscall.AF_INET:
		four := (*syscall.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port(&four.Port))
	case syscall.AF_INET6:
		six := (*syscall.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(six.Addr).WithZone(i.zoneOf(six.Scope_id)), port(&six.Port))
	}
	return netip.AddrPort{}
}

// zoneOf is the name of an interface, or its number if it has gone. To look it up asks the kernel for all of them,
// which strangers on the link are not to have us do for each datagram.
func (i *incoming) zoneOf(scope uint32) string {
	if scope == 0 {
		return ""
	}
	if scope != i.scope {
		i.scope, i.zone = scope, strconv.FormatUint(uint64(scope), 10)
		if at, err := net.InterfaceByIndex(int(scope)); err == nil {
			i.zone = at.Name
		}
	}
	return i.zone
}

// send sends b, or says what was wrong as package net does.
func (d *datagrams) send(b []byte, to netip.AddrPort) (int, error) {
	if d.trySend(b, to) {
		return len(b), nil
	}
	return d.udp.WriteToUDPAddrPort(b, to)
}

// trySend is false if the socket does not take b at once, or to is not plainly an address of its family.
func (d *datagrams) trySend(b []byte, to netip.AddrPort) bool {
	a := to.Addr()
	if d.raw == nil || len(b) == 0 || a.Zone() != "" || !a.IsValid() || !d.six && !a.Is4() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o := &d.out
	o.b, o.sent = b, false
	if o.to = [syscall.SizeofSockaddrInet6]byte{}; d.six {
		o.size = syscall.SizeofSockaddrInet6
		six := a.As16() // IPv4 within IPv6, if it is that
		binary.NativeEndian.PutUint16(o.to[:], syscall.AF_INET6)
		copy(o.to[8:], six[:]) // behind the port and the label of the flow
	} else {
		o.size = syscall.SizeofSockaddrInet4
		four := a.As4()
		binary.NativeEndian.PutUint16(o.to[:], syscall.AF_INET)
		copy(o.to[4:], four[:])
	}
	binary.BigEndian.PutUint16(o.to[2:], to.Port())
	d.raw.Control(d.now) // fails when closed
	o.b = nil
	return o.sent
}

func (o *outgoing) send(fd uintptr) {
	raceWrites()
	n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&o.b[0])), uintptr(len(o.b)),
		syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&o.to)), o.size)
	o.sent = err == 0 && int(n) == len(o.b)
}
