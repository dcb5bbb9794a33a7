package mesh

import (
	"fmt"
	"time"
)

// nowConn is a connection that can be written to without waiting. BeginNow makes Write wait for
// nothing until EndNow, or is false if that cannot be now; EndNow tells how much the
// socket has not taken, which Flush waits for. Until then nothing else is written. It is *port.Conn.
type nowConn interface {
	BeginNow() bool
	EndNow() (left int)
	Flush() error
}

const (
	// directBytes is the most that is written by who sends: more takes longer than to wake the writer.
	directBytes = 16 << 10
	// directEvery is the time between two writes below which it pays to let frames gather, which is what
	// they do while the writer wakes up.
	directEvery = 100 * time.Microsecond
)

// writing is who writes to a link and what of that is not out; guarded by Link.mu. Whoever
// writes has taken blocks from the lanes and is alone, so that they go out in the order in
// which they were taken.
type writing struct {
	awake  bool  // the writer looks for what waits, or is about to
	due    bool  // somebody is about to call WriteNow
	direct bool  // ... and writes: the writer waits for it
	left   int   // bytes of a direct write that are kept in the connection: the writer's
	bytes  int   // taken from the lanes and not yet out
	last   int64 // when a write was over, as now has it
}

// startLocked sees to it that what was queued is written. When the link is calm that is the caller's
// affair (due): it calls WriteNow soon, without a lock, or poke.
func (l *Link) startLocked() (due bool) {
	switch {
	case l.w.awake || l.w.direct: // looks again
	case !l.calmLocked():
		l.pokeLocked()
	case !l.w.due:
		l.w.due = true
		return true
	}
	return false
}

// calmLocked tells whether who sends may write. Who loads a link without a pause is
// better served by the writer: it finds more each time.
func (l *Link) calmLocked() bool {
	return l.direct != nil && l.ended == nil && l.w.left == 0 && l.lanes.bytes <= directBytes &&
		l.refused == [Lanes]bool{} && l.now()-l.w.last > int64(directEvery)
}

func (l *Link) pokeLocked() {
	l.w.awake = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// poke has the writer write what waits.
func (l *Link) poke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.due = false
	l.pokeLocked()
}

// Poke is for who has queued frames that are due and does not want to write: the writer does.
func (l *Link) Poke() { l.poke() }

// WriteNow writes what is queued as far as the socket takes it at once, and leaves the rest to the
// writer. It is for who has queued frames that are due, and holds no lock that others wait for: it
// takes some ten microseconds. It saves to wake the writer, which takes two
// threads as long each.
func (l *Link) WriteNow() {
	b, ok := l.takeNow()
	if !ok {
		return
	}
	_, err := l.conn.Write(b.bytes)
	l.m.counters.bytesO.Add(uint64(len(b.bytes)))
	l.giveNow(b, l.direct.EndNow())
	if err != nil {
		l.writeFailed(fmt.Errorf("write link: %w", err))
	}
}

// sendNow sends a control frame, and writes it if the link is calm.
func (l *Link) sendNow(frame []byte) {
	if due, _ := l.QueueIn(LaneControl, frame); due {
		l.WriteNow()
	}
}

func (l *Link) takeNow() (b block, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.due = false
	switch {
	case l.w.awake || l.w.direct || l.lanes.bytes == 0:
		return b, false
	case !l.calmLocked() || !l.direct.BeginNow():
		l.pokeLocked()
		return b, false
	}
	b = l.lanes.take()
	l.w.direct, l.w.bytes = true, len(b.bytes)
	return b, true
}

// giveNow is the end of a direct write. Who has come meanwhile has not woken the writer, which
// has found nothing to take; who was refused is told by the writer when there is room.
func (l *Link) giveNow(b block, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lanes.give(b)
	l.w.direct, l.w.left, l.w.bytes, l.w.last = false, left, left, l.now()
	if l.w.awake || left > 0 || l.lanes.bytes > 0 || l.refused != [Lanes]bool{} {
		l.pokeLocked()
	}
}
