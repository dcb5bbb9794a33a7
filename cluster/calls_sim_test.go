package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// callSim drives questions of node 1 and answers of node 2 through made-up time, with a
// link that breaks and loses what is on the way, one millisecond a step.
type callSim struct {
	r    *rand.Rand
	now  time.Duration
	asks questions
	does answers

	up     [2]bool // what each end believes; 0 is the asker
	gen    int     // of the link
	inStep bool
	wire   [2][]callFrame // to each end
	last   [2]time.Duration

	published, frontier uint64 // messages of the asker; processed by the other
	dead                bool
	begun               map[uint64]int
	work                []callFrame // answers that will be ready
	list                []*question
	asked               map[*question]time.Duration
	problems            []string
}

// callFrame is a request, an answer, a message or a CONFIRM that arrives at a time.
type callFrame struct {
	at                 time.Duration
	q                  *question
	frame              []byte
	id, message, floor uint64
}

func newCallSim(seed uint64, broken callRule) *callSim {
	s := &callSim{r: rand.New(rand.NewPCG(seed, 1)), now: time.Second, asks: newQuestions(1 << 20), does: newAnswers(answerBytes),
		begun: map[uint64]int{}, asked: map[*question]time.Duration{}}
	s.asks.broken, s.does.broken = broken, broken
	return s
}

func (s *callSim) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *callSim) between(a, b int) time.Duration {
	return time.Duration(a+s.r.IntN(b-a)) * time.Millisecond
}

// send puts a frame on the link, behind those before it.
func (s *callSim) send(to int, f callFrame) {
	s.last[to] = max(s.last[to], s.now+s.between(1, 20))
	f.at = s.last[to]
	s.wire[to] = append(s.wire[to], f)
}

func (s *callSim) connect() {
	s.gen++
	s.up, s.inStep, s.wire = [2]bool{true, true}, false, [2][]callFrame{}
	s.send(1, callFrame{floor: s.asks.linkUp(2, s.now)})
	s.asks.peer(2, s.now).remembers = true
}

func (s *callSim) cut() {
	s.up, s.inStep = [2]bool{}, false
	s.wire = [2][]callFrame{} // what is on the way is lost
	s.gone(s.asks.linkDown(2, false, s.now))
}

func (s *callSim) gone(list []*question) {
	for _, q := range list {
		q.done <- reply{err: ErrGone}
	}
}

// step is a millisecond.
func (s *callSim) step() {
	s.now += time.Millisecond
	if s.up[0] && !s.inStep && s.r.IntN(20) == 0 { // its SYNC has come: what it lacks goes first
		s.inStep = true
		for m := s.frontier + 1; m <= s.published; m++ {
			s.send(1, callFrame{message: m})
		}
	}
	for to := range 2 {
		for len(s.wire[to]) > 0 && s.wire[to][0].at <= s.now {
			f := s.wire[to][0]
			s.wire[to] = s.wire[to][1:]
			s.arrive(to, f)
		}
	}
	for i := 0; i < len(s.work); i++ {
		if w := s.work[i]; w.at <= s.now {
			s.work = append(s.work[:i], s.work[i+1:]...)
			i--
			s.does.done(1, w.id, w.frame, s.now)
			if s.up[1] {
				s.send(0, w)
			}
		}
	}
	s.asks.flushTo(2, func(_ wire.NodeID, upTo wire.Frontiers) bool { return upTo[0] == 0 || s.inStep }, func(q *question) bool {
		if s.r.IntN(10) == 0 {
			return false // no room
		}
		s.send(1, callFrame{q: q, id: q.id})
		return true
	})
	for _, q := range s.list {
		if !q.over && s.now >= q.until {
			s.asks.end(q)
			q.done <- reply{err: errors.New("timeout")}
		}
	}
	if s.now%confirmEvery == 0 && s.up[0] {
		s.asks.confirms(func(_ wire.NodeID, floor uint64) { s.send(1, callFrame{floor: floor}) })
	}
	s.does.tick(s.now)
	for range s.asks.probes(s.now) {
		s.gone(s.asks.probed(2, s.dead, s.now))
	}
}

func (s *callSim) arrive(to int, f callFrame) {
	switch {
	case to == 0:
		if q := s.asks.answered(2, f.id); q != nil {
			q.done <- reply{body: f.frame}
		}
	case s.dead:
	case f.message > 0:
		s.frontier = max(s.frontier, f.message)
	case f.floor > 0:
		s.does.confirmed(1, f.floor)
	default:
		s.request(f)
	}
}

func (s *callSim) request(f callFrame) {
	if s.frontier < f.q.behind[0] {
		s.problem("request %d came before message %d", f.id, f.q.behind[0])
	}
	isNew, frame := s.does.begin(1, f.id)
	switch {
	case isNew:
		if s.begun[f.id]++; s.begun[f.id] > 1 {
			s.problem("request %d was done twice", f.id)
		}
		s.work = append(s.work, callFrame{at: s.now + s.between(1, 300), id: f.id, frame: []byte{1}})
	case frame != nil:
		s.send(0, callFrame{id: f.id, frame: frame})
	}
}

// act is what may happen in one step.
func (s *callSim) act(mayDie, mayForget bool) {
	switch k := s.r.IntN(1000); {
	case k < 30:
		s.published++
		if s.inStep {
			s.send(1, callFrame{message: s.published})
		}
	case k < 60:
		q := &question{to: 2, until: s.now + s.between(100, 8000), done: make(chan reply, 1)}
		if s.r.IntN(4) > 0 {
			q.behind[0] = s.published
		}
		if s.asks.add(q, s.now) == nil {
			s.list = append(s.list, q)
			s.asked[q] = s.now
		}
	case k < 66 && s.up[0]:
		s.cut()
	case k < 70 && !s.up[0] && !s.dead:
		s.connect()
	case k == 70 && mayForget && !s.up[1]: // the other end takes the asker for dead for a moment
		s.does.down(1)
	case k == 71 && mayDie && !s.dead && s.now > 3*time.Second:
		s.dead, s.work = true, nil
		if s.up[0] {
			s.cut()
		}
	}
}

// simulateCalls runs one seed: breaks for a while, then a calm in which everybody who has
// the time gets an answer.
func simulateCalls(seed uint64, broken callRule) (answered int, problems []string) {
	s := newCallSim(seed, broken)
	mayDie, mayForget := seed%3 == 0, seed%3 == 1
	for range 6000 {
		s.act(mayDie, mayForget)
		s.step()
	}
	if !s.up[0] && !s.dead {
		s.connect()
	}
	calm := s.now
	for range 9000 {
		s.step()
	}
	for _, q := range s.list {
		select {
		case r := <-q.done:
			if r.err == nil {
				answered++
			} else if !s.dead && !mayForget && q.until > calm+time.Second {
				s.problem("request %d ended with %v", q.id, r.err)
			}
		default:
			s.problem("request %d has not ended", q.id)
		}
	}
	p := s.asks.peers[2]
	if s.asks.unsent != 0 || p.unsent != 0 || p.live != 0 || s.asks.bytes != 0 || len(p.waiting) != 0 {
		s.problem("left over: %+v", p)
	}
	if !s.dead && (len(s.does.askers[1].known) > 0 || s.does.live != 0 || s.does.bytes != 0) {
		s.problem("%d answers are kept though all is confirmed", s.does.live)
	}
	return answered, s.problems
}

// A request ends, is done once at most, and is answered if the node lives and links
// come back in time.
func TestCallsAcrossBreaks(t *testing.T) {
	answered := 0
	for seed := range uint64(60) {
		n, problems := simulateCalls(seed, 0)
		if len(problems) > 0 {
			t.Fatalf("seed %d: %s", seed, problems[0])
		}
		answered += n
	}
	if answered < 60*50 {
		t.Errorf("%d answers: that tests nothing", answered)
	}
}

func TestCallsNoticeEveryBrokenRule(t *testing.T) {
	for name, broken := range map[string]callRule{"said again": breakAgain, "remembered": breakMemory, "behind messages": breakBehind} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if _, problems := simulateCalls(seed, broken); len(problems) > 0 {
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}
