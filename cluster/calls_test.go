package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func questionTo(to wire.NodeID, size int) *question {
	return &question{to: to, body: make([]byte, size), done: make(chan reply, 1)}
}

// What becomes of a request that is on a link, by what happens to that link.
func TestWhatEndsAQuestion(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		old   bool // the peer does not say that it remembers
		do    func(s *questions) []*question
		ended bool
	}{
		{"a break", false, func(s *questions) []*question { return s.linkDown(2, false, 1) }, false},
		{"a break of a link to an old node", true, func(s *questions) []*question { return s.linkDown(2, false, 1) }, true},
		{"the peer leaves", false, func(s *questions) []*question { return s.linkDown(2, true, 1) }, true},
		{"gossip, with a link", false, func(s *questions) []*question { return s.down(2) }, false},
		{"gossip, without a link", false, func(s *questions) []*question { s.linkDown(2, false, 1); return s.down(2) }, true},
		{"one refusal", false, func(s *questions) []*question { s.linkDown(2, false, 1); return s.probed(2, true, 101*ms) }, false},
		{"two refusals", false, func(s *questions) []*question {
			s.linkDown(2, false, 1)
			s.probed(2, true, 101*ms)
			return s.probed(2, true, 601*ms)
		}, true},
		{"two refusals with silence between", false, func(s *questions) []*question {
			s.linkDown(2, false, 1)
			s.probed(2, true, 101*ms)
			s.probed(2, false, 601*ms)
			return s.probed(2, true, 1601*ms)
		}, false},
		{"two refusals with a link between", false, func(s *questions) []*question {
			s.linkDown(2, false, 1)
			s.probed(2, true, 101*ms)
			s.linkUp(2, 200*ms)
			s.linkDown(2, false, 300*ms)
			return s.probed(2, true, 601*ms)
		}, false},
		{"a refusal that comes late", false, func(s *questions) []*question { return s.probed(2, true, 1) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newQuestions(100)
			s.linkUp(2, 1)
			s.peers[2].remembers = !tt.old
			q := questionTo(2, 10)
			if err := s.add(q, 1); err != nil {
				t.Fatal(err)
			}
			s.flushTo(2, func(wire.NodeID, wire.Frontiers) bool { return true }, func(*question) bool { return true })
			if ended := tt.do(&s); (len(ended) == 1) != tt.ended || q.over != tt.ended || (s.bytes == 0) != tt.ended {
				t.Errorf("ended %v, over %v, %d bytes", ended, q.over, s.bytes)
			}
		})
	}
}

func TestProbesAreDialledInTime(t *testing.T) {
	s := newQuestions(100)
	s.linkUp(2, 1)
	s.linkDown(2, false, 1000)
	at := func(now time.Duration, want int) {
		t.Helper()
		if got := s.probes(1000 + now); len(got) != want {
			t.Fatalf("%v after the break: probes %v, want %d", now, got, want)
		}
	}
	at(firstProbe-1, 0)
	at(firstProbe, 1)
	at(time.Minute, 0) // one at a time
	s.probed(2, true, 1000+firstProbe)
	at(firstProbe+refusals-1, 0)
	at(firstProbe+refusals, 1)
	s.probed(2, true, 1000+firstProbe+refusals)
	at(time.Hour, 0)
	if err := s.add(questionTo(2, 1), 1); !errors.Is(err, ErrNotLinked) {
		t.Errorf("a question to a node that is gone: %v", err)
	}
	s.linkUp(2, time.Hour)
	if err := s.add(questionTo(2, 1), 1); err != nil {
		t.Errorf("after a link: %v", err)
	}
}

func TestLimitsOfQuestions(t *testing.T) {
	s := newQuestions(100)
	if err := s.add(questionTo(2, 200), 1); err != nil {
		t.Errorf("one that is larger than the limit goes alone: %v", err)
	}
	if err := s.add(questionTo(3, 1), 1); !errors.Is(err, ErrBusy) {
		t.Errorf("beside it: %v", err)
	}
	s = newQuestions(100)
	for _, size := range []int{60, 40} {
		if err := s.add(questionTo(2, size), 1); err != nil {
			t.Error(err)
		}
	}
	if err := s.add(questionTo(2, 1), 1); !errors.Is(err, ErrBusy) {
		t.Errorf("one byte more: %v", err)
	}
	s = newQuestions(100)
	for range maxQuestions {
		s.add(questionTo(2, 0), 1)
	}
	if err := s.add(questionTo(2, 0), 1); !errors.Is(err, ErrBusy) {
		t.Errorf("question %d: %v", maxQuestions+1, err)
	}
	if err := s.add(questionTo(3, 0), 1); err != nil {
		t.Errorf("to another node: %v", err)
	}
	for _, q := range s.peers[2].open() {
		s.end(q)
	}
	if p := s.peers[2]; len(p.waiting) != 0 || p.live != 0 || s.unsent != 1 {
		t.Errorf("left: %d, %d, %d", len(p.waiting), p.live, s.unsent)
	}
}

func repeated(s *answers, id uint64) string {
	isNew, frame := s.begin(1, id)
	switch {
	case isNew:
		return "new"
	case frame == nil:
		return "under way"
	}
	r, _ := wire.DecodeReply(frame[4:])
	return r.Error + string(r.Body)
}

// What a request that is said again is told.
func TestWhatIsRemembered(t *testing.T) {
	said := func(s *answers, id uint64, now time.Duration) {
		s.begin(1, id)
		s.done(1, id, wire.AppendReply(nil, wire.Reply{ID: id, Body: fmt.Append(nil, "a", id)}), now)
	}
	lost := errForgotten.Error()
	size := len(wire.AppendReply(nil, wire.Reply{ID: 5, Body: []byte("a5")}))
	for _, tt := range []struct {
		name string
		do   func(s *answers)
		want [2]string // of 5 and 6
	}{
		{"nothing", func(s *answers) {}, [2]string{"new", "new"}},
		{"under way", func(s *answers) { s.begin(1, 5) }, [2]string{"under way", "new"}},
		{"answered", func(s *answers) { said(s, 5, 1) }, [2]string{"a5", "new"}},
		{"confirmed", func(s *answers) { said(s, 5, 1); s.confirmed(1, 6) }, [2]string{lost, "new"}},
		{"confirmed under way", func(s *answers) { s.begin(1, 5); s.confirmed(1, 6) }, [2]string{"under way", "new"}},
		{"too old", func(s *answers) { said(s, 5, 1); said(s, 6, 2); s.tick(2 + answerAge) }, [2]string{lost, "a6"}},
		{"bytes at the limit", func(s *answers) { s.limit = 2 * size; said(s, 5, 1); said(s, 6, 1) }, [2]string{"a5", "a6"}},
		{"bytes over the limit", func(s *answers) { s.limit = 2*size - 1; said(s, 5, 1); said(s, 6, 1) }, [2]string{lost, "a6"}},
		{"asker down", func(s *answers) { said(s, 5, 1); s.down(1) }, [2]string{lost, "new"}},
		{"asker never confirms", func(s *answers) { delete(s.askers, 1); said(s, 5, 1) }, [2]string{"new", "new"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAnswers(1000)
			s.confirmed(1, 1)
			tt.do(&s)
			if got := [2]string{repeated(&s, 5), repeated(&s, 6)}; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAnswersAreLimitedInNumber(t *testing.T) {
	s := newAnswers(1 << 30)
	s.confirmed(1, 1)
	for id := uint64(1); id <= maxAnswers; id++ {
		s.begin(1, id)
		s.done(1, id, []byte{0, 0, 0, 0}, 1)
	}
	if s.live != maxAnswers || len(s.askers[1].known) != maxAnswers {
		t.Errorf("%d answers are kept, want %d", s.live, maxAnswers)
	}
	s.begin(1, maxAnswers+1)
	s.done(1, maxAnswers+1, []byte{0, 0, 0, 0}, 1)
	if isNew, _ := s.begin(1, 1); isNew || s.live != maxAnswers {
		t.Errorf("the oldest is new: %v; %d are kept", isNew, s.live)
	}
	s.confirmed(1, maxAnswers+2)
	if s.tick(1); s.live != 0 || s.bytes != 0 || len(s.kept) != 0 || len(s.askers[1].known) != 0 || len(s.askers[1].ids) != 0 {
		t.Errorf("left: %d, %d bytes, %d, %d", s.live, s.bytes, len(s.kept), len(s.askers[1].known))
	}
}

// Lists do not grow with what has passed while one request takes long.
func TestOneLongQuestionKeepsNothingElse(t *testing.T) {
	asks, does := newQuestions(1000), newAnswers(1000)
	asks.linkUp(2, 1)
	does.confirmed(1, 1)
	asks.add(questionTo(2, 1), 1)
	does.begin(1, 1)
	for id := uint64(2); id < 20_000; id++ {
		q := questionTo(2, 1)
		asks.add(q, 1)
		does.begin(1, id)
		does.done(1, id, make([]byte, 10), 1)
		if asks.answered(2, id) != q {
			t.Fatal("no answer")
		}
	}
	if n := len(asks.peers[2].waiting); n > 2*slack {
		t.Errorf("the asker keeps %d", n)
	}
	if k := does.askers[1]; len(k.ids) > 2*slack || len(k.known) > 2*slack || len(does.kept) > 2*slack {
		t.Errorf("the other keeps %d, %d, %d", len(k.ids), len(k.known), len(does.kept))
	}
	asks.confirms(func(_ wire.NodeID, floor uint64) { t.Errorf("floor %d", floor) })
}

func TestAskersThatAreDownAreLimited(t *testing.T) {
	s := newAnswers(1000)
	for id := range wire.NodeID(maxAskers + 100) {
		s.confirmed(id, 1)
		s.down(id)
	}
	if len(s.askers) > maxAskers {
		t.Errorf("%d are remembered", len(s.askers))
	}
}

// Requests that overtook their messages in another lane wait for them.
func TestRequestsAreHeldUntilTheirMessagesCame(t *testing.T) {
	h := held{}
	ids := func(list []wire.Request) (ids []uint64) {
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids
	}
	h.add(2, wire.Request{ID: 1, After: wire.Frontiers{5, 0, 0}})
	h.add(2, wire.Request{ID: 2, After: wire.Frontiers{5, 3, 0}})
	h.add(2, wire.Request{ID: 3, After: wire.Frontiers{0, 0, 9}})
	h.add(3, wire.Request{ID: 4, After: wire.Frontiers{1}})
	for _, tt := range []struct {
		frontiers wire.Frontiers
		want      []uint64
	}{{wire.Frontiers{4, 9, 8}, nil}, {wire.Frontiers{5, 2, 8}, []uint64{1}}, {wire.Frontiers{6, 2, 9}, []uint64{3}}, {wire.Frontiers{6, 3, 9}, []uint64{2}}} {
		if got := ids(h.take(2, tt.frontiers)); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.frontiers, got, tt.want)
		}
	}
	if len(h) != 1 || len(h[3]) != 1 {
		t.Errorf("left: %v", h)
	}
	for i := range maxServing {
		if !h.add(2, wire.Request{}) {
			t.Fatalf("number %d is refused", i+1)
		}
	}
	if h.add(2, wire.Request{}) {
		t.Errorf("number %d is taken", maxServing+1)
	}
}

// What a request tells to come before it is what is on the link, and not later.
func TestARequestTellsWhatIsBeforeIt(t *testing.T) {
	c := newCore()
	p := c.peer(2)
	p.linked, p.synced = true, true
	o := &p.streams[wire.StreamNormal].out
	o.refs, o.sent = []uint64{3, 5, 8, 9}, 3
	for _, tt := range []struct {
		upTo, last uint64
		said       bool
	}{{0, 0, true}, {2, 0, true}, {3, 3, true}, {6, 5, true}, {8, 8, true}, {9, 8, false}, {20, 8, false}} {
		upTo := wire.Frontiers{wire.StreamNormal: tt.upTo}
		if got, said := c.saidTo(2, upTo)[wire.StreamNormal], c.isSaid(2, upTo); got != tt.last || said != tt.said {
			t.Errorf("up to %d: %d, %v; want %d, %v", tt.upTo, got, said, tt.last, tt.said)
		}
	}
}
