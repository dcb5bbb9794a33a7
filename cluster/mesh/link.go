package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Link is one connection to one node. Its methods may be called from anywhere
// at any time and never block.
type Link struct {
	m       *Mesh
	conn    net.Conn
	direct  nowConn // conn, if it is one
	in      *counted
	r       *wire.Reader
	peer    Peer
	dialler wire.NodeID
	since   time.Time
	version uint64
	has     uint64        // features of the peer
	done    chan struct{} // closed after LinkDown

	wake   chan struct{}  // capacity one: there is something to write, or an end
	beside sync.WaitGroup // the goroutines of serve

	mu      sync.Mutex
	next    *successor  // the connection that takes its place
	lanes   lanes       // frames that wait for the writer
	ended   error       // why the link ends; set once
	flush   bool        // write what waits, and last, before the end
	last    []byte      // a BYE, behind all lanes
	w       writing     // see direct.go
	refused [Lanes]bool // a frame, or the caller has more: LinkReady is owed
	spoke   bool        // since the last beat
	watch   watch

	handling atomic.Bool  // the Handler is at work, or holds the link back on purpose
	rtt      atomic.Int64 // nanoseconds; 0 before the first PONG
	heard    atomic.Int64 // nanoseconds since the link began
}

func newLink(m *Mesh, conn net.Conn, g *greeted, dialler wire.NodeID) *Link {
	direct, _ := conn.(nowConn)
	return &Link{m: m, conn: conn, direct: direct, in: g.in, r: g.r, peer: g.peer, dialler: dialler, since: time.Now(), version: g.version, has: g.features,
		done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// now is monotonic time since the link began.
func (l *Link) now() int64 { return int64(time.Since(l.since)) }

// Peer is the node at the other end.
func (l *Link) Peer() Peer { return l.peer }

// Version is that of the protocol on this link: the highest that both ends speak.
func (l *Link) Version() uint64 { return l.version }

// Features are what the peer has told in HELLO.
func (l *Link) Features() uint64 { return l.has }

// Since is when the link came up.
func (l *Link) Since() time.Time { return l.since }

// Heard is when bytes of the peer last came, or up to a Heartbeat later.
func (l *Link) Heard() time.Time { return l.since.Add(time.Duration(l.heard.Load())) }

// RTT is the last measured round trip, 0 before the first.
func (l *Link) RTT() time.Duration { return time.Duration(l.rtt.Load()) }

// Measured tells a round trip that frames of the Handler took: links that have those
// need no PING.
func (l *Link) Measured(rtt time.Duration) {
	if rtt > 0 {
		l.rtt.Store(int64(rtt))
	}
}

// Queued is the number of bytes that wait to be written, but for those in LaneBulk.
func (l *Link) Queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waitingLocked()
}

func (l *Link) waitingLocked() int { return l.lanes.bytes - l.lanes.of[LaneBulk].bytes + l.w.bytes }

// Bulk is the number of bytes that wait in LaneBulk.
func (l *Link) Bulk() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lanes.of[LaneBulk].bytes
}

// Send queues one or more whole frames of one kind in the lane of normal messages:
// what must not overtake those that were sent before. A droppable frame is
// refused with ErrFull when more than QueueBytes wait in the lane, and LinkReady follows; others
// are taken up to ControlBytes in all lanes, and beyond it the link ends: the peer does not
// read. On a link that has ended Send returns ErrClosed.
func (l *Link) Send(frame []byte, droppable bool) error {
	if droppable {
		_, err := l.SendAll(LaneNormal, []Span{{Bytes: frame, Frames: 1}}, false)
		return err
	}
	return l.SendIn(LaneNormal, frame)
}

// SendIn is Send in any lane, for frames that are not droppable.
func (l *Link) SendIn(lane Lane, frame []byte) error {
	due, err := l.QueueIn(lane, frame)
	if due {
		l.poke()
	}
	return err
}

// QueueIn is SendIn for who writes as well: if the frame is due, WriteNow or Poke must follow soon.
func (l *Link) QueueIn(lane Lane, frame []byte) (due bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch err = l.roomLocked(frame, l.m.cfg.ControlBytes); err {
	case nil:
		l.lanes.put(lane, frame)
		due = l.startLocked()
	case ErrFull:
		l.endByLocked(ErrFull, false, time.Unix(1, 0))
	}
	return due, err
}

// QueueBulk queues frames that belong together, of so many bytes in all, in LaneBulk: all of them, or none and the link ends, when
// there were more than BulkBytes in the lane. If they are due, WriteNow or Poke must follow soon.
func (l *Link) QueueBulk(frames iter.Seq[[]byte], bytes int) (due bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return false, ErrClosed
	}
	if waiting := l.lanes.of[LaneBulk].bytes; waiting > 0 && waiting+bytes > l.m.cfg.BulkBytes {
		l.m.counters.refused.Add(1)
		l.endByLocked(ErrFull, false, time.Unix(1, 0))
		return false, ErrFull
	}
	for f := range frames {
		l.lanes.put(LaneBulk, f)
		l.countOut(f)
	}
	l.spoke = true
	return l.startLocked(), nil
}

// Try is Send for questions and answers, which are large at times: they are refused
// with ErrFull when more than half of ControlBytes wait in all. They keep their
// order with normal messages only.
func (l *Link) Try(frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.roomLocked(frame, l.m.cfg.ControlBytes/2); err != nil {
		return err
	}
	l.lanes.put(LaneNormal, frame)
	l.pokeLocked()
	return nil
}

// roomLocked counts frame, which is put next, unless that were more than limit in all lanes.
func (l *Link) roomLocked(frame []byte, limit int) error {
	if l.ended != nil {
		return ErrClosed
	}
	if waiting := l.waitingLocked(); waiting > 0 && waiting+len(frame) > limit {
		l.m.counters.refused.Add(1)
		return ErrFull
	}
	l.countOut(frame)
	l.spoke = true
	return nil
}

// SendAll queues spans of droppable frames, all of one kind, that belong together, and
// tells how many spans were taken before one was refused: with ErrFull, when more than QueueBytes
// wait in the lane. LinkReady follows, also with more: then there are others, for
// which there may be no room.
func (l *Link) SendAll(lane Lane, spans []Span, more bool) (taken int, err error) {
	taken, due, err := l.QueueAll(lane, spans, more)
	if due {
		l.poke()
	}
	return taken, err
}

// QueueAll is SendAll for who writes as well: if the frames are due, WriteNow or Poke must follow soon.
func (l *Link) QueueAll(lane Lane, spans []Span, more bool) (taken int, due bool, err error) {
	if len(spans) == 0 {
		return 0, false, nil
	}
	frames := 0
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return 0, false, ErrClosed
	}
	for ; taken < len(spans); taken++ {
		waiting := l.lanes.of[lane].bytes + l.w.bytes
		if waiting > 0 && waiting+len(spans[taken].Bytes) > l.m.cfg.QueueBytes {
			l.m.counters.refused.Add(1)
			err = ErrFull
			break
		}
		l.lanes.putSpan(lane, spans[taken])
		frames += spans[taken].Frames
	}
	l.refused[lane] = l.refused[lane] || more || err != nil
	if taken > 0 {
		l.m.counters.out[countAs(wire.Frame(spans[0].Bytes[4:]))].Add(uint64(frames))
		l.spoke = true
		due = l.startLocked()
	}
	return taken, due, err
}

// countOut counts whole frames.
func (l *Link) countOut(frames []byte) {
	for len(frames) > 4 {
		n := 4 + int(binary.BigEndian.Uint32(frames))
		l.m.counters.out[countAs(wire.Frame(frames[4:n]))].Add(1)
		frames = frames[n:]
	}
}

// countAs is the index of f in a table of counters; 0 are unknown kinds.
func countAs(f wire.Frame) wire.Kind {
	if k := f.Kind(); int(k) < wire.Kinds {
		return k
	}
	return 0
}

// end makes the link go down with err at once. What is queued is lost.
func (l *Link) end(err error) { l.endBy(err, false, time.Unix(1, 0)) }

// bye ends the link after what is queued and a BYE have been written and the
// other side has closed, or after byePatience.
func (l *Link) bye(err error) { l.endBy(err, true, time.Now().Add(byePatience)) }

// byePatience is what an end in order may take.
const byePatience = time.Second

// writeFailed ends the link once all has been read that the peer sent: its
// last words may be on the way behind what broke the writing.
func (l *Link) writeFailed(err error) { l.endBy(err, false, time.Now().Add(l.m.cfg.Silence)) }

// endBy sets the end in motion; reader and writer stop at the deadline at the
// latest. A later call can only hasten it.
func (l *Link) endBy(err error, flush bool, deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endByLocked(err, flush, deadline)
}

func (l *Link) endByLocked(err error, flush bool, deadline time.Time) {
	switch {
	case l.ended == nil:
		l.ended, l.flush = err, flush
		if flush {
			l.last = wire.AppendBye(nil, err.Error())
		}
	case flush:
		return // ends already
	default:
		l.flush = false
	}
	if !l.flush {
		l.lanes.clear()
	}
	l.conn.SetDeadline(deadline)
	l.pokeLocked()
}

func (l *Link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// serve is a link's life: registered, up, read until it ends, down.
func (m *Mesh) serve(ctx context.Context, l *Link) (linked bool, err error) {
	if err := m.register(l); err != nil {
		refuse(l.conn, err)
		return false, err
	}
	defer close(l.done)
	defer m.unregister(l)
	defer context.AfterFunc(ctx, func() { l.end(ErrLeaving) })()
	m.counters.up.Add(1)
	m.h.LinkUp(l)
	l.beside.Go(l.writeLoop)
	l.watch.begin(l)
	l.end(l.readLoop())
	l.watch.stop()
	l.conn.Close()
	l.beside.Wait()
	m.counters.down.Add(1)
	m.h.LinkDown(l, l.cause())
	return true, l.cause()
}

// maxBatch is how many frames the Handler gets at once at most.
const maxBatch = 128

// readLoop reads until the peer closes or the link's end has come. Frames that
// arrive while the link ends count: the peer sent them before it knew.
func (l *Link) readLoop() error {
	batch := make([]wire.Frame, 0, maxBatch)
	for {
		var last wire.Frame
		var err error
		batch, last, err = l.readBatch(batch[:0])
		l.handling.Store(true)
		if len(batch) > 0 {
			if herr := l.m.h.HandleFrames(l, batch); herr != nil {
				return herr
			}
			clear(batch) // lets go of the frames
		}
		if err == nil && last != nil {
			err = l.own(last)
		}
		l.handling.Store(false)
		if err != nil {
			return err
		}
	}
}

// readBatch reads the frames that are there, and waits for the first. A frame of this
// package ends the batch; it comes behind the others.
func (l *Link) readBatch(batch []wire.Frame) (_ []wire.Frame, own wire.Frame, err error) {
	var counts [wire.Kinds]uint64
	var bytes uint64
	for own == nil && err == nil && (bytes == 0 || len(batch) < maxBatch && l.r.Whole()) {
		before, other := len(batch), wire.Frame(nil)
		batch, other, err = l.r.Batch(batch, maxBatch)
		for _, f := range batch[before:] {
			bytes += uint64(len(f)) + 4
		}
		counts[wire.KindData] += uint64(len(batch) - before)
		if other == nil || err != nil {
			continue
		}
		kind := countAs(other)
		counts[kind]++
		bytes += uint64(len(other)) + 4
		switch kind {
		case wire.KindPing, wire.KindPong, wire.KindBye:
			own = other
		default:
			batch = append(batch, other)
		}
	}
	if err != nil {
		err = fmt.Errorf("read link: %w", err)
	}
	for kind, n := range counts {
		if n > 0 {
			l.m.counters.in[kind].Add(n)
		}
	}
	l.m.counters.bytesIn.Add(bytes)
	return batch, own, err
}

// own handles a frame of this package.
func (l *Link) own(f wire.Frame) error {
	switch f.Kind() {
	case wire.KindPing:
		v, err := wire.DecodeNumber(f, wire.KindPing)
		if err != nil {
			return err
		}
		l.sendNow(wire.AppendNumber(nil, wire.KindPong, v))
	case wire.KindPong:
		v, err := wire.DecodeNumber(f, wire.KindPong)
		if err != nil {
			return err
		}
		l.Measured(time.Duration(l.now() - int64(v)))
	case wire.KindBye:
		return byeError(f)
	}
	return nil
}

// Left tells that the peer ended the link because it leaves the cluster.
func Left(err error) bool { return errors.Is(err, ErrLeaving) }

// Routine tells ends of links that an operator need not hear of.
func Routine(err error) bool {
	return errors.Is(err, ErrLeaving) || errors.Is(err, ErrReplaced) || errors.Is(err, ErrDuplicate)
}
