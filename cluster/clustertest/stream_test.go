package clustertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// run puts hosts of these names on a new network until the bubble's test ends.
func run(t *testing.T, names ...string) (*Network, []*Host) {
	t.Helper()
	n := NewNetwork(1)
	var hosts []*Host
	for _, name := range names {
		h := n.Host(name)
		h.SetNode(name + "@boot")
		hosts = append(hosts, h)
		go h.Run(t.Context())
	}
	return n, hosts
}

// dial opens a link from a to b.
func dial(t *testing.T, a, b *Host) (net.Conn, net.Conn) {
	t.Helper()
	near, err := a.DialLink(t.Context(), b.Advertise().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := b.AcceptLink()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// mustRead reads exactly n bytes and tells when they were there.
func mustRead(t *testing.T, c net.Conn, n int) (string, time.Time) {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b), time.Now()
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func TestStreamsAreRealConns(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		_, h := run(t, "a", "b")
		near, err := h[0].DialLink(t.Context(), "b:7946")
		if err != nil {
			return nil, nil, nil, err
		}
		far, err := h[1].AcceptLink()
		return near, far, func() { near.Close(); far.Close() }, err
	})
}

func TestStreamTakesTheDelayOfEachDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		n.SetDelay(h[0], h[1], 30*time.Millisecond)
		n.SetDelay(h[1], h[0], 5*time.Millisecond)
		start := time.Now()
		near, far := dial(t, h[0], h[1])
		if got := time.Since(start); got != 35*time.Millisecond {
			t.Errorf("dial took %v, want a round trip of 35ms", got)
		}
		start = time.Now()
		mustWrite(t, near, "there")
		mustWrite(t, far, "back")
		if got, at := mustRead(t, near, 4); got != "back" || at.Sub(start) != 5*time.Millisecond {
			t.Errorf("got %q after %v, want back after 5ms", got, at.Sub(start))
		}
		if got, at := mustRead(t, far, 5); got != "there" || at.Sub(start) != 30*time.Millisecond {
			t.Errorf("got %q after %v, want there after 30ms", got, at.Sub(start))
		}
	})
}

func TestShorterDelayDoesNotReorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		n.SetDelay(h[0], h[1], time.Second)
		mustWrite(t, near, "slow ")
		n.SetDelay(h[0], h[1], time.Millisecond)
		mustWrite(t, near, "fast")
		if got, _ := mustRead(t, far, 9); got != "slow fast" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPeerNameIsTheOtherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		type named interface{ PeerName() string }
		if got := near.(named).PeerName(); got != "b@boot" {
			t.Errorf("dialling end sees %q", got)
		}
		if got := far.(named).PeerName(); got != "a@boot" {
			t.Errorf("accepting end sees %q", got)
		}
	})
}

func TestWriterBlocksWhenNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := near.Write(make([]byte, bufferSize+1))
		if n != bufferSize || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("wrote %d, %v; want %d bytes and a timeout", n, err, bufferSize)
		}
		near.SetWriteDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { far.Read(make([]byte, 1)) })
		start := time.Now()
		mustWrite(t, near, "x")
		if got := time.Since(start); got != time.Second {
			t.Errorf("write went on after %v, want after the read at 1s", got)
		}
	})
}

func TestCutHoldsStreamsBackUntilHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		mustWrite(t, near, "before ")
		n.Cut(h[0], h[1])
		mustWrite(t, near, "while ")
		near.Close()
		mustWrite(t, far, "back")
		if got, _ := mustRead(t, far, 7); got != "before " {
			t.Errorf("got %q, want what was sent before the cut", got)
		}
		far.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := far.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read over a cut: %v", err)
		}
		far.SetReadDeadline(time.Time{})
		healed := time.Now()
		n.Heal(h[0], h[1])
		if got, at := mustRead(t, far, 6); got != "while " || at.Sub(healed) != DefaultDelay {
			t.Errorf("got %q %v after the heal", got, at.Sub(healed))
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v, want EOF behind what was held back", err)
		}
	})
}

func TestOneWayCutLeavesTheOtherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		n.Cut(h[0], h[1])
		mustWrite(t, far, "back")
		if got, _ := mustRead(t, near, 4); got != "back" {
			t.Errorf("got %q", got)
		}
	})
}

func TestCloseLetsTheOtherEndReadToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		mustWrite(t, near, "last words")
		near.Close()
		if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed end: %v, want EPIPE", err)
		}
		if _, err := near.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read on a closed end: %v", err)
		}
	})
}

func TestKillEndsStreamsAtBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		mustWrite(t, far, "sent before")
		h[1].Kill()
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the killed host still reads")
		}
		if got, err := io.ReadAll(near); string(got) != "sent before" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v; want what was sent, then a reset", got, err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v, want a reset", err)
		}
		start := time.Now()
		if _, err := h[0].DialLink(t.Context(), "b:7946"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v, want refused", err)
		}
		if got := time.Since(start); got != 2*DefaultDelay {
			t.Errorf("refused after %v, want one round trip", got)
		}
		if _, err := h[1].DialLink(t.Context(), "a:7946"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a killed host dials: %v", err)
		}
	})
}

func TestKillWakesABlockedWriterAndLosesWhatACutHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		n.Cut(h[1], h[0])
		mustWrite(t, far, "never")
		h[1].Kill()
		time.AfterFunc(time.Second, func() { n.Heal(h[1], h[0]) })
		start := time.Now()
		if _, err := near.Write(make([]byte, bufferSize+1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v, want a reset", err)
		}
		if got := time.Since(start); got != time.Second+DefaultDelay {
			t.Errorf("the reset came after %v, want after the heal", got)
		}
		if got, err := io.ReadAll(near); len(got) > 0 || err == nil {
			t.Errorf("read %q, %v; want only a reset", got, err)
		}
	})
}

func TestResetBreaksStreamsBetweenTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b", "c")
		near, far := dial(t, h[0], h[1])
		other, _ := dial(t, h[0], h[2])
		mustWrite(t, near, "lost")
		h[1].Reset(h[0])
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v, want a reset", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v, want a reset", err)
			}
		}
		mustWrite(t, other, "x")
	})
}

func TestLargeTransferArrivesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, far := dial(t, h[0], h[1])
		want := make([]byte, 5*bufferSize+17)
		for i := range want {
			want[i] = byte(i * 31 >> 3)
		}
		go func() {
			near.Write(want)
			near.Close()
		}()
		if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(want))
		}
	})
}

func TestRunEndsWhatTheHostHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(1)
		a, b := n.Host("a"), n.Host("b")
		ctx, cancel := context.WithCancel(t.Context())
		go a.Run(t.Context())
		go b.Run(ctx)
		near, _ := dial(t, a, b)
		cancel()
		if _, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v, want EOF", err)
		}
		if _, err := b.AcceptLink(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("AcceptLink: %v", err)
		}
		if _, err := b.AcceptGossip(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("AcceptGossip: %v", err)
		}
		if _, _, err := b.PacketConn().ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom: %v", err)
		}
	})
}
