//go:build linux

package torture

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/history"
	"github.com/meshrt/meshrt/cluster/netlab"
)

// world is the history of a run: what clients were promised and what they got,
// and what the nodes' logs say of each other.
type world struct {
	t     *testing.T
	lab   *netlab.Lab
	nodes []*node
	quiet atomic.Bool // publishers pause

	mu         sync.Mutex
	order      history.Order[*member, uint64]
	promises   history.Promises[*stay, uint64]
	last       uint64 // number of the last publisher
	publishers map[*publisher]bool
	members    map[*member]bool
	sent       map[message]*sent // those not judged yet
	trial      *trial            // the fault of now, and the calm after it
	problems   []string
	more       int // problems that are not in the list
}

// publisher is one connection that publishes.
type publisher struct {
	n    *node
	id   uint64
	boot *run
	seq  uint64
	gone bool
	last chan chan struct{} // asks for a last message to every room
}

// sent is a published message.
type sent struct {
	p     *publisher
	at    time.Time
	last  bool
	acked bool
}

// member is one connection that is in rooms.
type member struct {
	n     *node
	boot  atomic.Pointer[run]
	stays map[string]*stay
}

// stay is the time of a member in a room. What is published while it is joined
// and not leaving is promised to it.
type stay struct {
	m       *member
	asked   time.Time
	joined  bool
	leaving bool
}

const maxProblems = 20

func newWorld(t *testing.T, l *netlab.Lab) *world {
	w := &world{t: t, lab: l, publishers: map[*publisher]bool{}, members: map[*member]bool{}, sent: map[message]*sent{}}
	w.trial = &trial{w: w, row: &row{name: "the start"}, began: time.Now()}
	return w
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problemLocked(format, args...)
}

func (w *world) problemLocked(format string, args ...any) {
	if len(w.problems) == maxProblems {
		w.more++
		return
	}
	w.problems = append(w.problems, fmt.Sprintf("%s, %v after it began: ", w.trial.row.name, time.Since(w.trial.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) newPublisher(n *node) *publisher {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	return &publisher{n: n, id: w.last, last: make(chan chan struct{})}
}

func (w *world) connected(p *publisher, to *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.boot = to
	w.publishers[p] = true
}

func (w *world) lostPublisher(p *publisher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.gone = true
	delete(w.publishers, p)
}

// publishing numbers a message, before it is sent, and promises it to all
// whose join has been acknowledged.
func (w *world) publishing(p *publisher, room string, priority uint8, last bool) message {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.seq++
	m := message{Origin: p.id, Seq: p.seq, Priority: priority}
	w.sent[m] = &sent{p: p, at: time.Now(), last: last}
	for x := range w.members {
		if s := x.stays[room]; s != nil && s.joined && !s.leaving {
			w.promises.Add(m, s)
		}
	}
	return m
}

func (w *world) took(p *publisher, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for priority := range priorities {
		if s := w.sent[message{Origin: p.id, Seq: seq, Priority: uint8(priority)}]; s != nil {
			s.acked = true
		}
	}
}

func (w *world) newMember(n *node) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &member{n: n, stays: map[string]*stay{}}
	w.members[m] = true
	return m
}

// lostMember: its connection has ended, so what is open of it may be gone.
func (w *world) lostMember(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, m)
	for _, s := range m.stays {
		w.leaveLocked(s)
	}
	w.order.Forget(m)
}

func (w *world) joining(m *member, room string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.stays[room] = &stay{m: m, asked: time.Now()}
}

func (w *world) joined(m *member, room string) {
	w.mu.Lock()
	s, t := m.stays[room], w.trial
	s.joined = true
	took, counts := time.Since(s.asked), m.n != t.paused
	w.mu.Unlock()
	if counts {
		t.hold(&t.row.join, took, joining, "for a join at "+m.n.name)
	}
}

func (w *world) leaving(m *member, room string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaveLocked(m.stays[room])
}

// leaveLocked gives up what is open, but for messages that later ones of the
// same publisher have overtaken: those are missed.
func (w *world) leaveLocked(s *stay) {
	s.leaving = true
	w.promises.Leave(s, func(m message) bool { return w.order.Overtaken(s.m, m) })
}

func (w *world) left(m *member, room string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(m.stays, room)
}

func (w *world) delivered(to *member, room, data string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := parse(data)
	s := to.stays[room]
	if !ok || s == nil {
		w.problemLocked("a client at %s that is not in %s was sent %q", to.n.name, room, data)
		return
	}
	switch w.order.Deliver(to, m) {
	case history.Duplicate:
		w.trial.row.doubled++
		w.problemLocked("duplicate: a member at %s got %s twice", to.n.name, data)
	case history.Reordered:
		w.trial.row.reordered++
		w.problemLocked("order: a member at %s got %s after later ones", to.n.name, data)
	}
	w.promises.Keep(m, s)
}
