package node

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
)

// Limits of what is said of quiet sessions. A session that got nothing since the last look at it is quiet, so
// what was said is at most two periods old when its client is lost: less than messages are kept beyond the window.
const (
	quietPeriod = 10 * time.Second // between two looks at a session; a quarter of the window if that is less
	quietBatch  = 64               // sessions of a look, if there are that many
	quietMost   = 1024             // ... at most; the period is longer for more than half a million
)

// loud is the last delivery of a session of which nothing is to be said: it is not open, or gone.
const loud = math.MaxUint64

// quiet tells the machine of sessions that get nothing, some at a time: their cursors are older than the order
// some time, see recovery.Machine.Quiet. It is guarded by Node.mu, but for the parts of a look that is under way.
type quiet struct {
	period time.Duration
	next   time.Duration // of the next look, as atLocked has it
	at     int           // what is behind that in open.list has been looked at
	upto   uint64        // place of the last look: all before it is in the shards' inboxes, before the look
	calm   int           // sessions looked at with that place
	parts  []quietPart   // by number of the shard
	left   atomic.Int32  // shards that have not looked
}

// quietPart is a shard's while it has not looked.
type quietPart struct {
	sessions []*Session
	last     []uint64
}

func newQuiet(window time.Duration, shards int) *quiet {
	return &quiet{period: min(window/4, quietPeriod), parts: make([]quietPart, shards)}
}

// quietLocked is one tick's work.
func (r *recoverer) quietLocked(x *recovery.Machine) {
	q := r.quiet
	if q.left.Load() > 0 {
		return
	}
	r.tellQuietLocked(x)
	if now := time.Since(r.started); now >= q.next {
		r.lookLocked(x, now)
	}
}

// lookLocked asks the shards what some sessions got last. The list is walked from its end: what takes the place of
// a session that goes has been looked at.
func (r *recoverer) lookLocked(x *recovery.Machine, now time.Duration) {
	q, all := r.quiet, len(r.open.list)
	if last := x.Last(); last != q.upto {
		q.upto, q.calm = last, 0
	}
	if q.calm >= 2*all { // nothing was handed out since all were found quiet
		return
	}
	n := max(quietBatch, int(time.Duration(all)*recovery.TickEvery/q.period))
	n = min(n, quietMost, all)
	for range n {
		if q.at--; q.at < 0 || q.at >= all {
			q.at = all - 1
		}
		s := r.open.list[q.at]
		part := &q.parts[s.shard.number]
		part.sessions = append(part.sessions, s)
	}
	q.calm += n
	q.next = now + q.period*time.Duration(n)/time.Duration(all)
	for i := range q.parts {
		if len(q.parts[i].sessions) > 0 {
			q.left.Add(1)
			r.n.shards[i].push(item{op: opQuiet})
		}
	}
}

// quieten is the shard's look at its part. What it says is of all that was pushed before.
func (s *shard) quieten(q *quiet) {
	part := &q.parts[s.number]
	for _, x := range part.sessions {
		last := x.last
		if x.held || x.dropped {
			last = loud
		}
		part.last = append(part.last, last)
	}
	q.left.Add(-1)
}

// tellQuietLocked says what the shards have found.
func (r *recoverer) tellQuietLocked(x *recovery.Machine) {
	q := r.quiet
	for i := range q.parts {
		part := &q.parts[i]
		for j, last := range part.last {
			s := part.sessions[j]
			if k := s.kept; k != nil && r.open.has(s) && last != loud {
				if k.heard == last {
					x.Quiet(k.pid, last, q.upto)
				}
				k.heard = last
			}
		}
		clear(part.sessions)
		part.sessions, part.last = part.sessions[:0], part.last[:0]
	}
}

// residents are the sessions whose client is here, of those that can be recovered.
type residents struct {
	by   map[recovery.PID]*Session
	list []*Session // in no order
}

func (o *residents) of(pid recovery.PID) *Session { return o.by[pid] }

func (o *residents) has(s *Session) bool { return s.kept != nil && o.by[s.kept.pid] == s }

func (o *residents) add(s *Session) {
	if old := o.by[s.kept.pid]; old != nil {
		o.remove(old)
	}
	o.by[s.kept.pid], s.kept.at = s, len(o.list)
	o.list = append(o.list, s)
}

// remove fills the gap with the last one. It does nothing for one that is not there.
func (o *residents) remove(s *Session) {
	if !o.has(s) {
		return
	}
	delete(o.by, s.kept.pid)
	end := len(o.list) - 1
	moved := o.list[end]
	o.list[s.kept.at], moved.kept.at = moved, s.kept.at
	o.list[end] = nil
	o.list = o.list[:end]
}
