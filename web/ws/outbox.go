package ws

// Outbox is the queue of groups for one client, bounded by bytes and by groups.
// What Take hands out still counts until Written, or until the next Take: the
// limits hold for all the memory that one slow client pins. It has no lock: its
// owner has one.
type Outbox struct {
	MaxBytes, MaxGroups int

	waiting                 []*Group
	bytes, groups           int // of waiting and of what was taken last
	takenBytes, takenGroups int
}

// Empty says that nothing waits.
func (o *Outbox) Empty() bool { return len(o.waiting) == 0 }

// Add queues g, or reports that it does not fit. An empty outbox takes a group of
// any size: else a group over the limit would end every session it is sent to,
// however fast the client.
func (o *Outbox) Add(g *Group) bool {
	if o.groups > 0 && (o.groups >= o.MaxGroups || g.size > o.MaxBytes-o.bytes) {
		return false
	}
	o.Push(g)
	return true
}

// Why is the limit for which Add does not take g.
func (o *Outbox) Why(g *Group) Slow {
	if g.size > o.MaxBytes-o.bytes {
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
	o.waiting = append(o.waiting, g)
	o.bytes += g.size
	o.groups++
}

// Take hands out all that waits, in order, and forgets what it handed out before.
// It keeps no memory of its own, so an idle client costs none.
func (o *Outbox) Take() []*Group {
	o.Written()
	taken := o.waiting
	o.waiting, o.takenBytes, o.takenGroups = nil, o.bytes, o.groups
	return taken
}

// Written forgets what Take handed out last. Whoever takes again after each write
// does not need it.
func (o *Outbox) Written() {
	o.bytes -= o.takenBytes
	o.groups -= o.takenGroups
	o.takenBytes, o.takenGroups = 0, 0
}

// Drop forgets everything.
func (o *Outbox) Drop() { *o = Outbox{MaxBytes: o.MaxBytes, MaxGroups: o.MaxGroups} }
