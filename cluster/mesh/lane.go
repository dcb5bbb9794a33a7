package mesh

// Lane is one of the queues of a link's direction. Frames of a lane keep their
// order; those of different lanes may overtake each other.
type Lane uint8

// The lanes, by the order in which they go: all but control have data.
const (
	LaneControl Lane = iota
	LaneHigh
	LaneNormal
	LaneLow
	Lanes = 4
)

// weights are the shares of lanes that are never empty. So control, which is small
// but for a SYNC, goes at once, and low messages are slow, not stuck.
var weights = [Lanes]int{8, 4, 2, 1}

const (
	// writeBytes is how much is written at a time, but for a frame that is larger:
	// what comes after a choice has been made waits for no more.
	writeBytes = 64 << 10
	// keepBlocks is how many written blocks a link keeps for what comes next.
	keepBlocks = 4
)

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

type laneQueue struct {
	blocks [][]byte
	bytes  int
	turn   int // bytes sent by weight
}

// put appends whole frames to a lane.
func (q *lanes) put(lane Lane, frame []byte) {
	l := &q.of[lane]
	if last := len(l.blocks) - 1; last < 0 || len(l.blocks[last])+len(frame) > writeBytes {
		q.begin(l)
	}
	b := &l.blocks[len(l.blocks)-1]
	*b = append(*b, frame...)
	l.bytes += len(frame)
	q.bytes += len(frame)
}

func (q *lanes) begin(l *laneQueue) {
	if len(l.blocks) == 0 {
		l.turn = max(l.turn, q.clock)
	}
	l.blocks = append(l.blocks, q.written())
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

// take removes what is written next: a block, and those behind it that fit in too.
func (q *lanes) take() []byte {
	lane, ok := q.next()
	if !ok {
		return nil
	}
	b := q.pop(lane)
	for {
		lane, ok := q.next()
		if !ok || len(b)+len(q.of[lane].blocks[0]) > writeBytes {
			return b
		}
		more := q.pop(lane)
		b = append(b, more...)
		q.give(more)
	}
}

func (q *lanes) next() (best Lane, ok bool) {
	for lane := range q.of {
		if l := &q.of[lane]; len(l.blocks) > 0 && (!ok || l.turn < q.of[best].turn) {
			best, ok = Lane(lane), true
		}
	}
	return best, ok
}

func (q *lanes) pop(lane Lane) []byte {
	l := &q.of[lane]
	b := l.blocks[0]
	l.blocks[0] = nil
	if l.blocks = l.blocks[1:]; len(l.blocks) == 0 {
		l.blocks = nil
	}
	q.clock = l.turn
	l.turn += len(b) * weights[LaneControl] / weights[lane]
	l.bytes -= len(b)
	q.bytes -= len(b)
	return b
}

// give takes a written block back.
func (q *lanes) give(b []byte) {
	if len(q.free) < keepBlocks && cap(b) <= 2*writeBytes {
		q.free = append(q.free, b[:0])
	}
}

// clear drops what waits.
func (q *lanes) clear() { *q = lanes{} }
