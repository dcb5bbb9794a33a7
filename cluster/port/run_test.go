package port

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// TestMain checks that no goroutine is left.
func TestRunEndsEverything(t *testing.T) {
	p, peer := listen(t, patience(time.Minute)), start(t)
	stop := run(t, p)
	silent(t, p, "127.0.0.1", 3)
	var wg sync.WaitGroup
	wait := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v, want net.ErrClosed", what, err)
			}
		})
	}
	wait("AcceptGossip", func() error { _, err := p.AcceptGossip(); return err })
	wait("ReadFrom", func() error { _, _, err := p.PacketConn().ReadFrom(make([]byte, 1)); return err })
	waiting, err := peer.DialLink(soon(t), p.Advertise().String()) // nobody accepts it
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	wg.Go(func() {
		if _, err := p.AcceptHTTP(context.Background()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("AcceptHTTP: %v, want net.ErrClosed", err)
		}
	})
	ended, end := context.WithCancel(context.Background())
	end()
	wait("AcceptHTTP without time", func() error { _, err := p.AcceptHTTP(ended); return err })
	eventually(t, "it is queued", func() bool { return len(p.links) == 1 && p.Stats().Handshaking == 3 })
	stop()
	if n := p.Stats().Handshaking; n != 0 {
		t.Errorf("Run returned before %d of its goroutines", n)
	}
	wg.Wait()
	wait("AcceptGossip after", func() error { _, err := p.AcceptGossip(); return err })
	wait("AcceptLink after", func() error { _, err := p.AcceptLink(); return err })
	wait("DialGossip after", func() error { _, err := p.DialGossip(soon(t), peer.Advertise().String()); return err })
	wait("ReadFrom after", func() error { _, _, err := p.PacketConn().ReadFrom(make([]byte, 1)); return err })
	wait("WriteTo after", func() error {
		_, err := p.PacketConn().WriteTo([]byte("x"), net.UDPAddrFromAddrPort(peer.Advertise()))
		return err
	})
	wg.Wait()
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that nobody accepted stays open")
	}
	if n := rejected(p); n != 0 {
		t.Errorf("the end of Run counted %d refusals", n)
	}
	if again, err := Listen(config(bindTo(p.Advertise().String()))); err != nil {
		t.Errorf("the port is not free again: %v", err)
	} else {
		closeAll(again.socks)
	}
}

func TestRunWithAnEndedContextOnlyCloses(t *testing.T) {
	p := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := p.Run(ctx); err == nil {
		t.Error("a second Run has no error")
	}
}

func TestAcceptedConnectionsOutliveRun(t *testing.T) {
	p, peer := listen(t), start(t)
	stop := run(t, p)
	d, c := connect(t, protocols[1], peer, p)
	stop()
	exchange(t, d, c)
}

func TestClosingThePacketConnIsHarmless(t *testing.T) {
	p := start(t)
	if err := p.PacketConn().Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.PacketConn().WriteTo([]byte("x"), net.UDPAddrFromAddrPort(p.Advertise())); err != nil {
		t.Fatal(err)
	}
	receive(t, p)
}

func TestFullAcceptQueueClosesAndCounts(t *testing.T) {
	a, b := start(t), start(t, patience(time.Second))
	_, c := connect(t, protocols[1], a, b)
	for range acceptQueue {
		b.links <- c
	}
	late, err := a.DialLink(soon(t), b.Advertise().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	connect(t, protocols[0], a, b) // the full queue of links does not stop gossip
	eventually(t, "it is counted", func() bool { return b.Stats().Rejected["accept_queue_full"] == 1 })
	if _, err := late.Read(make([]byte, 1)); err == nil {
		t.Error("it stays open")
	}
}

func TestFullAcceptQueueIsWaitedFor(t *testing.T) {
	a, b := start(t), start(t, patience(time.Minute))
	_, c := connect(t, protocols[1], a, b)
	for range acceptQueue {
		b.links <- c
	}
	late, err := a.DialLink(soon(t), b.Advertise().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	eventually(t, "it waits with its slot", func() bool { s := b.Stats(); return s.Handshakes == 2 && s.Handshaking == 1 })
	for range acceptQueue {
		b.AcceptLink()
	}
	got, err := b.AcceptLink()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	exchange(t, late, got)
}
