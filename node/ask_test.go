package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// asked is an EmitWithAck under way.
type asked struct {
	answer node.Answer
	err    error
	done   chan struct{}
}

func ask(ctx context.Context, s *node.Session, args ...any) *asked {
	a := &asked{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.answer, a.err = s.EmitWithAck(ctx, "ask", args...)
	}()
	synctest.Wait()
	return a
}

func (a *asked) waits() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

func TestEmitWithAckGivesTheClientsAnswer(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := connect(t, n, "/")
		a := ask(t.Context(), c.session, "how many?")
		expect(t, c, `ask 1 ["ask","how many?"]`)
		if !a.waits() {
			t.Fatalf("does not wait: %+v, %v", a.answer, a.err)
		}
		c.ack(1, 5, []byte{0xff})
		<-a.done
		var got int
		if err := a.answer.Arg(0, &got); a.err != nil || err != nil || got != 5 {
			t.Errorf("answer %+v, %v, %v", a.answer, a.err, err)
		}
		if a.answer.Socket != c.session.ID() || len(a.answer.Attachments) != 1 || string(a.answer.Args[1]) != `{"_placeholder":true,"num":0}` {
			t.Errorf("answer %+v", a.answer)
		}
		if err := a.answer.Arg(2, &got); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("argument that is not there: %v", err)
		}
	})
}

func TestAnswersBelongToTheirQuestions(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c, other := connect(t, n, "/"), connect(t, n, "/")
		first, second := ask(t.Context(), c.session, 1), ask(t.Context(), c.session, 2)
		other.ack(1, "forged") // numbers are easy to guess
		c.ack(2, "b")
		if !first.waits() || second.waits() {
			t.Error("an answer has ended the wrong wait")
		}
		c.ack(1, "a")
		<-first.done
		if string(first.answer.Args[0]) != `"a"` || string(second.answer.Args[0]) != `"b"` {
			t.Errorf("answers %s, %s", first.answer.Args, second.answer.Args)
		}
	})
}

func TestLateDoubleAndUnaskedAcksAreIgnored(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := connect(t, n, "/")
		c.ack(1, "before")
		a := ask(t.Context(), c.session)
		c.ack(1, "first")
		c.ack(1, "double")
		<-a.done
		if string(a.answer.Args[0]) != `"first"` {
			t.Errorf("answer %s", a.answer.Args)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		a = ask(ctx, c.session)
		<-a.done
		if !errors.Is(a.err, context.DeadlineExceeded) || node.CodeOf(a.err) != node.CodeUnavailable || time.Since(start) != time.Second {
			t.Errorf("%v after %v", a.err, time.Since(start))
		}
		c.ack(2, "late")
		c.ack(3, "unasked")
		if got := n.Stats().AcksIgnored; got != 4 {
			t.Errorf("%d acks ignored, want 4", got)
		}
	})
}

func TestClientThatGoesEndsTheWaitAtOnce(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := connect(t, n, "/")
		a, b := ask(t.Context(), c.session), ask(t.Context(), c.session)
		start := time.Now()
		c.session.Close("transport close")
		<-a.done
		<-b.done
		if !errors.Is(a.err, node.ErrGone) || !errors.Is(b.err, node.ErrGone) || time.Since(start) > 0 {
			t.Errorf("%v, %v after %v", a.err, b.err, time.Since(start))
		}
		if _, err := c.session.EmitWithAck(t.Context(), "ask"); !errors.Is(err, node.ErrGone) {
			t.Errorf("asked when gone: %v", err)
		}
		// Refused by the client's queue: the protocol says Close after that.
		full := connect(t, n, "/")
		full.full = true
		a = ask(t.Context(), full.session)
		full.session.Close("transport close")
		<-a.done
		if !errors.Is(a.err, node.ErrGone) {
			t.Errorf("full queue: %v", a.err)
		}
	})
}

func TestWaitEndsWithItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{})
		if err != nil {
			t.Fatal(err)
		}
		n.Namespace("/")
		ctx, stop := context.WithCancel(t.Context())
		go n.Run(ctx)
		synctest.Wait()
		c := connect(t, n, "/")
		a := ask(t.Context(), c.session)
		stop()
		<-a.done
		if !errors.Is(a.err, node.ErrNotNow) {
			t.Errorf("error %v", a.err)
		}
	})
}

func TestEventsThatCannotBeAskedAreRefused(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := connect(t, n, "/")
		if _, err := c.session.EmitWithAck(t.Context(), "connect"); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("reserved name: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.session.EmitWithAck(ctx, "ask"); !errors.Is(err, context.Canceled) {
			t.Errorf("context that has ended: %v", err)
		}
		expect(t, c)
	})
}

func TestReaderOfAStreamIsNotWaitedFor(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := &client{t: t}
		s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c, Handshake: node.Handshake{Protocol: "sse"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.EmitWithAck(t.Context(), "ask"); !errors.Is(err, node.ErrReadOnly) {
			t.Errorf("error %v", err)
		}
		expect(t, c, "connect", `ask 1 ["ask"]`)
	})
}

func TestAcksOfASessionAreLimited(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		n.Namespace("/")
		c := connect(t, n, "/")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range node.MaxAcks {
			wg.Go(func() { c.session.EmitWithAck(ctx, "ask") })
		}
		synctest.Wait()
		if got := len(c.take()); got != node.MaxAcks {
			t.Fatalf("%d questions arrived, want %d", got, node.MaxAcks)
		}
		if _, err := c.session.EmitWithAck(ctx, "ask"); node.CodeOf(err) != node.CodeLimit || n.Stats().AcksRefused != 1 {
			t.Errorf("one too many: %v, %d refused", err, n.Stats().AcksRefused)
		}
		expect(t, c)
		c.ack(1, "room for one")
		a := ask(ctx, c.session)
		expect(t, c, fmt.Sprintf(`ask %d ["ask"]`, node.MaxAcks+2))
		if !a.waits() {
			t.Errorf("error %v", a.err)
		}
		cancel()
		wg.Wait()
		<-a.done
		a = ask(t.Context(), c.session) // nothing is left of those that gave up
		c.ack(node.MaxAcks+3, "fine")
		if <-a.done; a.err != nil {
			t.Error(a.err)
		}
	})
}

func TestHandlerAsksItsOwnClient(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").On("question", func(e *node.Event) {
			answer, err := e.Session.EmitWithAck(context.Background(), "counter-question")
			if err != nil {
				e.Ack(node.ResultOf(err))
				return
			}
			e.Ack(answer.Args[0])
		})
		n.Namespace("/").On("next", func(e *node.Event) { e.Ack("next") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(7, "question")
		c.emit(8, "next") // between the question and the answer to it
		expect(t, c, `ask 1 ["counter-question"]`)
		c.ack(1, "why?")
		expect(t, c, `ack 7 ["why?"]`, `ack 8 ["next"]`)
	})
}

func TestRaceOfAnswersTimeoutsAndEnds(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace("/")
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); n.Run(ctx) }()
	var wg sync.WaitGroup
	var answered, failed sync.Map
	for i := range 20 {
		c := &answering{answers: i%3 != 0}
		s, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: c, Affinity: n.NewAffinity()})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 20 {
			wg.Go(func() {
				within, cancel := context.WithTimeout(ctx, time.Duration(k)*100*time.Microsecond)
				defer cancel()
				if _, err := s.EmitWithAck(within, "ask", k); err != nil {
					failed.Store([2]int{i, k}, err)
				} else {
					answered.Store([2]int{i, k}, true)
				}
			})
		}
		wg.Go(func() {
			time.Sleep(time.Millisecond)
			s.Close("transport close")
		})
	}
	wg.Wait()
	stop()
	<-ran
	failed.Range(func(k, err any) bool {
		if e := err.(error); !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, node.ErrGone) {
			t.Errorf("%v: %v", k, e)
		}
		return true
	})
}

// answering is a client that answers from another goroutine, twice.
type answering struct {
	mu      sync.Mutex
	session *node.Session
	answers bool
}

func (c *answering) Deliver(d *node.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Kind == node.KindConnect {
		c.session = d.Session
	}
	if s := c.session; c.answers && d.AckID > 0 {
		go func() {
			for range 2 {
				s.ReceiveAck(d.AckID, nil, nil)
			}
		}()
	}
	return true
}
func (*answering) Flush()     {}
func (*answering) Close(bool) {}
