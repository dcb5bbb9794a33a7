//go:build linux

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

// narrow are both ends of a link whose socket takes little at a time.
func narrow(t *testing.T) (from, to *Conn) {
	from, to = connect(t, protocols[1], start(t, node("a@1")), start(t, node("b@2")))
	from.NetConn().(*net.TCPConn).SetWriteBuffer(4 << 10)
	to.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	return from, to
}

// fill writes parts without waiting until the socket takes no more, and gives what it has written.
func fill(t *testing.T, c *Conn) (sent []byte) {
	t.Helper()
	for i := range 1000 {
		part := bytes.Repeat([]byte{byte(i)}, 10_000)
		if !c.BeginNow() {
			t.Fatal("BeginNow is false though nothing is left")
		}
		n, err := c.Write(part)
		left := c.EndNow()
		if sent = append(sent, part...); n != len(part) || err != nil {
			t.Fatalf("Write gives %d, %v", n, err)
		}
		if left > 0 {
			return sent
		}
	}
	t.Fatal("the socket is never full")
	return nil
}

// What the socket has taken a part of must be finished before anything else goes out.
func TestCutRecordIsFinishedFirst(t *testing.T) {
	for name, finish := range map[string]func(*Conn) error{
		"by Flush": (*Conn).Flush,
		"by Write": func(*Conn) error { return nil },
	} {
		from, to := narrow(t)
		sent := fill(t, from)
		if from.BeginNow() {
			t.Fatal(name + ": BeginNow is true while something is left")
		}
		failed := make(chan error, 1)
		go func() {
			err := finish(from)
			_, werr := from.Write([]byte("behind"))
			failed <- errors.Join(err, werr)
		}()
		want := append(sent, "behind"...)
		got := make([]byte, len(want))
		to.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: the other end did not read what was written: %v", name, err)
		}
		if err := <-failed; err != nil {
			t.Fatal(name, err)
		}
		if !from.BeginNow() {
			t.Error(name + ": BeginNow is false though all is out")
		}
	}
}

// Nobody waits for the socket in BeginNow, though TLS itself may be writing.
func TestBeginNowDoesNotWaitForAWriteThatWaits(t *testing.T) {
	from, to := narrow(t)
	done := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, 20<<20))
		done <- err
	}()
	eventually(t, "a write waits", func() bool {
		is := from.BeginNow()
		if is {
			from.EndNow()
		}
		return !is
	})
	from.NetConn().Close()
	if err := <-done; err == nil {
		t.Error("a write to a closed socket succeeds")
	}
	to.NetConn().Close()
}

// TLS may write by itself meanwhile, such as the answer to a change of keys: it gets behind
// what is left, before or after EndNow.
func TestOutletKeepsTheOrderOfItsWriters(t *testing.T) {
	from, to := narrow(t)
	raw := from.out
	var want []byte
	for i := byte(0); ; i++ {
		part := bytes.Repeat([]byte{i}, 10_000)
		if !raw.begin() {
			t.Fatal("begin is false")
		}
		raw.Write(part)
		want = append(want, part...)
		if len(raw.rest) > 0 {
			break
		}
		raw.end()
	}
	got := make([]byte, len(want), len(want)+11)
	to.NetConn().SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(to.NetConn(), got[:len(want)-len(raw.rest)]); err != nil { // now there is room again
		t.Fatal(err)
	}
	early := len(want) - len(raw.rest)
	raw.Write([]byte("second"))
	left := raw.end()
	if left < len("second")+1 || left > 10_006 {
		t.Fatalf("%d bytes are left", left)
	}
	go raw.Write([]byte("third"))
	want = append(want, "secondthird"...)
	got = got[:len(want)]
	if _, err := io.ReadFull(to.NetConn(), got[early:]); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the other end did not read what was written: %v", err)
	}
}

// A peer that does not read holds up nobody who closes: there is no word of TLS within a record.
func TestCloseAfterACutRecordDoesNotWait(t *testing.T) {
	from, _ := narrow(t)
	fill(t, from)
	flushed := make(chan error, 1)
	go func() { flushed <- from.Flush() }()
	from.SetDeadline(time.Unix(1, 0))
	start := time.Now()
	from.Close()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-flushed; err == nil {
		t.Error("Flush says that all is out")
	}
}

func TestWriteNowToADeadSocketIsAnErrorOfFlush(t *testing.T) {
	from, to := narrow(t)
	to.NetConn().(*net.TCPConn).SetLinger(0)
	to.NetConn().Close()
	left := 0
	eventually(t, "a write leaves something", func() bool {
		if !from.BeginNow() {
			return true
		}
		from.Write([]byte("a"))
		left = from.EndNow()
		return left > 0
	})
	if err := from.Flush(); err == nil {
		t.Error("Flush to a dead socket succeeds")
	}
}

// A link reads past its socket's net.Conn, and ends as if it did not.
func TestReadHeedsDeadlinesAndTheEnd(t *testing.T) {
	from, to := narrow(t)
	b := make([]byte, 10)
	to.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := to.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want a deadline's", err)
	}
	to.SetReadDeadline(time.Time{})
	from.Write([]byte("abc"))
	if n, err := to.Read(b); string(b[:n]) != "abc" || err != nil {
		t.Errorf("after the deadline: %q, %v", b[:n], err)
	}
	from.NetConn().(*net.TCPConn).CloseWrite()
	if _, err := to.Read(b); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an end", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := from.Read(make([]byte, 1))
		ended <- err
	}()
	from.NetConn().Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want %v", err, net.ErrClosed)
	}
}

// The system tells of a reset once: who reads past the net.Conn has to pass it on, or the link seems to
// have ended in order.
func TestReadTellsOfAReset(t *testing.T) {
	from, to := narrow(t)
	from.NetConn().(*net.TCPConn).SetLinger(0)
	from.NetConn().Close()
	if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want %v", err, syscall.ECONNRESET)
	}
}

// A word of TLS behind a part of a record would be read as the rest of that.
func TestCloseWriteAfterACutRecordAddsNothing(t *testing.T) {
	from, to := narrow(t)
	from.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)) // enough for a busy machine to fill what the system takes
	if n, err := from.Write(make([]byte, 1<<20)); err == nil {
		t.Fatalf("%d bytes are out", n)
	}
	start := time.Now()
	from.CloseWrite()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("CloseWrite took %v", took)
	}
	to.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, to); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an end within a record", err)
	}
}
