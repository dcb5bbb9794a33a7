package cluster

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Why a Call has no answer.
var (
	ErrNotLinked = errors.New("node is not linked")
	ErrGone      = errors.New("node went away")
	ErrBusy      = errors.New("node is busy")
)

// questions are the requests of this node that wait for an answer: a plain value
// as core is, without lock, clock or socket. A request whose link ends is said again
// on the next one to the same run of the node, which remembers what it has begun
// (answers). It ends when the answer comes, when its caller gives up, or when the node
// is down (MESH §2, §6): by gossip, or by two refused dials.
type questions struct {
	last   uint64 // id
	peers  map[wire.NodeID]*questioned
	unsent int // that are on no link
	bytes  int // of the bodies
	limit  int // of bytes
	broken callRule
}

// callRule is what a test breaks, as rule.
type callRule uint8

const (
	breakAgain  callRule = 1 << iota // nothing is said again
	breakMemory                      // nothing that was begun is remembered
	breakBehind                      // requests overtake the messages before them
)

// questioned is one peer that is asked, or may be.
type questioned struct {
	linked    bool
	remembers bool          // it has said so, by a CONFIRM: what is said again is not done again
	gone      bool          // it refused two dials, and there was no link since
	refusedAt time.Duration // the first of them; 0 none
	probing   bool
	probeAt   time.Duration
	waiting   []*question // by id; those that are over are among them
	live      int         // those that are not
	unsent    int         // of those, that are on no link
	last      uint64      // id
	confirmed uint64      // said with the last CONFIRM
}

type question struct {
	id     uint64
	to     wire.NodeID
	method string
	body   []byte
	behind wire.Frontiers // own messages that go before it; 0 none
	until  time.Duration  // when the caller gives up; 0 not known
	sent   bool           // is on the link
	over   bool
	done   chan reply // capacity one
}

type reply struct {
	body []byte
	err  error
}

const (
	// maxQuestions limits the requests to one peer that wait for an answer.
	maxQuestions = 65_536
	// firstProbe is how long after the end of a link the peer is dialled to see whether it
	// is there at all: many links are back by then.
	firstProbe = 50 * time.Millisecond
	// refusals is how far apart two refused dials must be to mean that the process is
	// gone, and nextProbe the time to the next dial when one was not refused.
	refusals  = 300 * time.Millisecond
	nextProbe = time.Second
)

func newQuestions(limit int) questions {
	return questions{peers: map[wire.NodeID]*questioned{}, limit: limit}
}

func (s *questions) peer(id wire.NodeID, now time.Duration) *questioned {
	p := s.peers[id]
	if p == nil {
		p = &questioned{probeAt: now + firstProbe}
		s.peers[id] = p
	}
	return p
}

// add takes a new question, if there is room and the peer is not known to be gone.
func (s *questions) add(q *question, now time.Duration) error {
	p := s.peer(q.to, now)
	switch {
	case p.gone:
		return ErrNotLinked
	case p.live >= maxQuestions || s.bytes > 0 && s.bytes+len(q.body) > s.limit:
		return ErrBusy
	}
	s.last++
	q.id, p.last = s.last, s.last
	p.waiting = append(p.waiting, q)
	p.live++
	s.count(p, 1)
	s.bytes += len(q.body)
	return nil
}

// end takes a question out, whatever came of it.
func (s *questions) end(q *question) {
	if q.over {
		return
	}
	q.over = true
	s.bytes -= len(q.body)
	q.body = nil
	p := s.peers[q.to]
	if p.live--; !q.sent {
		s.count(p, -1)
	}
	for len(p.waiting) > 0 && p.waiting[0].over {
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
	}
	if len(p.waiting) > 2*p.live+slack {
		p.waiting = slices.DeleteFunc(p.waiting, func(q *question) bool { return q.over })
	}
}

// answered is the question that an answer is for, or nil: nobody waits any more.
func (s *questions) answered(from wire.NodeID, id uint64) *question {
	p := s.peers[from]
	if p == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(p.waiting, id, func(q *question, id uint64) int { return cmp.Compare(q.id, id) })
	if !ok || p.waiting[i].over {
		return nil
	}
	q := p.waiting[i]
	s.end(q)
	return q
}

// linkUp: what waits may be said, or said again. It gives the number of the CONFIRM
// that a link begins with.
func (s *questions) linkUp(id wire.NodeID, now time.Duration) (confirm uint64) {
	p := s.peer(id, now)
	p.linked, p.gone, p.refusedAt = true, false, 0
	p.confirmed = p.floor()
	return p.confirmed
}

// linkDown ends what cannot be said again: the peer left on purpose, or does not
// remember what it has begun.
func (s *questions) linkDown(id wire.NodeID, left bool, now time.Duration) (ended []*question) {
	p := s.peer(id, now)
	p.linked, p.probeAt = false, now+firstProbe
	for _, q := range p.waiting {
		switch {
		case q.over:
		case left || q.sent && !p.remembers || q.sent && s.broken&breakAgain != 0:
			ended = append(ended, q)
		case q.sent:
			q.sent = false
			s.count(p, 1)
		}
	}
	return s.endAll(ended)
}

func (s *questions) endAll(list []*question) []*question {
	for _, q := range list {
		s.end(q)
	}
	return list
}

// down ends all questions to a peer that is neither a member nor linked.
func (s *questions) down(id wire.NodeID) (ended []*question) {
	p := s.peers[id]
	if p == nil || p.linked {
		return nil
	}
	ended = s.endAll(p.open())
	delete(s.peers, id)
	return ended
}

func (p *questioned) open() (list []*question) {
	for _, q := range p.waiting {
		if !q.over {
			list = append(list, q)
		}
	}
	return list
}

// flushTo gives what is for a peer and on no link to send, as far as ready tells that
// the messages before it are on the link. What send does not take waits for the next call.
func (s *questions) flushTo(id wire.NodeID, ready func(to wire.NodeID, behind wire.Frontiers) bool, send func(q *question) bool) {
	p := s.peers[id]
	if p == nil || !p.linked || p.unsent == 0 {
		return
	}
	for _, q := range p.waiting {
		if q.over || q.sent || !ready(id, q.behind) && s.broken&breakBehind == 0 {
			continue
		}
		if !send(q) {
			return
		}
		q.sent = true
		s.count(p, -1)
	}
}

// count keeps how many questions are on no link.
func (s *questions) count(p *questioned, by int) {
	p.unsent += by
	s.unsent += by
}

// floor is the lowest id that may still be asked or asked again.
func (p *questioned) floor() uint64 {
	if len(p.waiting) > 0 {
		return p.waiting[0].id
	}
	return p.last + 1
}

// confirms calls say for each linked peer that may forget more answers than it knows.
func (s *questions) confirms(say func(to wire.NodeID, floor uint64)) {
	for id, p := range s.peers {
		if f := p.floor(); p.linked && f > p.confirmed {
			p.confirmed = f
			say(id, f)
		}
	}
}

// probes are the peers to be dialled now, to see whether anybody is there.
func (s *questions) probes(now time.Duration) (ids []wire.NodeID) {
	for id, p := range s.peers {
		if !p.linked && !p.gone && !p.probing && now >= p.probeAt {
			p.probing = true
			ids = append(ids, id)
		}
	}
	return ids
}

// probed is what came of a probe. The second refusal ends all questions: a machine
// that refuses is there and the node is not, nobody refuses in a partition.
func (s *questions) probed(id wire.NodeID, refused bool, now time.Duration) (ended []*question) {
	p := s.peers[id]
	if p == nil {
		return nil
	}
	p.probing = false
	switch {
	case p.linked:
	case !refused:
		p.refusedAt, p.probeAt = 0, now+nextProbe
	case p.refusedAt == 0:
		p.refusedAt, p.probeAt = now, now+refusals
	default:
		p.gone = true
		return s.endAll(p.open())
	}
	return nil
}
