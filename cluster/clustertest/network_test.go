package clustertest

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// send sends packets of one byte, numbered from zero.
func send(t *testing.T, from, to *Host, count int) {
	t.Helper()
	for i := range count {
		if _, err := from.PacketConn().WriteTo([]byte{byte(i)}, net.UDPAddrFromAddrPort(to.Advertise())); err != nil {
			t.Fatal(err)
		}
	}
}

// receive counts the packets that come within a second.
func receive(h *Host) int {
	h.PacketConn().SetReadDeadline(time.Now().Add(time.Second))
	for n := 0; ; n++ {
		if _, _, err := h.PacketConn().ReadFrom(make([]byte, 100)); err != nil {
			return n
		}
	}
}

func TestPacketsTakeTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		synctest.Wait()
		n.SetDelay(h[0], h[1], 40*time.Millisecond)
		start := time.Now()
		send(t, h[0], h[1], 1)
		_, from, err := h[1].PacketConn().ReadFrom(make([]byte, 10))
		if err != nil || from.String() != "10.0.0.1:7946" || time.Since(start) != 40*time.Millisecond {
			t.Errorf("packet from %v, %v after %v", from, err, time.Since(start))
		}
	})
}

func TestPacketsVanish(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fault    func(n *Network, a, b *Host)
		min, max int
	}{
		{"never without a fault", func(*Network, *Host, *Host) {}, 1000, 1000},
		{"over a cut", func(n *Network, a, b *Host) { n.Cut(a, b) }, 0, 0},
		{"not over a cut of the way back", func(n *Network, a, b *Host) { n.Cut(b, a) }, 1000, 1000},
		{"not after a heal", func(n *Network, a, b *Host) { n.CutAll(); n.HealAll() }, 1000, 1000},
		{"between partitions", func(n *Network, a, b *Host) { n.Partition([]*Host{a}, []*Host{b}) }, 0, 0},
		{"not within one", func(n *Network, a, b *Host) { n.Partition([]*Host{a, b}, []*Host{n.Host("c")}) }, 1000, 1000},
		{"to a killed host", func(n *Network, a, b *Host) { b.Kill() }, 0, 0},
		{"by loss", func(n *Network, a, b *Host) { n.SetLoss(0.2) }, 700, 900},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, h := run(t, "a", "b", "c")
				synctest.Wait()
				tt.fault(n, h[0], h[1])
				send(t, h[0], h[1], 1000)
				if got := receive(h[1]); got < tt.min || got > tt.max {
					t.Errorf("%d of 1000 arrived, want %d to %d", got, tt.min, tt.max)
				}
			})
		})
	}
}

func TestPacketLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		synctest.Wait()
		send(t, h[0], h[1], maxUnread+1)
		time.Sleep(time.Second)
		if got := receive(h[1]); got != maxUnread {
			t.Errorf("%d packets were kept, want %d", got, maxUnread)
		}
		to := net.UDPAddrFromAddrPort(h[1].Advertise())
		if _, err := h[0].PacketConn().WriteTo(make([]byte, maxPacket), to); err != nil {
			t.Errorf("largest packet: %v", err)
		}
		if _, err := h[0].PacketConn().WriteTo(make([]byte, maxPacket+1), to); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("too large a packet: %v", err)
		}
	})
}

func TestFlyingPacketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		synctest.Wait()
		h[1].packets.flying.Store(maxFlying - 1)
		send(t, h[0], h[1], 2)
		if got := receive(h[1]); got != 1 {
			t.Errorf("%d arrived, want the one there was room for", got)
		}
	})
}

func TestClosingThePacketConnEndsGossip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		time.AfterFunc(time.Second, func() { h[1].PacketConn().Close() })
		if _, err := h[1].AcceptGossip(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("AcceptGossip: %v", err)
		}
		if _, err := h[0].DialGossip(t.Context(), "b:7946"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("DialGossip: %v, want refused", err)
		}
		dial(t, h[0], h[1]) // links go on
	})
}

func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		n.Host("off")
		var dns *net.DNSError
		for _, tt := range []struct {
			addr string
			ok   func(error) bool
		}{
			{"nowhere:7946", func(err error) bool { return errors.As(err, &dns) && dns.IsNotFound }},
			{"10.9.9.9:7946", func(err error) bool { return errors.Is(err, syscall.EHOSTUNREACH) }},
			{"10.0.0.2:80", func(err error) bool { return errors.Is(err, syscall.EHOSTUNREACH) }},
			{"off:7946", func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
			{"a", func(err error) bool { return err != nil }},
			{"a:99999", func(err error) bool { return err != nil }},
		} {
			if c, err := h[0].DialLink(t.Context(), tt.addr); c != nil || !tt.ok(err) {
				t.Errorf("dial %s: %v, %v", tt.addr, c, err)
			}
		}
	})
}

func TestDialOverACutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		for _, way := range [][]*Host{{h[0], h[1]}, {h[1], h[0]}} {
			n.Cut(way[0], way[1])
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			_, err := h[0].DialLink(ctx, "b:7946")
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != 3*time.Second {
				t.Errorf("dial: %v after %v, want a timeout after 3s", err, time.Since(start))
			}
			time.AfterFunc(time.Second, func() { n.Heal(way[0], way[1]) })
			start = time.Now()
			dial(t, h[0], h[1])
			if got := time.Since(start); got != time.Second+2*DefaultDelay {
				t.Errorf("dial took %v, want until the heal at 1s", got)
			}
		}
	})
}

func TestDialWaitsForItsOwnHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := run(t, "b")
		a := n.Host("a")
		time.AfterFunc(time.Second, func() { go a.Run(t.Context()) })
		start := time.Now()
		if _, err := a.DialLink(t.Context(), "b:7946"); err != nil || time.Since(start) < time.Second {
			t.Errorf("dial: %v after %v", err, time.Since(start))
		}
	})
}

func TestFullBacklogDelaysDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		for range backlog {
			if _, err := h[0].DialLink(t.Context(), "b:7946"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := h[0].DialLink(ctx, "b:7946"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial beyond the backlog: %v", err)
		}
		h[1].AcceptLink()
		if _, err := h[0].DialLink(t.Context(), "b:7946"); err != nil {
			t.Errorf("dial with room again: %v", err)
		}
	})
}

func TestRestartKeepsTheAddressAndTheCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := run(t, "a", "b")
		if n.Host("b") != h[1] {
			t.Error("a host that is up is another at the second call")
		}
		n.Cut(h[0], h[1])
		h[1].Kill()
		b := n.Host("b")
		if b == h[1] || b.Advertise() != h[1].Advertise() {
			t.Errorf("restarted at %v, was %v", b.Advertise(), h[1].Advertise())
		}
		go b.Run(t.Context())
		synctest.Wait()
		send(t, h[0], b, 1)
		if got := receive(b); got != 0 {
			t.Error("the restart healed a cut")
		}
		n.HealAll()
		send(t, h[0], b, 1)
		if got := receive(b); got != 1 {
			t.Error("no packet reaches the restarted host")
		}
		dial(t, h[0], b)
	})
}

func TestAddressesAreGivenOnce(t *testing.T) {
	n := NewNetwork(1)
	seen := make(map[string]bool)
	for i := range 600 {
		h := n.Host("h" + string(rune('A'+i)))
		if seen[h.Advertise().String()] {
			t.Fatalf("%v was given twice", h.Advertise())
		}
		seen[h.Advertise().String()] = true
	}
}

func TestLookup(t *testing.T) {
	n := NewNetwork(1)
	n.Host("a")
	if got, err := n.Lookup(t.Context(), "a"); err != nil || len(got) != 1 || got[0].String() != "10.0.0.1" {
		t.Errorf("Lookup(a) = %v, %v", got, err)
	}
	var dns *net.DNSError
	if _, err := n.Lookup(t.Context(), "b"); !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("Lookup(b): %v", err)
	}
}

func TestReadDeadlineOfPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a")
		h[0].PacketConn().SetDeadline(time.Now().Add(time.Second))
		if _, _, err := h[0].PacketConn().ReadFrom(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

func TestStreamsOfHTTPAndTheEndOfTheirAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := run(t, "a", "b")
		near, err := h[0].DialHTTP(t.Context(), "b:7946")
		if err != nil {
			t.Fatal(err)
		}
		far, err := h[1].AcceptHTTP(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, near, "hello")
		if got, _ := mustRead(t, far, 5); got != "hello" {
			t.Errorf("got %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h[1].AcceptHTTP(ctx); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after its context: %v", err)
		}
		near.Close()
		far.Close()
	})
}
