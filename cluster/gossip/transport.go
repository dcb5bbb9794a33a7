package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxDatagram = 65_536 // bytes
	// acceptGrace is how long Shutdown waits for AcceptGossip to end.
	acceptGrace = 100 * time.Millisecond
	minBackoff  = 5 * time.Millisecond
	maxBackoff  = time.Second
)

// transport is memberlist's view of a Network. Its goroutines start with it and
// end in Shutdown.
type transport struct {
	net     Network
	count   *counters
	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
	packets chan *memberlist.Packet
	arrived chan net.Conn
	streams streams
	reader  sync.WaitGroup
	accepts chan struct{} // closed when AcceptGossip has ended

	mu    sync.Mutex
	fails map[string]error // of the dials that someone watches, by address
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(n Network, c *counters) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &transport{
		net: n, count: c, ctx: ctx, cancel: cancel,
		packets: make(chan *memberlist.Packet),
		arrived: make(chan net.Conn),
		streams: streams{open: make(map[*stream]struct{})},
		accepts: make(chan struct{}),
		fails:   make(map[string]error),
	}
	t.reader.Go(t.readPackets)
	go t.acceptStreams() // ends with accepts, see Shutdown
	return t
}

// FinalAdvertiseAddr is what other nodes are told; the arguments are unused
// settings of memberlist.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	a := t.net.Advertise()
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || a.Port() == 0 {
		return nil, 0, fmt.Errorf("address %v cannot be advertised", a)
	}
	return ip.AsSlice(), int(a.Port()), nil
}

// PacketCh and StreamCh are read until memberlist has shut down.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.arrived }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err == nil {
		_, err = t.net.PacketConn().WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	if err != nil {
		t.count.packetErrors.Add(1)
		// memberlist asks for exactly this type: after any other error it takes
		// the fault for its own, and a node that no packet can be sent to would
		// be alive for ever.
		return time.Time{}, &net.OpError{Op: "write", Net: "udp", Err: err}
	}
	t.count.packetsOut.Add(1)
	return time.Now(), nil
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.net.DialGossip(ctx, addr)
	if err != nil {
		t.failed(addr, err)
		return nil, err
	}
	s, err := t.streams.add(c, false)
	if err != nil {
		return nil, err // not the nil *stream in an interface
	}
	s.SetDeadline(time.Now().Add(timeout)) // memberlist writes the label without one
	return s, nil
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// watch keeps the error of dials to addr until unwatch, because memberlist makes
// text of it.
func (t *transport) watch(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fails[addr] = nil
}

func (t *transport) unwatch(addr string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.fails[addr]
	delete(t.fails, addr)
	return err
}

func (t *transport) failed(addr string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, watched := t.fails[addr]; watched {
		t.fails[addr] = err
	}
}

// Shutdown ends everything, also what memberlist's goroutines wait for. It
// returns when the transport's own have ended; only a Network that does not end
// AcceptGossip keeps one.
func (t *transport) Shutdown() error {
	t.cancel()
	t.net.PacketConn().SetReadDeadline(time.Unix(1, 0)) // the network may ignore Close
	t.net.PacketConn().Close()
	t.streams.close()
	t.reader.Wait()
	select {
	case <-t.accepts:
	case <-time.After(acceptGrace):
	}
	return nil
}

func (t *transport) readPackets() {
	conn, buf, wait := t.net.PacketConn(), make([]byte, maxDatagram), backoff{}
	for t.ctx.Err() == nil {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			t.count.packetErrors.Add(1)
			wait.sleep(t.ctx)
		case n > 0:
			wait = backoff{}
			t.count.packetsIn.Add(1)
			t.hand(&memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()})
		}
	}
}

func (t *transport) hand(p *memberlist.Packet) {
	select {
	case t.packets <- p:
	case <-t.ctx.Done():
	}
}

func (t *transport) acceptStreams() {
	defer close(t.accepts)
	var wait backoff
	for t.ctx.Err() == nil {
		c, err := t.net.AcceptGossip()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			wait.sleep(t.ctx)
		default:
			wait = backoff{}
			t.take(c)
		}
	}
}

// take gives a stream to memberlist, which may have stopped to ask for any.
func (t *transport) take(c net.Conn) {
	s, err := t.streams.add(c, true)
	if err != nil {
		t.count.streamsRefused.Add(1)
		return
	}
	select {
	case t.arrived <- s:
	case <-t.ctx.Done():
		s.Close()
	}
}

// backoff waits longer after every failure in a row.
type backoff struct{ next time.Duration }

func (b *backoff) sleep(ctx context.Context) {
	b.next = min(max(2*b.next, minBackoff), maxBackoff)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
