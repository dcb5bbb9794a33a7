//go:build amd64 || arm64

package web

import (
	"io"
	"net"
	"testing"
)

// reset is a connection that has sent text and was reset before anybody accepts it.
func reset(t *testing.T, addr net.Addr, text string) {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, text)
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// A client that is gone before it is accepted has no address any more, which what
// counts, limits and logs connections wants to know: nobody has it.
func TestConnectionsThatWereResetAreNotReturned(t *testing.T) {
	h := heartbeats{}
	l, err := h.listenInFront("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reset(t, l.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	there := dial(t, l.Addr())
	io.WriteString(there, "x")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr() == nil || c.RemoteAddr().String() != there.LocalAddr().String() {
		t.Errorf("the address is %v, want %v", c.RemoteAddr(), there.LocalAddr())
	}
}

// A node that is full closes the newest connection, and says whose it was.
func TestConnectionsThatWereResetEndNothingWhenThereIsNoRoom(t *testing.T) {
	s := fronted(t, Config{})
	s.gate.mu.Lock()
	s.gate.max = 1
	s.gate.mu.Unlock()
	first := dial(t, s.Addr())
	io.WriteString(first, connectRequest)
	await(t, first, `0{"sid":`)
	for range 50 {
		reset(t, s.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	first.Write(masked("40"))
	await(t, first, "40{")
}
