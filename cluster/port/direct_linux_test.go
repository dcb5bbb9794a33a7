//go:build !race

package port

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// directPair is two ends of a TCP connection.
func directPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	y, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a, b = directly(x), directly(y)
	if _, ok := a.(*direct); !ok {
		t.Fatalf("%T is not direct", a)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// More than the kernel takes at once goes out as the reader reads.
func TestADirectWriteIsWhole(t *testing.T) {
	a, b := directPair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	wrote := make(chan error, 1)
	go func() {
		n, err := a.Write(want)
		if err == nil && n != len(want) {
			err = io.ErrShortWrite
		}
		a.(*direct).CloseWrite()
		wrote <- err
	}()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, len(want))
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// Deadlines, closing and errors are those of net.
func TestDirectConnectionsEndAsOthersDo(t *testing.T) {
	one := make([]byte, 1)
	a, b := directPair(t)
	a.SetDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := a.Read(one)
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read beyond the deadline: %v", err)
	}
	if _, err = a.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write beyond the deadline: %v", err)
	}
	a.SetDeadline(time.Time{})
	read := make(chan error, 1)
	go func() {
		_, err := a.Read(one)
		read <- err
	}()
	a.Close()
	var op *net.OpError
	if err = <-read; !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("read of a connection that is closed: %v", err)
	}
	if _, err = a.Write(one); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to it: %v", err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
	a, b = directPair(t)
	a.(*direct).SetLinger(0)
	a.Close()
	if _, err = b.Read(one); !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) {
		t.Errorf("read of a connection that was reset: %v", err)
	}
	if _, err = b.Write(one); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to it: %v", err)
	}
}
