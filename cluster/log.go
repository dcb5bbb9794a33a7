package cluster

import "github.com/meshrt/meshrt/wire"

// logs are the own messages of all streams that some peer has not confirmed, under
// one limit.
type logs struct {
	of    [wire.Streams]outLog
	limit int // bytes
}

func (l *logs) bytes() int {
	n := 0
	for k := range l.of {
		n += l.of[k].bytes
	}
	return n
}

// heads are the numbers of the last messages.
func (l *logs) heads() (f wire.Frontiers) {
	for k := range l.of {
		f[k] = l.of[k].last()
	}
	return f
}

// What low and normal messages may keep of the limit however many others there are,
// in parts of it: a flood of one priority for a peer that is cut off must not cost
// the others what peers with a link are about to confirm.
const (
	keepLow    = 8
	keepNormal = 4
)

// victim is the stream whose oldest message goes when the limit is exceeded: the
// lowest priority that has more than its share. One of them has, as the shares are
// less than the whole.
func (l *logs) victim() wire.Stream {
	switch {
	case l.of[wire.StreamLow].bytes > l.limit/keepLow:
		return wire.StreamLow
	case l.of[wire.StreamNormal].bytes > l.limit/keepNormal:
		return wire.StreamNormal
	}
	return wire.StreamHigh
}

// outLog is what this node has published in a stream and some peer has not confirmed,
// by number. Peers hold references (outbox), so that a message is kept once. When it is
// too much it leaves the log at its old end, whoever still lacks it.
type outLog struct {
	ring  []entry // a power of two; the oldest is at head
	head  int
	count int
	first uint64 // number of the oldest, or of the next when there is none
	bytes int
	arena arena
}

// entry is a message as it goes over a link. Whom it is for is read from there: the log
// may have a million of them, and the garbage collector goes through all that they refer to.
type entry struct {
	chunk *chunk // that its frame is in, from at on; nil when nobody lacks it
	at    uint32
	size  uint32
	refs  uint32 // peers that lack it
}

// frame may be lengthened by those that follow it in its chunk.
func (e *entry) frame() []byte { return e.chunk.bytes[e.at : e.at+e.size] }

// What an entry costs beside its frame, about, and each number in an outbox:
// where many peers are cut off, the numbers are most of it.
const (
	entryBytes = 80
	refBytes   = 12
)

func (e entry) bytes() int { return int(e.size) + entryBytes + int(e.refs)*refBytes }

// last is the number of the last message.
func (l *outLog) last() uint64 {
	if l.first == 0 {
		return 0
	}
	return l.first + uint64(l.count) - 1
}

// add takes the next message.
func (l *outLog) add(e entry) {
	if l.first == 0 {
		l.first = 1
	}
	if l.count == len(l.ring) {
		l.resize(max(minRing, 2*len(l.ring)))
	}
	// The fields one by one: a copy of an entry that was just made reads two of them at once, for which
	// the processor waits until they, and all that was written before, frame included, are in its
	// cache: 40 ns where the log is long.
	to := &l.ring[(l.head+l.count)&(len(l.ring)-1)]
	to.chunk, to.at, to.size, to.refs = e.chunk, e.at, e.size, e.refs
	l.count++
	l.bytes += e.bytes()
	l.arena.keep(e)
}

// minRing and keepRing are how many entries the ring has at least, and how many it
// may keep when it is empty.
const (
	minRing  = 64
	keepRing = 16384
)

func (l *outLog) resize(size int) {
	ring := make([]entry, size)
	n := copy(ring, l.ring[l.head:])
	copy(ring[n:], l.ring[:l.head])
	l.ring, l.head = ring, 0
}

// at is the entry of a number that is referred to.
func (l *outLog) at(seq uint64) *entry { return &l.ring[(l.head+int(seq-l.first))&(len(l.ring)-1)] }

// release takes a reference back. A message that nobody lacks is let go of, though
// older ones stay.
func (l *outLog) release(seq uint64) {
	e := l.at(seq)
	l.bytes -= refBytes
	if e.refs--; e.refs == 0 {
		l.bytes -= int(e.size)
		l.arena.leave(e)
		e.chunk, e.size = nil, 0
	}
}

// trim lets go of what nobody lacks.
func (l *outLog) trim() {
	for l.count > 0 && l.ring[l.head].refs == 0 {
		l.drop()
	}
}

// drop takes off the oldest entry.
func (l *outLog) drop() {
	e := &l.ring[l.head]
	l.bytes -= e.bytes()
	l.arena.leave(e)
	*e = entry{}
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.first++
	if l.count--; l.count == 0 && len(l.ring) > keepRing {
		l.ring, l.head = nil, 0
	}
}
