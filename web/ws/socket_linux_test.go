package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// socketPair is a Socket and the other end of its connection.
func socketPair(t *testing.T) (*Socket, net.Conn) {
	t.Helper()
	l, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(l)
	if err := errors.Join(syscall.Bind(l, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(l, 1)); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*syscall.SockaddrInet4).Port})
	if err != nil {
		t.Fatal(err)
	}
	fd, _, err := syscall.Accept4(l, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSocket(fd, netip.MustParseAddrPort(far.LocalAddr().String()))
	t.Cleanup(func() { s.Close(); far.Close() })
	return s, far
}

// fill writes until the other end, which does not read, takes no more.
func fill(t *testing.T, s *Socket) {
	t.Helper()
	s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := s.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a write that nobody reads: %v, want the deadline", err)
	}
}

func TestSocketCarriesWhatIsWritten(t *testing.T) {
	s, far := socketPair(t)
	want := bytes.Repeat([]byte("0123456789"), 1<<20) // more than the system takes at once
	var both sync.WaitGroup
	both.Go(func() {
		if n, err := s.Write(want); n != len(want) || err != nil {
			t.Errorf("%d bytes were written: %v", n, err)
		}
		s.Close()
	})
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came (%v), want %d", len(got), err, len(want))
	}
	both.Wait()
}

func TestSocketReadsUntilTheEnd(t *testing.T) {
	s, far := socketPair(t)
	go func() { io.WriteString(far, "hello"); far.Close() }()
	if got, err := io.ReadAll(s); err != nil || string(got) != "hello" {
		t.Errorf("%q came (%v)", got, err)
	}
}

func TestDeadlinesOfASocketStopWhoWaits(t *testing.T) {
	s, _ := socketPair(t)
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := s.Read(make([]byte, 1))
	var network *net.OpError
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &network) || !network.Timeout() {
		t.Errorf("read: %v, want a timeout of package net", err)
	}
	fill(t, s)
	s.SetDeadline(time.Time{})
	stopped := make(chan error, 2)
	go func() { _, err := s.Write(make([]byte, 64<<20)); stopped <- err }()
	go func() { _, err := s.Read(make([]byte, 1)); stopped <- err }()
	s.SetDeadline(time.Unix(1, 0))
	for range 2 {
		if err := <-stopped; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline in the past: %v", err)
		}
	}
	if causeOf(err) != CauseSlow {
		t.Errorf("%v is cause %d, want CauseSlow", err, causeOf(err))
	}
	if n, err := s.Write([]byte("x")); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write behind its deadline: %d bytes, %v", n, err)
	}
}

func TestCloseOfASocketStopsWhoWaits(t *testing.T) {
	s, _ := socketPair(t)
	fill(t, s)
	s.SetDeadline(time.Time{})
	stopped := make(chan error, 2)
	go func() { _, err := s.Write(make([]byte, 64<<20)); stopped <- err }()
	go func() { _, err := s.Read(make([]byte, 1)); stopped <- err }()
	time.Sleep(10 * time.Millisecond) // so that they wait, mostly
	s.Close()
	for range 2 {
		if err := <-stopped; !errors.Is(err, net.ErrClosed) || causeOf(err) != CauseLost {
			t.Errorf("closed: %v, want net.ErrClosed", err)
		}
	}
	for name, err := range map[string]error{
		"Control": s.Control(func(uintptr) { t.Error("a closed descriptor was used") }), "Close": s.Close(),
		"SetDeadline": s.SetDeadline(time.Time{}),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s of a closed socket: %v, want net.ErrClosed", name, err)
		}
	}
}

// The number of a descriptor may be another connection's as soon as it is closed.
func TestSocketIsClosedOnceNobodyUsesIt(t *testing.T) {
	s, far := socketPair(t)
	s.Control(func(fd uintptr) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := syscall.Getsockname(int(fd)); err != nil {
			t.Errorf("closed while it is used: %v", err)
		}
	})
	far.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end reads %v, want EOF", err)
	}
	var users sync.WaitGroup
	s, _ = socketPair(t)
	for range 4 {
		users.Go(func() {
			for s.Control(func(fd uintptr) {
				if _, err := syscall.Getsockname(int(fd)); err != nil {
					t.Errorf("closed while it is used: %v", err)
				}
			}) == nil {
			}
		})
	}
	s.Close()
	users.Wait()
}

func TestSocketWhoseOtherEndIsGoneIsLost(t *testing.T) {
	s, far := socketPair(t)
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	for range 100 { // until the reset is here
		if _, err := s.Write([]byte("x")); err != nil {
			if causeOf(err) != CauseLost {
				t.Errorf("%v is cause %d, want CauseLost", err, causeOf(err))
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("writes to nobody succeed")
}

// hijackable is an http.ResponseWriter whose connection is a Socket.
type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, nil, nil }

// Handshakes are answered one after the other: a system that is short of memory for one
// connection must not keep the others from being accepted.
func TestAnswerToAHandshakeWaitsForNoSocket(t *testing.T) {
	for range 10 { // on a busy machine the other end may make room after all
		s := fullSocket(t)
		started := time.Now()
		_, err := Accept(hijackable{httptest.NewRecorder(), s}, handshake(), &Config{WriteTimeout: 3 * time.Second})
		if took := time.Since(started); took > time.Second {
			t.Fatalf("took %v (%v), want an error at once", took, err)
		}
		if err == nil {
			continue
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection is left open: %v", err)
		}
		return
	}
	t.Error("10 handshakes were answered on sockets that are full")
}

// fullSocket takes nothing more, as its other end reads nothing.
func fullSocket(t *testing.T) net.Conn {
	s, far := socketPair(t)
	far.(*net.TCPConn).SetReadBuffer(4 << 10) // does not grow later on
	fill(t, s)
	for full := 0; full < 3; full++ { // what the other end takes late makes room again
		s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if n, _ := s.Write(make([]byte, 64<<10)); n > 0 {
			full = 0
		}
	}
	s.SetWriteDeadline(time.Time{})
	return s
}
