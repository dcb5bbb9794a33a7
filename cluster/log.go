package cluster

// outLog is what this node has published and some peer has not confirmed, by
// number. Peers hold references (outbox), so that a message is kept once. What is over
// the limit leaves the log at its old end, whoever still lacks it.
type outLog struct {
	first   uint64 // number of entries[0]
	entries []entry
	bytes   int
	limit   int
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
	return l.first + uint64(len(l.entries)) - 1
}

// add takes the next message.
func (l *outLog) add(e entry) {
	if l.first == 0 {
		l.first = 1
	}
	l.entries = append(l.entries, e)
	l.bytes += e.bytes()
}

// at is the entry of a number that is referred to.
func (l *outLog) at(seq uint64) *entry { return &l.entries[seq-l.first] }

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
	n := 0
	for n < len(l.entries) && l.entries[n].refs == 0 {
		n++
	}
	l.drop(n)
}

// drop takes off the oldest n entries. The space is kept for the next ones
// unless it was much.
func (l *outLog) drop(n int) {
	for i := range n {
		l.bytes -= l.entries[i].bytes()
		l.entries[i] = entry{}
	}
	l.first += uint64(n)
	if l.entries = l.entries[n:]; len(l.entries) == 0 {
		l.entries = nil
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
