package node

import (
	"iter"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// spots is where in the list of each of its topics a session stands. Most have a
// namespace and a few rooms: for those a slice takes a fifth of what a map does, and
// no more time. The zero spots is ready.
type spots struct {
	few  []spot
	many map[wire.Topic]int // instead of few once there were more than maxFew
}

type spot struct {
	topic wire.Topic
	at    int
}

const maxFew = 8

func (s *spots) get(t wire.Topic) (at int, ok bool) {
	if s.many != nil {
		at, ok = s.many[t]
		return at, ok
	}
	for i := range s.few {
		if s.few[i].topic == t {
			return s.few[i].at, true
		}
	}
	return 0, false
}

func (s *spots) set(t wire.Topic, at int) {
	if s.many != nil {
		s.many[t] = at
		return
	}
	for i := range s.few {
		if s.few[i].topic == t {
			s.few[i].at = at
			return
		}
	}
	if len(s.few) < maxFew {
		s.few = append(s.few, spot{t, at})
		return
	}
	s.many = make(map[wire.Topic]int, 2*maxFew)
	for _, x := range s.few {
		s.many[x.topic] = x.at
	}
	s.many[t] = at
	s.few = nil
}

func (s *spots) remove(t wire.Topic) {
	if s.many != nil {
		delete(s.many, t)
		return
	}
	s.few = slices.DeleteFunc(s.few, func(x spot) bool { return x.topic == t })
}

// topics are those that there are at the start; any may be removed meanwhile.
func (s *spots) topics() iter.Seq[wire.Topic] {
	return func(yield func(wire.Topic) bool) {
		for _, x := range slices.Clone(s.few) {
			if !yield(x.topic) {
				return
			}
		}
		for t := range s.many {
			if !yield(t) {
				return
			}
		}
	}
}
