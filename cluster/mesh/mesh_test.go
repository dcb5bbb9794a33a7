package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/wire"
)

// hostNet lets accepting end with a context, as the cluster does.
type hostNet struct {
	*clustertest.Host
	conns chan net.Conn
}

func (h hostNet) AcceptLink(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-ctx.Done():
		return nil, net.ErrClosed
	}
}

// recorder is a Handler that notes what happens.
type recorder struct {
	mu    sync.Mutex
	log   []string
	up    map[wire.NodeID]*Link
	data  map[wire.NodeID][]uint64
	block chan struct{} // when set, HandleFrames waits for it
	slow  time.Duration // what a frame takes at least
	ready atomic.Int32  // calls of LinkReady
}

func (r *recorder) LinkUp(l *Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up[l.Peer().ID] != nil {
		r.log = append(r.log, "UP WHILE UP")
	}
	r.up[l.Peer().ID] = l
	r.log = append(r.log, fmt.Sprint("up ", uint64(l.Peer().ID)))
}

func (r *recorder) LinkDown(l *Link, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up[l.Peer().ID] != l {
		r.log = append(r.log, "DOWN OF ANOTHER LINK")
	}
	delete(r.up, l.Peer().ID)
	r.log = append(r.log, fmt.Sprint("down ", uint64(l.Peer().ID), ": ", err))
}

func (r *recorder) LinkReady(*Link, Lane) { r.ready.Add(1) }

func (r *recorder) HandleFrames(l *Link, fs []wire.Frame) error {
	for _, f := range fs {
		if err := r.handle(l, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) handle(l *Link, f wire.Frame) error {
	if r.block != nil {
		<-r.block
	}
	if r.slow > 0 {
		for start := time.Now(); time.Since(start) < r.slow; {
		}
		l.Send(wire.AppendNumber(nil, wire.KindIntAck, 1), true) // talks back meanwhile
	}
	var v uint64
	var err error
	if f.Kind() == wire.KindReply {
		var reply wire.Reply
		reply, err = wire.DecodeReply(f)
		v = reply.ID
	} else {
		v, err = wire.DecodeNumber(f, wire.KindIntAck)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data[l.Peer().ID] = append(r.data[l.Peer().ID], v)
	return nil
}

func (r *recorder) link(id wire.NodeID) *Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up[id]
}

func (r *recorder) got(id wire.NodeID) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64(nil), r.data[id]...)
}

type node struct {
	*recorder
	mesh *Mesh
	host *clustertest.Host
	stop context.CancelFunc
	done chan struct{}
}

type lab struct {
	t   *testing.T
	net *clustertest.Network
}

// start runs a mesh on a new host. IDs are small numbers.
func (b *lab) start(id wire.NodeID, change func(*Config)) *node {
	n := &node{recorder: &recorder{up: map[wire.NodeID]*Link{}, data: map[wire.NodeID][]uint64{}}, done: make(chan struct{})}
	n.host = b.net.Host(fmt.Sprint("n", uint64(id)))
	n.host.SetNode(fmt.Sprint("n", uint64(id), "@", id))
	cfg := Config{ID: id, Name: fmt.Sprint("n", uint64(id)), Addr: n.host.Advertise().String()}
	conns := make(chan net.Conn)
	cfg.Net = hostNet{n.host, conns}
	if change != nil {
		change(&cfg)
	}
	n.mesh = New(cfg, n)
	ctx, cancel := context.WithCancel(context.Background())
	hostCtx, stopHost := context.WithCancel(context.Background())
	n.stop = cancel
	var wg sync.WaitGroup
	wg.Go(func() { n.host.Run(hostCtx) })
	wg.Go(func() {
		for {
			c, err := n.host.AcceptLink()
			if err != nil {
				return
			}
			select {
			case conns <- c:
			case <-hostCtx.Done():
			}
		}
	})
	go func() {
		defer close(n.done)
		n.mesh.Run(ctx)
		stopHost()
		wg.Wait()
	}()
	b.t.Cleanup(func() { cancel(); <-n.done })
	return n
}

func (n *node) peer() Peer {
	return Peer{ID: n.mesh.cfg.ID, Name: n.mesh.cfg.Name, Addr: n.mesh.cfg.Addr}
}

// bubble runs f in virtual time on a network of its own.
func bubble(t *testing.T, f func(t *testing.T, b *lab)) {
	synctest.Test(t, func(t *testing.T) { f(t, &lab{t, clustertest.NewNetwork(1)}) })
}

// pass lets virtual time go by, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func linked(t *testing.T, a, b *node) {
	t.Helper()
	if a.link(b.mesh.cfg.ID) == nil || b.link(a.mesh.cfg.ID) == nil {
		t.Fatalf("not linked: %v, %v", a.log, b.log)
	}
}

func TestBothDialAndOneLinkStays(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(10 * time.Second)
		linked(t, x, y)
		if len(x.log) != 1 || len(y.log) != 1 {
			t.Errorf("more than one link: %v, %v", x.log, y.log)
		}
		if l := y.link(1); l.dialler != 1 {
			t.Errorf("the link of the higher id stays")
		}
	})
}

// TestLinkIsUpInTwoRoundTrips: nothing in the handshake waits for a timer.
func TestLinkIsUpInTwoRoundTrips(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		for _, p := range [][2]*node{{x, y}, {y, x}} {
			b.net.SetDelay(p[0].host, p[1].host, 10*time.Millisecond)
		}
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(41 * time.Millisecond)
		linked(t, x, y)
	})
}

func TestOnlyOneSideDials(t *testing.T) {
	for _, dialler := range []int{0, 1} {
		bubble(t, func(t *testing.T, b *lab) {
			n := []*node{b.start(1, nil), b.start(2, nil)}
			n[dialler].mesh.SetPeers([]Peer{n[1-dialler].peer()})
			pass(time.Second)
			linked(t, n[0], n[1])
		})
	}
}

// TestTheHigherIDWaitsWhileLinksComeUp: where many nodes meet, the others need longer
// than half a second to dial one of them all, and a second handshake with each helps nobody.
func TestTheHigherIDWaitsWhileLinksComeUp(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		dials := &dialCount{}
		last := b.start(9, func(c *Config) { dials.Network, c.Net = c.Net, dials })
		var others []*node
		var all []Peer
		for id := range wire.NodeID(5) {
			others = append(others, b.start(id+1, nil))
			all = append(all, others[id].peer())
		}
		last.mesh.SetPeers(all)
		for _, o := range others {
			o.mesh.SetPeers([]Peer{last.peer()})
			pass(400 * time.Millisecond)
		}
		for _, o := range others {
			linked(t, last, o)
		}
		if n := dials.all.Load(); n != 0 {
			t.Errorf("dialled %d of those that dialled it", n)
		}
	})
}

// TestTheHigherIDDialsInTheEnd: links that come up are no reason to wait for ever.
func TestTheHigherIDDialsInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		last, mute := b.start(99, nil), b.start(1, nil)
		last.mesh.SetPeers([]Peer{mute.peer()})
		for id := range wire.NodeID(20) {
			b.start(id+10, nil).mesh.SetPeers([]Peer{last.peer()})
			pass(200 * time.Millisecond)
		}
		linked(t, last, mute)
	})
}

// dialCount counts dials and how many are under way.
type dialCount struct {
	Network
	all, now, most atomic.Int32
}

func (d *dialCount) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	d.all.Add(1)
	d.most.Store(max(d.most.Load(), d.now.Add(1)))
	defer d.now.Add(-1)
	return d.Network.DialLink(ctx, addr)
}

// TestFewDialsAtATime: and those that answer do not wait for those that do not.
func TestFewDialsAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		dials := &dialCount{}
		x := b.start(1, func(c *Config) { dials.Network, c.Net = c.Net, dials })
		var all []Peer
		for id := range wire.NodeID(20) {
			dead := b.start(id+2, nil)
			b.net.Cut(x.host, dead.host)
			all = append(all, dead.peer())
		}
		x.mesh.SetPeers(all)
		pass(time.Minute)
		if n := dials.most.Load(); n != freshDials+failingDials {
			t.Errorf("%d dials at a time, want %d", n, freshDials+failingDials)
		}
		for range 10 { // more than there are turns
			live := b.start(wire.NodeID(100+len(all)), nil)
			b.net.SetDelay(x.host, live.host, 10*time.Millisecond)
			all = append(all, live.peer())
			x.mesh.SetPeers(all)
			pass(50 * time.Millisecond)
			linked(t, x, live)
		}
	})
}

func TestCrossingDialsAgreeOnOneLink(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		// The handshake takes longer than the higher id is polite for.
		b.net.SetDelay(x.host, y.host, 300*time.Millisecond)
		b.net.SetDelay(y.host, x.host, 300*time.Millisecond)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(20 * time.Second)
		linked(t, x, y)
		l := x.link(2)
		if l.dialler != 1 {
			t.Error("the link that the higher id dialled stays")
		}
		pass(10 * time.Second)
		if x.link(2) != l {
			t.Error("the link does not stay")
		}
		for _, n := range []*node{x, y} {
			for _, line := range n.log {
				if line[:2] != "up" && line[:4] != "down" {
					t.Errorf("log %v", n.log)
				}
			}
		}
	})
}

func TestFramesArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		const count = 10_000
		for i := range uint64(count) {
			if err := x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, i), true); err != nil {
				t.Fatal(err)
			}
		}
		pass(5 * time.Second)
		got := y.got(1)
		if len(got) != count {
			t.Fatalf("got %d frames, want %d", len(got), count)
		}
		for i, v := range got {
			if v != uint64(i) {
				t.Fatalf("frame %d is %d", i, v)
			}
		}
	})
}

func TestSilentPeerIsNoticedAfterThreeSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		linked(t, x, y)
		b.net.Cut(y.host, x.host) // one way: x hears nothing, y still does
		pass(2900 * time.Millisecond)
		linked(t, x, y)
		pass(600 * time.Millisecond)
		if x.link(2) != nil {
			t.Error("x still takes the silent link for alive")
		}
		pass(3 * time.Second)
		if y.link(1) != nil {
			t.Error("y still takes the link for alive")
		}
		b.net.Heal(y.host, x.host)
		pass(5 * time.Second)
		linked(t, x, y)
	})
}

func TestKilledPeerIsNoticedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		y.host.Kill()
		pass(5 * time.Millisecond)
		if x.link(2) != nil {
			t.Error("the link of a killed node is alive after 5 ms")
		}
	})
}

func TestLeavingSaysGoodbyeAfterWhatIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 7), false)
		x.stop()
		<-x.done
		pass(100 * time.Millisecond)
		if got := y.got(1); len(got) != 1 || got[0] != 7 {
			t.Errorf("got %v before the goodbye, want 7", got)
		}
		if last := y.log[len(y.log)-1]; last != "down 1: peer says: node is leaving" {
			t.Errorf("last event %q", last)
		}
	})
}

func TestBrokenLinkIsDialledAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(time.Second)
		x.host.Reset(y.host)
		pass(200 * time.Millisecond)
		linked(t, x, y)
		if len(x.log) != 3 {
			t.Errorf("log %v, want up, down, up", x.log)
		}
	})
}

func TestAnotherNodeAtTheAddressIsNoLink(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		stale := y.peer()
		stale.ID = 9
		x.mesh.SetPeers([]Peer{stale})
		pass(10 * time.Second)
		for _, line := range x.log {
			if line == "up 9" || line == "up 2" {
				t.Errorf("log %v", x.log)
			}
		}
	})
}

func TestHelloMustMatchTheProvenIdentity(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		y.host.SetNode("n3@" + wire.NodeID(3).String()) // what y's certificate would say
		y.mesh.SetPeers([]Peer{x.peer()})
		pass(3 * time.Second)
		if len(x.log)+len(y.log) != 0 {
			t.Errorf("linked: %v, %v", x.log, y.log)
		}
	})
}

func TestUnwantedPeerIsNotDialledButItsLinkIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.mesh.SetPeers(nil) // gossip says it is dead
		pass(10 * time.Second)
		linked(t, x, y)
		x.host.Reset(y.host)
		pass(10 * time.Second)
		if x.link(2) != nil {
			t.Error("dialled again")
		}
		if n := len(x.mesh.peers); n != 0 {
			t.Errorf("%d peers remembered", n)
		}
	})
}

func TestFullQueueRefusesDroppableFramesAndThenEnds(t *testing.T) {
	const limit = 1000
	m := New(Config{QueueBytes: limit, ControlBytes: 2 * limit}, nil)
	conn, other := net.Pipe()
	defer other.Close()
	l := newLink(m, conn, &greeted{}, 1) // nobody serves it: as if the writer hung in a Write
	frame := wire.AppendBye(nil, string(make([]byte, 90)))
	frame[5] = byte(wire.KindIntAck)
	l.w.bytes = limit - len(frame)
	if err := l.Send(frame, true); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := l.Send(frame, true); !errors.Is(err, ErrFull) {
		t.Errorf("over the limit: %v, want ErrFull", err)
	}
	if err := l.Send(frame, false); err != nil {
		t.Errorf("control frame over the limit: %v", err)
	}
	for range 20 {
		if err := l.Send(frame, false); errors.Is(err, ErrFull) {
			if err := l.Send(frame, false); !errors.Is(err, ErrClosed) {
				t.Errorf("after the end: %v, want ErrClosed", err)
			}
			if got := m.Stats().Refused; got != 2 {
				t.Errorf("%d refused, want 2", got)
			}
			return
		}
	}
	t.Error("control frames without end")
}

func TestLinkThatRefusedSaysWhenItTakesMore(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, func(c *Config) { c.QueueBytes = 1000 }), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		l := x.link(2)
		frame := bytes.Repeat(wire.AppendNumber(nil, wire.KindIntAck, 1), 30) // several in one call
		for l.Send(frame, true) == nil {
		}
		pass(time.Second)
		if got := x.ready.Load(); got != 1 {
			t.Errorf("LinkReady came %d times, want once", got)
		}
		if err := l.Send(frame, true); err != nil {
			t.Errorf("then: %v", err)
		}
		pass(time.Second)
		if got := x.ready.Load(); got != 1 {
			t.Errorf("LinkReady came %d times though nothing was refused", got)
		}
	})
}

// TestSendAllTakesWhatFits and says when there is room for more, asked or refused.
func TestSendAllTakesWhatFits(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, func(c *Config) { c.QueueBytes = 100 }), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		l := x.link(2)
		var frames []Span
		for i := range uint64(100) {
			frames = append(frames, Span{Bytes: wire.AppendNumber(nil, wire.KindIntAck, i), Frames: 1}) // 7 bytes
		}
		taken, err := l.SendAll(LaneNormal, frames, false)
		if taken != 14 || !errors.Is(err, ErrFull) {
			t.Errorf("took %d, %v, want 14 and ErrFull", taken, err)
		}
		pass(time.Second)
		if taken, err := l.SendAll(LaneNormal, frames[taken:taken+3], true); taken != 3 || err != nil {
			t.Errorf("then took %d, %v, want 3", taken, err)
		}
		pass(time.Second)
		if got, ready := y.got(1), x.ready.Load(); len(got) != 17 || got[16] != 16 || ready != 2 {
			t.Errorf("got %v and LinkReady %d times, want 17 numbers and twice", got, ready)
		}
	})
}

func TestSlowHandlerHoldsTheLinkBackWithoutBreakingIt(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		y.block = make(chan struct{})
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 1), true)
		pass(5 * time.Second)
		close(y.block)
		pass(10 * time.Second)
		linked(t, x, y)
		if len(x.log) != 1 || len(y.log) != 1 {
			t.Errorf("links broke: %v, %v", x.log, y.log)
		}
	})
}

func TestRoundTripIsMeasured(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		b.net.SetDelay(x.host, y.host, 30*time.Millisecond)
		b.net.SetDelay(y.host, x.host, 20*time.Millisecond)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(3 * time.Second)
		if got := x.link(2).RTT(); got < 50*time.Millisecond || got > 52*time.Millisecond {
			t.Errorf("RTT %v, want 50 ms", got)
		}
	})
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000} {
		if got := backoffAt(i); got != want*time.Millisecond {
			t.Errorf("backoffAt(%d) = %v, want %v", i, got, want*time.Millisecond)
		}
	}
	if got := backoffAt(1 << 40); got != backoffMax {
		t.Errorf("after very many attempts: %v", got)
	}
	b := backoff{attempts: 20}
	for range 1000 {
		if d := b.next(); d < backoffMax/2 || d > backoffMax {
			t.Fatalf("pause %v", d)
		}
	}
}

// TestEndlessRefusalsAreDialledSlowly: two nodes that end each other's links for
// a reason must not make thousands of them.
func TestEndlessRefusalsAreDialledSlowly(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		for range 60 {
			pass(time.Second)
			if l := x.link(2); l != nil {
				l.Send(wire.AppendNumber(nil, wire.KindPeers, 1), false) // which y's handler refuses
			}
		}
		if got := x.mesh.Stats().Up; got > 60 {
			t.Errorf("%d links in a minute", got)
		}
	})
}

// TestGracefulStopLosesNothing: what was written before a BYE is read, however
// slow the reader, over real sockets: a socket that is closed while the peer
// still writes is reset, with all that the peer has not read yet.
func TestGracefulStopLosesNothing(t *testing.T) {
	const count, size = 2000, 1000
	from, to := newRecorder(), newRecorder()
	to.slow = 50 * time.Microsecond
	stop := linkedPorts(t, from, to)
	padding := make([]byte, size)
	for i := range uint64(count) {
		f := wire.AppendReply(nil, wire.Reply{ID: i, Body: padding})
		from.link(2).Send(f, false)
	}
	eventually(t, "written", func() bool { return from.link(2).Queued() == 0 })
	stop()
	eventually(t, "down", func() bool { return to.link(1) == nil })
	if got := len(to.got(1)); got != count {
		t.Errorf("%d of %d frames arrived", got, count)
	}
}

func newRecorder() *recorder {
	return &recorder{up: map[wire.NodeID]*Link{}, data: map[wire.NodeID][]uint64{}}
}

// linkedPorts links node 1 to node 2 over TLS on loopback, until the end of the test. stop ends node 1 in order.
func linkedPorts(t *testing.T, from, to *recorder) (stop context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	run := func(id wire.NodeID, r *recorder) (*Mesh, context.CancelFunc, Peer) {
		name := fmt.Sprint("n", uint64(id))
		p, err := port.Listen(port.Config{Cluster: "test", Node: name + "@" + id.String(), Bind: "127.0.0.1:0", Secrets: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}})
		if err != nil {
			t.Fatal(err)
		}
		conns := make(chan net.Conn)
		all.Go(func() { p.Run(ctx) })
		all.Go(func() {
			for {
				c, err := p.AcceptLink()
				if err != nil {
					return
				}
				conns <- c
			}
		})
		m := New(Config{ID: id, Name: name, Addr: p.Advertise().String(), Net: portNet{p, conns}}, r)
		mctx, stop := context.WithCancel(ctx)
		all.Go(func() { m.Run(mctx) })
		return m, stop, Peer{ID: id, Name: name, Addr: p.Advertise().String()}
	}
	x, stop, _ := run(1, from)
	_, _, peer := run(2, to)
	x.SetPeers([]Peer{peer})
	eventually(t, "linked", func() bool { return from.link(2) != nil && to.link(1) != nil })
	return stop
}

// portNet is hostNet for a real port.
type portNet struct {
	*port.Port
	conns chan net.Conn
}

func (p portNet) AcceptLink(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-ctx.Done():
		return nil, net.ErrClosed
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("not within 10 s: " + what)
		}
	}
}

// TestGarbageInsteadOfHello: whoever holds the secret and speaks something
// else gets a reason and is closed.
func TestGarbageInsteadOfHello(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x := b.start(1, nil)
		stranger := b.net.Host("stranger")
		ctx, cancel := context.WithCancel(context.Background())
		go stranger.Run(ctx)
		defer cancel()
		pass(time.Second)
		for _, bad := range [][]byte{
			{0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1, 0x90}, wire.AppendNumber(nil, wire.KindPing, 1),
			wire.AppendHello(nil, wire.Hello{MinVersion: 9, MaxVersion: 9, Node: 5, Name: "n5"}),
		} {
			c, err := stranger.DialLink(ctx, x.host.Advertise().String())
			if err != nil {
				t.Fatal(err)
			}
			c.Write(bad)
			if f, err := wire.NewReader(c).Next(); err != nil || f.Kind() != wire.KindBye {
				t.Errorf("%x: answer %x, %v, want BYE", bad, f, err)
			}
			c.Close()
		}
		if len(x.log) != 0 {
			t.Errorf("log %v", x.log)
		}
	})
}
