package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/meshrt/meshrt/bench"
)

// The floor is the least that a server can do: one thread that speaks just enough
// Socket.IO for the generator, trusts it, and for each message makes one frame and
// writes it once, without blocking, to each member of the room. It has no queues, no
// heartbeats, no limits and no cluster: only for measuring.

// floorBuffer limits what one read takes and so the frame of a publisher, in bytes.
const floorBuffer = 1 << 20

type floor struct {
	epoll  int
	listen int
	conns  map[int]*floorConn
	rooms  map[string][]int // descriptors
	buf    []byte
	frame  []byte
}

type floorConn struct {
	open bool
	rest []byte // of a request or frame that is not whole
}

// runFloor serves at addr until the process is ended.
func runFloor(addr string) error {
	f := &floor{conns: map[int]*floorConn{}, rooms: map[string][]int{}, buf: make([]byte, floorBuffer)}
	if err := f.bind(addr); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("floor: epoll: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == f.listen {
				f.accept()
			} else if err := f.read(int(e.Fd)); err != nil {
				f.leave(int(e.Fd))
			}
		}
	}
}

func (f *floor) bind(addr string) (err error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if f.listen, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Bind(f.listen, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}); err != nil {
		return err
	}
	if err := unix.Listen(f.listen, 4096); err != nil {
		return err
	}
	return f.watch(f.listen)
}

func (f *floor) watch(fd int) error {
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (f *floor) accept() {
	fd, _, err := unix.Accept4(f.listen, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return // it went away
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	f.conns[fd] = &floorConn{}
	_ = f.watch(fd)
}

func (f *floor) leave(fd int) {
	unix.Close(fd)
	delete(f.conns, fd)
	for room, members := range f.rooms {
		for i, m := range members {
			if m == fd {
				f.rooms[room] = append(members[:i:i], members[i+1:]...)
				break
			}
		}
	}
}

var errEnd = errors.New("the client ended")

func (f *floor) read(fd int) error {
	c := f.conns[fd]
	if c == nil {
		return nil // ended by an event before
	}
	held := copy(f.buf, c.rest)
	n, err := unix.Read(fd, f.buf[held:])
	if err == unix.EAGAIN {
		return nil
	}
	if n <= 0 || err != nil {
		return errEnd
	}
	b := f.buf[:held+n]
	for len(b) > 0 {
		n, err := f.step(fd, c, b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	c.rest = append(c.rest[:0], b...)
	return nil
}

// step takes the request, then one frame after the other.
func (f *floor) step(fd int, c *floorConn, b []byte) (n int, err error) {
	if !c.open {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			return 0, nil
		}
		c.open = true
		_, err := unix.Write(fd, upgrade(b[:end]))
		f.send(fd, `0{"sid":"f","upgrades":[],"pingInterval":3600000,"pingTimeout":3600000,"maxPayload":1000000}`)
		return end + 4, err
	}
	op, payload, n := clientFrame(b)
	if n == 0 {
		return 0, nil
	}
	if op == 8 {
		return 0, errEnd
	}
	return n, f.packet(fd, payload)
}

// packet answers what a client of the generator says.
func (f *floor) packet(fd int, p []byte) error {
	switch {
	case bytes.Equal(p, []byte("40")):
		f.send(fd, `40{"sid":"f"}`)
	case bytes.HasPrefix(p, []byte(`420["join"`)):
		var args []string
		if err := json.Unmarshal(p[3:], &args); err != nil || len(args) != 2 {
			return errEnd
		}
		f.rooms[args[1]] = append(f.rooms[args[1]], fd)
		f.send(fd, `430[]`)
	case bytes.HasPrefix(p, []byte(`42["publish","`)):
		room, rest, _ := bytes.Cut(p[len(`42["publish","`):], []byte(`",`))
		f.frame = appendServerFrame(f.frame[:0], `42[`, rest)
		for _, member := range f.rooms[string(room)] {
			rawSend(member, f.frame)
		}
	}
	return nil
}

// rawSend writes once; what is not taken is lost. It does not tell Go's scheduler.
func rawSend(fd int, b []byte) {
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
}

func (f *floor) send(fd int, text string) {
	_, _ = unix.Write(fd, appendServerFrame(nil, text, nil))
}

// upgrade is the answer to a request, RFC 6455 section 4.2.2.
func upgrade(request []byte) []byte {
	_, rest, _ := bytes.Cut(request, []byte("Sec-WebSocket-Key: "))
	key, _, _ := bytes.Cut(rest, []byte("\r\n"))
	sum := sha1.Sum([]byte(string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
}

// clientFrame reads the masked frame that b begins with and unmasks it in place.
// n is 0 when more must be read first. Frames of the generator are under 64 KiB.
func clientFrame(b []byte) (op byte, payload []byte, n int) {
	head := 6
	if len(b) < head {
		return 0, nil, 0
	}
	size := int(b[1] & 0x7f)
	if size == 126 {
		size, head = int(binary.BigEndian.Uint16(b[2:])), 8
	}
	if len(b) < head+size {
		return 0, nil, 0
	}
	mask, payload := b[head-4:head], b[head:head+size]
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	return b[0] & 0x0f, payload, head + size
}

// appendServerFrame appends a text frame of two parts, under 64 KiB.
func appendServerFrame(dst []byte, first string, rest []byte) []byte {
	n := len(first) + len(rest)
	if n < 126 {
		dst = append(dst, 0x81, byte(n))
	} else {
		dst = binary.BigEndian.AppendUint16(append(dst, 0x81, 126), uint16(n))
	}
	return append(append(dst, first...), rest...)
}

// startFloor starts the floor as a process of its own: one, for any number of nodes.
func startFloor(ctx context.Context, s *site) (*cluster, error) {
	addrs, err := s.addresses(1)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &cluster{protocol: bench.Meshrt, urls: []string{"http://" + addrs[0]}}
	p, err := c.add(spawn([]string{"GOMAXPROCS=1"}, program, "floor", addrs[0]))
	if err == nil {
		err = p.await(ctx, func() bool { return answers(addrs[0]) })
	}
	return c.started(err)
}
