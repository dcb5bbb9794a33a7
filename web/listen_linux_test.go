package web

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// The options are on the connections, not on the listener alone.
func TestKernelGivesUpClientsThatVanish(t *testing.T) {
	l, err := heartbeats{interval: 7 * time.Second, timeout: 6 * time.Second}.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for name, want := range map[int]int{tcpUserTimeout: 13_000, syscall.TCP_KEEPIDLE: 7, syscall.TCP_KEEPINTVL: 2, syscall.TCP_KEEPCNT: 3} {
			if got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, name); err != nil || got != want {
				t.Errorf("option %#x is %d (%v), want %d", name, got, err, want)
			}
		}
	})
}
