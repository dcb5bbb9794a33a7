package ws

import "sync"

// Outbox is the queue of groups for one client, bounded by bytes and by groups.
// What Take hands out still counts until Written, or until the next Take: the
// limits hold for all the memory that one slow client pins, but for answers (NewAnswer). It has no lock: its
// owner has one.
type Outbox struct {
	groups, takenGroups uint32 // of all that waits and of what was taken last; of the latter
	bytes, takenBytes   int
	waiting             []*Group // all that waits, but for what is in lanes
	lanes               *lanes   // nil mostly

	MaxBytes, MaxGroups int

	answers *answers // nil mostly
}

// Empty says that nothing waits.
func (o *Outbox) Empty() bool { return len(o.waiting) == 0 && o.lanes == nil }

// Idle says that nothing waits, nor is being written.
func (o *Outbox) Idle() bool { return o.groups == 0 }

// Bytes is what waits, and what is being written.
func (o *Outbox) Bytes() int { return o.bytes }

// WritesNow counts g, which was not queued, as if Take had handed it out.
func (o *Outbox) WritesNow(g *Group) {
	o.takenBytes, o.takenGroups = o.takenBytes+g.size, o.takenGroups+1
	o.bytes, o.groups = o.bytes+g.size, o.groups+1
}

// Add queues g at its Place, or reports that it does not fit. An empty outbox takes
// a group of any size: else a group over the limit would end every session it is
// sent to, however fast the client.
func (o *Outbox) Add(g *Group) bool {
	if o.groups > 0 && (int(o.groups) >= o.MaxGroups || g.counts() > o.MaxBytes-o.bytes) {
		return false
	}
	o.Push(g)
	return true
}

// Why is the limit for which Add does not take g.
func (o *Outbox) Why(g *Group) Slow {
	if g.counts() > o.MaxBytes-o.bytes {
		return SlowBytes
	}
	return SlowMessages
}

// Writing says that what Take handed out last may not be out: a client that does
// not read is told from one that does by that alone. What is volatile is left out
// then, as the official server does while a transport is not writable.
func (o *Outbox) Writing() bool { return o.takenGroups > 0 }

// Push queues a group of the server's own, such as a ping, without regard to the
// limits. Whoever uses it bounds how many can wait.
func (o *Outbox) Push(g *Group) {
	o.bytes += g.counts()
	o.groups++
	if g.shared != nil {
		o.addAnswer()
	}
	if o.lanes == nil && g.place != High && g.place != Low {
		if o.waiting == nil {
			o.waiting = batches.Get().(*firstBatch)[:0]
		}
		o.waiting = append(o.waiting, g) // is behind all that waits
		return
	}
	o.place(g)
}

// firstBatch is what a client gets when something waits for it. Conn gives it back when
// that is out, so that a delivery to a client that reads allocates nothing.
type firstBatch [16]*Group

var batches = sync.Pool{New: func() any { return new(firstBatch) }}

// giveBack is for a batch that is out and cleared. What Take has cut off a longer
// queue is no firstBatch, or one that nothing else is a part of.
func giveBack(batch []*Group) {
	if cap(batch) == len(firstBatch{}) {
		batches.Put((*firstBatch)(batch[:cap(batch)]))
	}
}

// The limits of what Take hands out at once: what comes later and is of a higher
// priority waits for no more than that. One group may be larger.
const (
	batchBytes  = 64 << 10
	batchGroups = 256
)

// Take hands out what is to be written next, in order, and forgets what it handed
// out before. Whoever has written it clears it: what still waits may keep the slice.
// When nothing waits there is none, so an idle client costs no memory.
func (o *Outbox) Take() []*Group {
	o.Written()
	if o.lanes == nil && o.bytes <= batchBytes && o.groups <= batchGroups {
		return o.TakeAll()
	}
	next := o.next()
	n, size, counted := 0, 0, 0
	for n < len(*next) && n < batchGroups && size < batchBytes {
		size += (*next)[n].size
		counted += (*next)[n].counts()
		n++
	}
	taken := (*next)[:n:n]
	if *next = (*next)[n:]; len(*next) == 0 {
		*next = nil
		o.settle()
	}
	o.takenBytes, o.takenGroups = counted, uint32(n)
	o.takeAnswers(taken)
	return taken
}

// TakeAll is Take without limits, for an answer that holds all that waits.
func (o *Outbox) TakeAll() []*Group {
	o.Written()
	taken := o.waiting
	if o.lanes != nil {
		taken = o.inOrder()
	}
	o.waiting, o.lanes = nil, nil
	o.takenBytes, o.takenGroups = o.bytes, o.groups
	o.takeAnswers(taken)
	return taken
}

// Written forgets what Take handed out last. Whoever takes again after each write
// does not need it.
func (o *Outbox) Written() {
	o.bytes -= o.takenBytes
	o.groups -= o.takenGroups
	o.takenBytes, o.takenGroups = 0, 0
	o.answersWritten()
}

// Drop forgets everything.
func (o *Outbox) Drop() {
	o.dropAnswers()
	*o = Outbox{MaxBytes: o.MaxBytes, MaxGroups: o.MaxGroups}
}
