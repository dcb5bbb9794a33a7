package cluster

import (
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// stream is one of the streams between this node and a peer, one for each priority:
// what the peer lacks of the own messages, and what has come of the peer's. Each has
// numbers, a log and a lane of the links of its own, so that one overtakes the other
// and neither makes the other's messages duplicates.
type stream struct {
	out      outbox
	frontier uint64 // highest number of its messages that was processed
}

// byPriority is the order in which streams are sent. The lanes of a link see to it
// that the last one gets its share.
var byPriority = [wire.Streams]wire.Stream{wire.StreamHigh, wire.StreamNormal, wire.StreamLow}

func laneOf(k wire.Stream) mesh.Lane {
	switch k {
	case wire.StreamHigh:
		return mesh.LaneHigh
	case wire.StreamLow:
		return mesh.LaneLow
	}
	return mesh.LaneNormal
}

// streamIn tells which stream goes in a lane; none does in that of control.
func streamIn(lane mesh.Lane) (k wire.Stream, ok bool) {
	for k := range wire.Stream(wire.Streams) {
		if laneOf(k) == lane {
			return k, true
		}
	}
	return 0, false
}

// frontiers are what the peer is told of its messages.
func (p *peer) frontiers() (f wire.Frontiers) {
	for k := range p.streams {
		f[k] = p.streams[k].frontier
	}
	return f
}

// outbox is what one peer lacks, as numbers in the log.
type outbox struct {
	refs    []uint64 // rising; the end of space
	space   []uint64 // that add uses again
	sent    int      // so many of refs are on the link
	blocked bool     // the link took no more: the next tick tries again
	evicted uint64   // highest number that left the log and that the peer may lack; 0 none
	gap     uint64   // highest number that the peer has to be told is missing; 0 none
	again   uint64   // numbers up to here have been on a link before
	unsure  uint64   // numbers up to here may not be what the peer wants by its interest of now
}

// minRefs is the space that an outbox has at least, and keepRefs what it keeps without references.
const (
	minRefs  = 8
	keepRefs = 64
)

// add takes the number of the next message. References leave at the other end: half of a space that they have
// left is used again, and one that is much too large is not.
func (o *outbox) add(seq uint64) {
	if n := len(o.refs); n == cap(o.refs) {
		if free := len(o.space) - n; free < n || free == 0 || len(o.space) > 4*max(n, keepRefs) {
			o.space = make([]uint64, max(minRefs, 2*n))
		}
		copy(o.space, o.refs)
		o.refs = o.space[:n]
	}
	o.refs = append(o.refs, seq)
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

// unlink takes back what is on a link that has ended.
func (o *outbox) unlink() {
	if o.sent > 0 {
		o.again = max(o.again, o.refs[o.sent-1])
	}
	o.sent, o.blocked = 0, false
}

// resume begins on a new link, after the peer's frontier.
func (o *outbox) resume() {
	if o.evicted > 0 {
		o.gap = o.evicted
	}
	o.sent = 0
}

// ready tells whether nothing waits before the last n references.
func (o *outbox) ready(n int) bool { return o.sent == len(o.refs)-n && !o.blocked && o.gap == 0 }

// refused takes back a message that the link did not take, and with it those
// behind it.
func (o *outbox) refused(seq uint64) {
	for o.sent > 0 && o.refs[o.sent-1] >= seq {
		o.sent--
	}
	o.blocked = true
}

// confirm lets go of what the peer has processed.
func (o *outbox) confirm(log *outLog, frontier uint64) {
	n := 0
	for n < len(o.refs) && o.refs[n] <= frontier {
		log.release(o.refs[n])
		n++
	}
	if o.refs, o.sent = o.refs[n:], max(0, o.sent-n); len(o.refs) == 0 {
		if len(o.space) > keepRefs {
			o.space = nil
		}
		o.refs = o.space[:0]
	}
	if o.evicted <= frontier {
		o.evicted = 0
	}
	if n > 0 {
		log.trim()
	}
}
