package mesh

import "sync/atomic"

// Lane is one of the queues of a link's direction. Frames of a lane keep their
// order; those of different lanes may overtake each other.
type Lane uint8

// The lanes, by the order in which they go: all but control and bulk have data.
const (
	LaneControl Lane = iota
	LaneHigh
	LaneNormal
	LaneLow
	LaneBulk // copies of what others have as well: what waits here counts by itself, see QueueBulk
	Lanes    = 5
)

// weights are the shares of lanes that are never empty. So control, which is small
// but for a SYNC, goes at once, and low messages are slow, not stuck. Acknowledgements wait for bulk: it has
// the share of normal messages.
var weights = [Lanes]int{8, 4, 2, 1, 2}

const (
	// writeBytes is how much is written at a time, but for a frame that is larger:
	// what comes after a choice has been made waits for no more.
	writeBytes = 64 << 10
	// lendBytes is from where on it is cheaper not to copy: a write that is smaller costs more.
	lendBytes = 8 << 10
	// keepBlocks is how many written blocks a link keeps for what comes next.
	keepBlocks = 4
)

// Span is one or more whole frames of one kind.
type Span struct {
	Bytes  []byte
	Frames int
	// Lent is nil when Bytes may change after the call. Otherwise a link may keep them
	// instead of a copy, and counts itself in Lent until it has written them: Bytes must not
	// change before it is 0. A link that ends may never take itself off.
	Lent *atomic.Int32
}

// lanes are the frames that wait, in blocks of at most writeBytes of whole frames. A
// lane's turn comes by the bytes that it has sent, divided by its weight: the lane that
// is behind is next, at equality the one of higher priority. One that was empty begins
// where the others are, so that it has saved up nothing and yet is next.
type lanes struct {
	of    [Lanes]laneQueue
	bytes int      // in all lanes
	clock int      // turn of the last block that was taken
	free  [][]byte // written blocks
}

// block is what is written at a time at most, or a part of it.
type block struct {
	bytes []byte
	lent  *atomic.Int32 // of a Span, or nil: the block is the link's own
}

type laneQueue struct {
	blocks []block
	bytes  int
	turn   int // bytes sent by weight
}

// put appends whole frames to a lane.
func (q *lanes) put(lane Lane, frame []byte) {
	l := &q.of[lane]
	if last := len(l.blocks) - 1; last < 0 || l.blocks[last].lent != nil || len(l.blocks[last].bytes)+len(frame) > writeBytes {
		q.begin(l, block{bytes: q.written()})
	}
	b := &l.blocks[len(l.blocks)-1]
	b.bytes = append(b.bytes, frame...)
	l.bytes += len(frame)
	q.bytes += len(frame)
}

// putSpan appends a span to a lane, not copied if that is worth it.
func (q *lanes) putSpan(lane Lane, s Span) {
	if s.Lent == nil || len(s.Bytes) < lendBytes {
		q.put(lane, s.Bytes)
		return
	}
	s.Lent.Add(1)
	l := &q.of[lane]
	q.begin(l, block{s.Bytes, s.Lent})
	l.bytes += len(s.Bytes)
	q.bytes += len(s.Bytes)
}

func (q *lanes) begin(l *laneQueue, b block) {
	if len(l.blocks) == 0 {
		l.turn = max(l.turn, q.clock)
	}
	l.blocks = append(l.blocks, b)
}

// written is a block to be used again, or none.
func (q *lanes) written() []byte {
	last := len(q.free) - 1
	if last < 0 {
		return nil
	}
	b := q.free[last]
	q.free[last], q.free = nil, q.free[:last]
	return b
}

// take removes what is written next: a block, and behind one of the link's own those that
// fit in too. Without bytes there is none.
func (q *lanes) take() block {
	lane, ok := q.next()
	if !ok {
		return block{}
	}
	b := q.pop(lane)
	for b.lent == nil {
		lane, ok := q.next()
		if !ok || len(b.bytes)+len(q.of[lane].blocks[0].bytes) > writeBytes {
			break
		}
		more := q.pop(lane)
		b.bytes = append(b.bytes, more.bytes...)
		q.give(more)
	}
	return b
}

func (q *lanes) next() (best Lane, ok bool) {
	for lane := range q.of {
		if l := &q.of[lane]; len(l.blocks) > 0 && (!ok || l.turn < q.of[best].turn) {
			best, ok = Lane(lane), true
		}
	}
	return best, ok
}

func (q *lanes) pop(lane Lane) block {
	l := &q.of[lane]
	b := l.blocks[0]
	l.blocks[0] = block{}
	if l.blocks = l.blocks[1:]; len(l.blocks) == 0 {
		l.blocks = nil
	}
	q.clock = l.turn
	l.turn += len(b.bytes) * weights[LaneControl] / weights[lane]
	l.bytes -= len(b.bytes)
	q.bytes -= len(b.bytes)
	return b
}

// give takes a written block back, or gives it back to who has lent it.
func (q *lanes) give(b block) {
	switch {
	case b.lent != nil:
		b.lent.Add(-1)
	case len(q.free) < keepBlocks && cap(b.bytes) <= 2*writeBytes:
		q.free = append(q.free, b.bytes[:0])
	}
}

// clear drops what waits.
func (q *lanes) clear() { *q = lanes{} }
