package cluster

import (
	"errors"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// errForgotten answers a request that was begun, and whose answer is not kept any
// more: it is not done twice.
var errForgotten = errors.New("the answer is lost")

// answers are what this node remembers of the requests of others, so that one that
// is said again on a new link is not done again: a plain value as core is. An id is
// remembered until its asker confirms that it will not come again; an answer as
// long, within limits. Askers that never confirm anything ask once, and nothing is kept.
type answers struct {
	askers map[wire.NodeID]*asker
	kept   []keptAnswer // oldest first; those that were let go of are among them
	live   int          // those that were not
	bytes  int
	limit  int // of bytes
	broken callRule
}

type asker struct {
	confirms bool
	down     bool
	floor    uint64             // confirmed: lower ids do not come again
	forgot   uint64             // lower ids that are not known are not begun any more
	high     uint64             // highest id that was begun
	known    map[uint64]*answer // begun, and not confirmed
	ids      []uint64           // of known, as they came; those that are let go of are among them
}

type answer struct {
	frame []byte // nil while the request is under way
}

type keptAnswer struct {
	from wire.NodeID
	id   uint64
	a    *answer
	at   time.Duration
}

const (
	// maxAnswers and answerBytes limit what is remembered for all askers together,
	// answerAge how long: longer than nearly any caller waits.
	maxAnswers  = 65_536
	answerBytes = 32 << 20
	answerAge   = 2 * time.Minute
	// maxAskers is from how many nodes on those that are down are not remembered.
	maxAskers = maxGone
	// slack is how many entries beyond twice those that count a list may have.
	slack = 1024
)

func newAnswers(limit int) answers {
	return answers{askers: map[wire.NodeID]*asker{}, limit: limit}
}

func (s *answers) asker(id wire.NodeID) *asker {
	k := s.askers[id]
	if k == nil {
		for old, k := range s.askers {
			if len(s.askers) < maxAskers {
				break
			}
			if k.down && len(k.known) == 0 {
				delete(s.askers, old)
			}
		}
		k = &asker{known: map[uint64]*answer{}}
		s.askers[id] = k
	}
	return k
}

// begin tells whether a request is new and is to be done. If not, frame is the answer
// to give again; nil while it is under way, whose answer comes by itself.
func (s *answers) begin(from wire.NodeID, id uint64) (isNew bool, frame []byte) {
	k := s.asker(from)
	if !k.confirms || s.broken&breakMemory != 0 {
		return true, nil
	}
	if a := k.known[id]; a != nil {
		return false, a.frame
	}
	if id < max(k.floor, k.forgot) {
		return false, wire.AppendReply(nil, wire.Reply{ID: id, Error: errForgotten.Error()})
	}
	k.known[id] = &answer{}
	if k.ids = append(k.ids, id); len(k.ids) > 2*len(k.known)+slack {
		k.ids = slices.DeleteFunc(k.ids, func(id uint64) bool { return k.known[id] == nil })
	}
	k.high, k.down = max(k.high, id), false
	return true, nil
}

// done keeps an answer that its asker may ask for again.
func (s *answers) done(from wire.NodeID, id uint64, frame []byte, now time.Duration) {
	k := s.askers[from]
	if k == nil || k.known[id] == nil {
		return
	}
	if id < k.floor { // confirmed while it was under way: nobody waits
		delete(k.known, id)
		return
	}
	a := &answer{frame: frame}
	k.known[id] = a
	s.kept = append(s.kept, keptAnswer{from, id, a, now})
	s.live++
	s.bytes += len(frame)
	for s.bytes > s.limit || s.live > maxAnswers {
		s.dropOldest()
	}
	if len(s.kept) > 2*s.live+slack {
		s.kept = slices.DeleteFunc(s.kept, func(x keptAnswer) bool { return x.a.frame == nil })
	}
}

// dropOldest lets go of an answer. Its id and those below are not begun any more,
// which refuses at worst a request that has been held back as long.
func (s *answers) dropOldest() {
	x := s.kept[0]
	s.kept[0] = keptAnswer{}
	s.kept = s.kept[1:]
	if k := s.askers[x.from]; k != nil && k.known[x.id] == x.a {
		k.forgot = max(k.forgot, x.id+1)
		s.release(k, x.id)
	}
}

func (s *answers) release(k *asker, id uint64) {
	if a := k.known[id]; a != nil && a.frame != nil {
		s.live--
		s.bytes -= len(a.frame)
		a.frame = nil
		delete(k.known, id)
	}
}

// confirmed: the asker will not ask again for what is below floor.
func (s *answers) confirmed(from wire.NodeID, floor uint64) {
	k := s.asker(from)
	k.confirms, k.down = true, false
	k.floor = max(k.floor, floor)
	n := 0
	for n < len(k.ids) && (k.ids[n] < k.floor || k.known[k.ids[n]] == nil) {
		s.release(k, k.ids[n])
		n++
	}
	k.ids = k.ids[n:]
}

// down lets go of the answers for a node that is down. It may be wrong about that
// and ask again: nothing that was begun is done again.
func (s *answers) down(id wire.NodeID) {
	if k := s.askers[id]; k != nil && !k.down {
		if k.confirms {
			s.confirmed(id, k.high+1)
		}
		k.down = true
	}
}

// tick lets go of what is old.
func (s *answers) tick(now time.Duration) {
	for len(s.kept) > 0 && (now-s.kept[0].at > answerAge || s.kept[0].a.frame == nil) {
		s.dropOldest()
	}
	if len(s.kept) == 0 {
		s.kept = nil
	}
}
