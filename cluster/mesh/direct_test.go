package mesh

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// narrowConn takes room bytes of what is written without waiting, and notes who writes.
type narrowConn struct {
	net.Conn
	mu      sync.Mutex
	room    int // of each direct write; below 0 all
	now     bool
	rest    []byte
	fails   error         // of direct writes
	hold    chan struct{} // when set, a direct write waits for it
	direct  atomic.Int32  // writes that waited for nothing
	cut     atomic.Int32  // ... and left something
	writers atomic.Int32  // that write now
	torn    atomic.Bool   // something else was written before what was left, or at the same time
}

func (c *narrowConn) PeerName() string { return c.Conn.(interface{ PeerName() string }).PeerName() }

func (c *narrowConn) BeginNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = len(c.rest) == 0
	return c.now
}

func (c *narrowConn) EndNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = false
	return len(c.rest)
}

func (c *narrowConn) Flush() error {
	c.mu.Lock()
	rest := c.rest
	c.rest = nil
	c.mu.Unlock()
	if c.fails != nil {
		return c.fails
	}
	_, err := c.Conn.Write(rest)
	return err
}

func (c *narrowConn) Write(b []byte) (int, error) {
	defer c.writers.Add(-1)
	c.mu.Lock()
	now, room, left, hold := c.now, c.room, len(c.rest), c.hold
	c.mu.Unlock()
	if c.writers.Add(1) > 1 || left > 0 {
		c.torn.Store(true)
	}
	if !now {
		return c.Conn.Write(b)
	}
	c.direct.Add(1)
	if hold != nil {
		<-hold
	}
	if c.fails != nil && room < 0 {
		return 0, c.fails
	}
	if room < 0 || room >= len(b) {
		return c.Conn.Write(b)
	}
	c.cut.Add(1)
	if n, err := c.Conn.Write(b[:room]); err != nil {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = bytes.Clone(b[room:])
	return len(b), nil
}

// narrowNet dials one narrowConn.
type narrowNet struct {
	Network
	conn *narrowConn
}

func (n *narrowNet) DialLink(ctx context.Context, addr string) (net.Conn, error) {
	c, err := n.Network.DialLink(ctx, addr)
	if err != nil || n.conn != nil {
		return c, err
	}
	n.conn = &narrowConn{Conn: c, room: -1}
	return n.conn, nil
}

// narrowLink is a link from x to y whose writes go through a narrowConn.
func narrowLink(t *testing.T, b *lab) (x, y *node, l *Link, c *narrowConn) {
	var n *narrowNet
	x = b.start(1, func(c *Config) {
		n = &narrowNet{Network: c.Net}
		c.Net = n
	})
	y = b.start(2, nil)
	x.mesh.SetPeers([]Peer{y.peer()})
	pass(time.Second + 10*time.Millisecond) // between two heartbeats
	linked(t, x, y)
	return x, y, x.link(2), n.conn
}

// sendNow sends a frame and writes it if that is its affair.
func sendNow(l *Link, lane Lane, n uint64) (due bool) {
	if due, _ = l.QueueIn(lane, numbered(lane, n, 50)); due {
		l.WriteNow()
	}
	return due
}

func TestWhoSendsOnACalmLinkWrites(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		_, y, l, c := narrowLink(t, b)
		before := c.direct.Load()
		if due := sendNow(l, LaneNormal, 0); !due || c.direct.Load() != before+1 || l.Queued() != 0 {
			t.Errorf("due %v, %d direct writes, %d bytes wait", due, c.direct.Load()-before, l.Queued())
		}
		if due := sendNow(l, LaneNormal, 1); due {
			t.Error("the next, at once, is not left to the writer")
		}
		pass(directEvery)
		if due := sendNow(l, LaneNormal, 2); due {
			t.Errorf("%v after a write is calm", directEvery)
		}
		pass(directEvery + 1)
		if due := sendNow(l, LaneNormal, 3); !due {
			t.Error("later is not calm again")
		}
		if pass(10 * time.Millisecond); len(y.got(1)) != 4 {
			t.Errorf("%d frames came", len(y.got(1)))
		}
	})
}

// What load there is goes to the writer, for which it gathers.
func TestALinkThatIsNotCalmIsTheWriters(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		set  func(*Link)
		want bool
	}{
		"nothing":        {20, func(*Link) {}, true},
		"the limit":      {directBytes, func(*Link) {}, true},
		"over the limit": {directBytes + 1, func(*Link) {}, false},
		"in all lanes":   {directBytes, func(l *Link) { l.lanes.put(LaneHigh, make([]byte, 1)) }, false},
		"writer awake":   {20, func(l *Link) { l.w.awake = true }, false},
		"somebody will":  {20, func(l *Link) { l.w.due = true }, false},
		"somebody does":  {20, func(l *Link) { l.w.direct = true }, false},
		"something left": {20, func(l *Link) { l.w.left = 1 }, false},
		"just written":   {20, func(l *Link) { l.w.last = l.now() }, false},
		"lane refused":   {20, func(l *Link) { l.refused[LaneLow] = true }, false},
		"the end":        {20, func(l *Link) { l.ended, l.flush = ErrLeaving, true }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, other := net.Pipe()
			defer other.Close()
			defer conn.Close()
			l := newLink(New(Config{}, nil), &narrowConn{Conn: conn}, &greeted{}, 1)
			time.Sleep(time.Second)
			tt.set(l)
			l.mu.Lock()
			l.lanes.put(LaneNormal, make([]byte, tt.size))
			due := l.startLocked()
			l.mu.Unlock()
			if due != tt.want {
				t.Errorf("%s: due %v, want %v", name, due, tt.want)
			}
			busy := l.w.awake || l.w.direct || l.w.due
			if !busy {
				t.Errorf("%s: nobody will write", name)
			}
		})
	}
}

// Nobody waits in a direct write, and what it leaves goes before what comes later.
func TestWhatTheSocketDoesNotTakeIsTheWritersAndGoesFirst(t *testing.T) {
	size := len(numbered(LaneNormal, 0, 50))
	for _, room := range []int{0, 1, 4, 30, size - 1} {
		bubble(t, func(t *testing.T, b *lab) {
			x, y, l, c := narrowLink(t, b)
			c.mu.Lock()
			c.room = room
			c.mu.Unlock()
			for n := range uint64(20) {
				if n%3 == 0 {
					pass(time.Millisecond)
				}
				sendNow(l, LaneNormal, 2*n)
				l.SendIn(LaneNormal, numbered(LaneNormal, 2*n+1, 50))
			}
			pass(time.Second)
			got := y.got(1)
			for i, id := range got {
				if id&(1<<32-1) != uint64(i) {
					t.Fatalf("room %d: frame %d came for %d", room, id&(1<<32-1), i)
				}
			}
			if len(got) != 40 || c.cut.Load() < 5 || c.torn.Load() || len(x.log) != 1 {
				t.Errorf("room %d: %d of 40 frames, %d cut, torn %v, %v", room, len(got), c.cut.Load(), c.torn.Load(), x.log)
			}
		})
	}
}

// sink is a connection that takes all.
type sink struct {
	net.Conn
	got []byte
}

func (s *sink) Write(b []byte) (int, error) {
	s.got = append(s.got, b...)
	return len(b), nil
}

// unserved is a calm link whose writer does not come.
func unserved(room int) (*Link, *sink) {
	s := &sink{}
	l := newLink(New(Config{}, nil), &narrowConn{Conn: s, room: room}, &greeted{}, 1)
	time.Sleep(2 * directEvery)
	return l, s
}

// What is left counts against the limits of a link until it is out.
func TestWhatADirectWriteLeavesIsQueued(t *testing.T) {
	l, _ := unserved(10)
	if due := sendNow(l, LaneNormal, 0); !due {
		t.Fatal("not due")
	}
	size := len(numbered(LaneNormal, 0, 50))
	if got := l.Queued(); got != size-10 {
		t.Errorf("%d bytes wait, want %d", got, size-10)
	}
	l.SendIn(LaneNormal, numbered(LaneNormal, 1, 50))
	for _, want := range []int{size, 0} {
		b, left, _ := l.take()
		if left > 0 == (want == 0) || left > 0 && len(b.bytes) > 0 {
			t.Errorf("the writer gets %d bytes that are left and %d others", left, len(b.bytes))
		}
		if l.give(b); l.Queued() != want {
			t.Errorf("then %d bytes wait, want %d", l.Queued(), want)
		}
	}
}

func TestADirectWriteTakesTheLanesInTheirOrder(t *testing.T) {
	l, s := unserved(-1)
	for lane := Lane(Lanes - 1); lane < Lanes; lane-- {
		l.QueueIn(lane, numbered(lane, 0, 50))
	}
	l.WriteNow()
	ids, _ := sent(t, s.got)
	for lane := range ids {
		if Lane(ids[lane]>>32) != Lane(lane) {
			t.Errorf("lane %d is written in place %d", ids[lane]>>32, lane)
		}
	}
	if len(ids) != Lanes {
		t.Errorf("%d frames are written", len(ids))
	}
}

// held begins a direct write that goes on until hold is closed.
func held(t *testing.T, b *lab) (x, y *node, l *Link, c *narrowConn, hold chan struct{}) {
	x, y, l, c = narrowLink(t, b)
	hold = make(chan struct{})
	c.mu.Lock()
	c.hold = hold
	c.mu.Unlock()
	go sendNow(l, LaneNormal, 0)
	synctest.Wait()
	return x, y, l, c, hold
}

// While one writes nobody else does, neither the writer at a heartbeat, nor for what comes meanwhile,
// which goes out right behind.
func TestNobodyWritesBesideADirectWrite(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		_, y, l, c, hold := held(t, b)
		before := c.direct.Load()
		pass(time.Second) // four heartbeats
		l.SendIn(LaneNormal, numbered(LaneNormal, 1, 50))
		if due := sendNow(l, LaneNormal, 2); due {
			t.Error("due while somebody writes")
		}
		l.WriteNow() // of one who was to write, and was late
		pass(10 * time.Millisecond)
		if got := c.direct.Load() - before; got != 0 || len(y.got(1)) != 0 {
			t.Fatalf("%d direct writes more, %d frames came", got, len(y.got(1)))
		}
		close(hold)
		pass(10 * time.Millisecond)
		got := y.got(1)
		if len(got) != 3 || got[1]&7 != 1 || got[2]&7 != 2 || c.torn.Load() {
			t.Errorf("frames %x came, torn %v", got, c.torn.Load())
		}
	})
}

// Neither what comes while one writes waits for a heartbeat, nor the end.
func TestWhatComesDuringADirectWriteFollowsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		_, y, l, _, hold := held(t, b)
		l.SendIn(LaneNormal, numbered(LaneNormal, 1, 50))
		close(hold)
		if pass(10 * time.Millisecond); len(y.got(1)) != 2 {
			t.Errorf("%d frames came", len(y.got(1)))
		}
	})
	bubble(t, func(t *testing.T, b *lab) {
		x, y, _, _, hold := held(t, b)
		x.stop()
		synctest.Wait()
		close(hold)
		pass(10 * time.Millisecond)
		if last := y.log[len(y.log)-1]; len(y.got(1)) != 1 || !strings.Contains(last, ErrLeaving.Error()) {
			t.Errorf("%d frames and then %q", len(y.got(1)), last)
		}
	})
	bubble(t, func(t *testing.T, b *lab) {
		_, y, l, c := narrowLink(t, b)
		c.mu.Lock()
		c.room = 10
		c.mu.Unlock()
		sendNow(l, LaneNormal, 0)
		if pass(10 * time.Millisecond); len(y.got(1)) != 1 {
			t.Error("what the write has left waits")
		}
	})
}

// A frame that there is no room for beside a direct write, with nothing else behind it: who waits for
// LinkReady need not wait for a heartbeat.
func TestALaneThatADirectWriteFillsIsReadyBehindIt(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, _, l, _, hold := held(t, b)
		if taken, _, err := l.QueueAll(LaneNormal, []Span{{Bytes: numbered(LaneNormal, 1, 2<<20), Frames: 1}}, false); taken != 0 || err != ErrFull {
			t.Fatalf("%d taken, %v", taken, err)
		}
		if pass(10 * time.Millisecond); x.ready.Load() != 0 {
			t.Error("ready while the write goes on")
		}
		close(hold)
		if pass(10 * time.Millisecond); x.ready.Load() != 1 {
			t.Errorf("LinkReady came %d times, want once", x.ready.Load())
		}
	})
}

// Who comes late to write finds the writer at work.
func TestNobodyWritesBesideTheWriter(t *testing.T) {
	for name, set := range map[string]func(*writing){
		"writer": func(w *writing) { w.awake = true },
		"sender": func(w *writing) { w.direct = true },
	} {
		l, s := unserved(-1)
		l.QueueIn(LaneNormal, numbered(LaneNormal, 0, 50))
		set(&l.w)
		if l.WriteNow(); len(s.got) > 0 {
			t.Errorf("a second writes beside the %s", name)
		}
	}
}

func TestALinkThatDiesInADirectWriteGoesDown(t *testing.T) {
	broken := errors.New("broken")
	for _, room := range []int{-1, 10} { // the write fails, or what it has left
		bubble(t, func(t *testing.T, b *lab) {
			x, _, l, c := narrowLink(t, b)
			c.mu.Lock()
			c.fails, c.room = broken, room
			c.mu.Unlock()
			sendNow(l, LaneNormal, 0)
			if synctest.Wait(); l.cause() == nil || !errors.Is(l.cause(), broken) {
				t.Errorf("room %d: the link has the end %v", room, l.cause())
			}
			if err := l.Send(numbered(LaneNormal, 1, 50), false); err != ErrClosed {
				t.Errorf("room %d: then Send gives %v", room, err)
			}
			l.WriteNow() // does no harm
			pass(10 * time.Second)
			if len(x.log) < 3 || !strings.HasPrefix(x.log[1], "down 2") {
				t.Errorf("room %d: %v, want an end and a new link", room, x.log)
			}
		})
	}
}

// Whoever does not keep its promise to write delays nothing for longer than a heartbeat.
func TestAForgottenWriteGoesOutWithTheHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		_, y, l, _ := narrowLink(t, b)
		if due, _ := l.QueueIn(LaneNormal, numbered(LaneNormal, 0, 50)); !due {
			t.Fatal("not due")
		}
		pass(250 * time.Millisecond)
		if len(y.got(1)) != 1 {
			t.Error("the frame has not come")
		}
	})
}

// Many send on a link of real sockets that are narrow, each in its lane and in both ways.
func TestOrderHoldsWhereManyWrite(t *testing.T) {
	const count = 400
	from, to := newRecorder(), newRecorder()
	to.slow = 20 * time.Microsecond
	stop := linkedPorts(t, from, to)
	defer stop()
	l := from.link(2)
	l.conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn).SetWriteBuffer(4 << 10)
	var senders sync.WaitGroup
	for lane := LaneHigh; lane <= LaneLow; lane++ {
		senders.Go(func() {
			for n := range uint64(count) {
				f := numbered(lane, n, 20+rand.IntN(3000))
				if rand.IntN(3) == 0 {
					l.SendIn(lane, f)
				} else if due, _ := l.QueueIn(lane, f); due {
					l.WriteNow()
				}
				if rand.IntN(4) == 0 {
					time.Sleep(time.Duration(rand.IntN(400)) * time.Microsecond)
				}
			}
		})
	}
	senders.Wait()
	eventually(t, "all have come", func() bool { return len(to.got(1)) == 3*count })
	var next [Lanes]uint64
	for _, id := range to.got(1) {
		if lane := id >> 32; id&(1<<32-1) != next[lane] {
			t.Fatalf("lane %d: frame %d came for %d", lane, id&(1<<32-1), next[lane])
		} else {
			next[lane]++
		}
	}
	if len(from.log) != 1 {
		t.Errorf("the link broke: %v", from.log)
	}
}
