package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// askedAll is an Operator.EmitWithAck under way.
type askedAll struct {
	acks node.Acks
	err  error
	took time.Duration
	done chan struct{}
}

func askAll(ctx context.Context, o node.Operator, args ...any) *askedAll {
	a := &askedAll{done: make(chan struct{})}
	start := time.Now()
	go func() {
		defer close(a.done)
		a.acks, a.err = o.EmitWithAck(ctx, "ask", args...)
		a.took = time.Since(start)
	}()
	return a
}

// wants compares everything that came back, in a form without ids.
func (a *askedAll) wants(t *testing.T, answers []string, silent []string, missing []node.Missing) {
	t.Helper()
	<-a.done
	var got, quiet []string
	for _, x := range a.acks.Answers {
		got = append(got, string(x.Args.Join()))
	}
	for _, s := range a.acks.Silent {
		quiet = append(quiet, s.Reason)
	}
	slices.Sort(got)
	slices.Sort(quiet)
	if a.err != nil || !slices.Equal(got, answers) || !slices.Equal(quiet, silent) || !slices.Equal(a.acks.Missing, missing) {
		t.Errorf("answers %q, silent %q, missing %v, %v\nwant %q, %q, %v", got, quiet, a.acks.Missing, a.err, answers, silent, missing)
	}
	if complete := len(silent)+len(missing) == 0; a.acks.Complete() != complete {
		t.Errorf("complete %v, want %v", a.acks.Complete(), complete)
	}
}

// replies makes c answer every question with n.
func (c *client) replies(after time.Duration, args ...any) {
	c.onAsk = func(id uint64) {
		time.Sleep(after)
		c.ack(id, args...)
	}
}

func TestEverybodyAskedInTheClusterAnswers(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		for i, n := range b.nodes {
			for k := range 2 {
				c := connect(t, n, "/")
				c.join("x")
				if k == 1 {
					c.join("muted")
				}
				c.replies(time.Duration(i)*100*time.Millisecond, i, k, []byte{1})
			}
		}
		connect(t, b.nodes[0], "/").replies(0, "not a member")
		room := b.nodes[0].In("/").To("x")
		for range 2 {
			a := askAll(t.Context(), room.Except("muted"), "who?")
			const p = `{"_placeholder":true,"num":0}`
			a.wants(t, []string{`[0,0,` + p + `]`, `[1,0,` + p + `]`, `[2,0,` + p + `]`}, nil, nil)
			if a.took > 250*time.Millisecond {
				t.Errorf("took %v", a.took)
			}
			for _, x := range a.acks.Answers {
				if len(x.Attachments) != 1 || x.Attachments[0][0] != 1 || len(x.Socket) < 20 {
					t.Errorf("answer %+v", x)
				}
			}
		}
		askAll(t.Context(), room.Local()).wants(t, []string{`[0,0,{"_placeholder":true,"num":0}]`, `[0,1,{"_placeholder":true,"num":0}]`}, nil, nil)
		askAll(t.Context(), room.To("nobody").Except("x")).wants(t, nil, nil, nil)
		askAll(t.Context(), b.nodes[0].In("/").To("nobody")).wants(t, nil, nil, nil)
	})
}

func TestOneSocketOfAnotherNodeAnswers(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		c, other := connect(t, b.nodes[2], "/"), connect(t, b.nodes[1], "/")
		c.replies(0, "me")
		other.replies(0, "not me")
		to := b.nodes[0].In("/").To(c.session.ID())
		askAll(t.Context(), to).wants(t, []string{`["me"]`}, nil, nil)
		expect(t, other)
		b.hosts[1].Kill() // which is no concern of this question
		askAll(t.Context(), to).wants(t, []string{`["me"]`}, nil, nil)
		c.session.Close("transport close")
		askAll(t.Context(), to).wants(t, nil, nil, nil)
	})
}

func TestNodeThatDiesDelaysNoAnswers(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		for i, n := range b.nodes {
			c := connect(t, n, "/")
			if i != 2 {
				c.replies(300*time.Millisecond, i)
			}
		}
		a := askAll(t.Context(), b.nodes[0].In("/").Timeout(time.Minute))
		time.Sleep(500 * time.Millisecond)
		b.hosts[2].Kill()
		a.wants(t, []string{"[0]", "[1]"}, nil, []node.Missing{{Node: "n2", Reason: "node went away"}})
		if a.took < 500*time.Millisecond || a.took > 1300*time.Millisecond {
			t.Errorf("took %v, want until the node was known to be dead", a.took)
		}
		// Known to be dead by now, and its clients may have been meant.
		askAll(t.Context(), b.nodes[0].In("/")).wants(t, []string{"[0]", "[1]"}, nil, []node.Missing{{Node: "n2", Reason: "node is not linked"}})
		askAll(t.Context(), b.nodes[0].In("/").Local()).wants(t, []string{"[0]"}, nil, nil)
	})
}

func TestAnswersAfterTheTimeoutAreIgnored(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		for i, n := range b.nodes {
			connect(t, n, "/").replies(0, i, "fast")
			connect(t, n, "/").replies(2*time.Second, i, "slow")
			connect(t, n, "/")
		}
		a := askAll(t.Context(), b.nodes[0].In("/").Timeout(time.Second))
		a.wants(t, []string{`[0,"fast"]`, `[1,"fast"]`}, []string{"timeout", "timeout", "timeout", "timeout"}, nil)
		if a.took != time.Second {
			t.Errorf("took %v", a.took)
		}
		time.Sleep(2 * time.Second)
		for i, n := range b.nodes {
			if got := n.Stats().AcksIgnored; got != 1 {
				t.Errorf("node %d ignored %d acks, want the slow client's", i, got)
			}
		}
		// The other node hangs: its clients are not known, the own ones are.
		b.net.SetDelay(b.hosts[1], b.hosts[0], 1500*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		a = askAll(ctx, b.nodes[0].In("/"))
		a.wants(t, []string{`[0,"fast"]`}, []string{"timeout", "timeout"}, []node.Missing{{Node: "n1", Reason: "timeout"}})
		if a.took != 500*time.Millisecond {
			t.Errorf("took %v", a.took)
		}
	})
}

func TestClientThatGoesIsSilent(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		for _, n := range b.nodes {
			c := connect(t, n, "/")
			c.onAsk = func(uint64) { c.session.Close("transport close") }
		}
		a := askAll(t.Context(), b.nodes[0].In("/"))
		a.wants(t, nil, []string{"client is gone", "client is gone"}, nil)
		if a.took > 10*time.Millisecond {
			t.Errorf("took %v", a.took)
		}
	})
}

// G1 holds for questions too.
func TestQuestionsKeepTheirOrderAmongMessages(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		c.join("x")
		room := b.nodes[0].In("/").To("x")
		var waits []*askedAll
		var want []string
		for i := range 50 {
			room.Emit("n", 2*i)
			waits = append(waits, askAll(t.Context(), room, 2*i+1))
			time.Sleep(10 * time.Millisecond)
			want = append(want, fmt.Sprintf(`["n",%d]`, 2*i), fmt.Sprintf(`ask %d ["ask",%d]`, i+1, 2*i+1))
		}
		expect(t, c, want...)
		c.session.Close("transport close")
		for _, a := range waits {
			a.wants(t, nil, []string{"client is gone"}, nil)
		}
	})
}

// What is left of a question whose asker died before it asked for the answers
// is let go of.
func TestQuestionOfADeadNodeIsForgotten(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		a := askAll(t.Context(), b.nodes[0].In("/").Timeout(time.Minute))
		time.Sleep(10 * time.Millisecond)
		expect(t, c, `ask 1 ["ask"]`)
		b.hosts[0].Kill()
		a.wants(t, nil, nil, []node.Missing{{Node: "n1", Reason: "node went away"}})
		time.Sleep(2 * time.Minute)
		c.ack(1, "too late")
		if got := b.nodes[1].Stats().AcksIgnored; got != 1 {
			t.Errorf("%d acks ignored, want 1", got)
		}
	})
}

func TestQuestionsThatCannotBeSentAreRefused(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		if _, err := n.In("/").EmitWithAck(t.Context(), "disconnect"); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("reserved name: %v", err)
		}
		if _, err := n.In("/").To("").EmitWithAck(t.Context(), "ask"); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("empty room: %v", err)
		}
		expect(t, c)
	})
}

func TestLocalMessagesStayOnTheirNode(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		here, there := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		if err := here.session.Namespace().In().Local().Compress(false).Emit("e", 1); err != nil {
			t.Fatal(err)
		}
		b.nodes[0].In("/").Emit("e", 2)
		time.Sleep(10 * time.Millisecond)
		expect(t, here, `["e",1]`, `["e",2]`)
		expect(t, there, `["e",2]`)
	})
}

// A central server asks for many at once.
func TestBurstOfQuestionsIsAnswered(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		c.replies(time.Second, "here")
		var waits []*askedAll
		for range 800 {
			waits = append(waits, askAll(t.Context(), b.nodes[0].In("/").To(c.session.ID())))
		}
		for _, a := range waits {
			a.wants(t, []string{`["here"]`}, nil, nil)
		}
	})
}

func TestRaceOfQuestionsToManyNodes(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		var clients []*client
		for i := range 30 {
			c := connect(t, b.nodes[i%3], "/")
			c.join("x")
			c.replies(0, i)
			clients = append(clients, c)
		}
		var wg sync.WaitGroup
		for i, n := range b.nodes {
			for k := range 10 {
				wg.Go(func() {
					acks, err := n.In("/").To("x").EmitWithAck(t.Context(), "ask", i, k)
					if err != nil || len(acks.Answers)+len(acks.Silent) > 30 || len(acks.Answers) < 15 || len(acks.Missing) > 0 {
						t.Errorf("%d answers, %d silent, %v, %v", len(acks.Answers), len(acks.Silent), acks.Missing, err)
					}
				})
			}
		}
		for _, c := range clients[:15] {
			wg.Go(func() { c.session.Close("transport close") })
		}
		wg.Wait()
	})
}

// A node whose interest cannot be trusted now may have clients that get the event
// later: nobody may think that all have answered.
func TestNodeThatMayGetTheQuestionLaterIsMissing(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		b.net.Cut(b.hosts[0], b.hosts[1])
		b.net.Cut(b.hosts[1], b.hosts[0])
		time.Sleep(1500 * time.Millisecond) // the lease is over, the link is not
		acks, err := b.nodes[0].In("/").Timeout(500*time.Millisecond).EmitWithAck(context.Background(), "q")
		if err != nil || acks.Complete() || len(acks.Missing) != 1 || acks.Missing[0].Node != "n1" {
			t.Errorf("acks %+v, %v; want node n1 missing", acks, err)
		}
		b.net.HealAll()
		time.Sleep(5 * time.Second)
		if got := c.take(); len(got) != 1 {
			t.Errorf("the client got %q, want the event", got)
		}
	})
}
