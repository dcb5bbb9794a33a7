package cluster

// outLog is what this node has published and some peer has not confirmed, by
// number. Peers hold references (outbox), so that a message is kept once. What is over
// the limit leaves the log at its old end, whoever still lacks it.
type outLog struct {
	ring  []entry // a power of two; the oldest is at head
	head  int
	count int
	first uint64 // number of the oldest, or of the next when there is none
	bytes int
	limit int
}

// entry is a message as it goes over a link, and what decides who wants it.
type entry struct {
	frame     []byte
	namespace string
	rooms     []string
	refs      int // peers that lack it
}

// What an entry costs beside its frame, about, and each number in an outbox:
// where many peers are cut off, the numbers are most of it.
const (
	entryBytes = 80
	refBytes   = 12
)

func (e *entry) bytes() int { return len(e.frame) + entryBytes + e.refs*refBytes }

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
	l.ring[(l.head+l.count)&(len(l.ring)-1)] = e
	l.count++
	l.bytes += e.bytes()
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
		l.bytes -= len(e.frame)
		e.frame, e.rooms = nil, nil
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
	l.bytes -= l.ring[l.head].bytes()
	l.ring[l.head] = entry{}
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.first++
	if l.count--; l.count == 0 && len(l.ring) > keepRing {
		l.ring, l.head = nil, 0
	}
}

// outbox is what one peer lacks, as numbers in the log.
type outbox struct {
	refs    []uint64 // rising
	sent    int      // so many of refs are on the link
	blocked bool     // the link took no more: the next tick tries again
	evicted uint64   // highest number that left the log and that the peer may lack; 0 none
	gap     uint64   // highest number that the peer has to be told is missing; 0 none
	again   uint64   // numbers up to here have been on a link before
}

// evict drops the oldest message though the peer has not confirmed it. It tells
// whether the peer lacks it for sure: what is on the link may arrive yet.
func (o *outbox) evict(seq uint64) (lost bool) {
	if len(o.refs) == 0 || o.refs[0] != seq {
		return false
	}
	o.refs, o.evicted = o.refs[1:], seq
	if o.sent > 0 {
		o.sent--
		return false
	}
	o.gap = seq
	return true
}
