package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// notes is what handlers of several nodes wrote down.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, s)
}

func (n *notes) take() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

func TestServerSideEventsReachTheOtherNodesInOrder(t *testing.T) {
	var heard notes
	setup := func(n *node.Node) {
		n.Namespace("/").OnServer("count", func(e *node.ServerEvent) {
			var i int
			if err := e.Arg(0, &i); err != nil || e.Ack("unasked") != nil {
				t.Error(err)
			}
			heard.add(fmt.Sprintf("%s>%s %d %x", e.Node, n.Name(), i, e.Attachments))
		})
	}
	together(t, 3, setup, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[1], "/")
		ns := b.nodes[0].Namespace("/")
		var want []string
		for i := range 100 {
			if err := ns.ServerSideEmit("count", i, []byte{7}); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("n0>n1 %d [07]", i), fmt.Sprintf("n0>n2 %d [07]", i))
		}
		ns.ServerSideEmit("nobody handles it")
		b.nodes[0].Namespace("/elsewhere").ServerSideEmit("count", 5)
		time.Sleep(100 * time.Millisecond)
		got := heard.take()
		slices.SortStableFunc(got, func(a, b string) int { return slices.Compare([]byte(a)[:5], []byte(b)[:5]) })
		slices.SortStableFunc(want, func(a, b string) int { return slices.Compare([]byte(a)[:5], []byte(b)[:5]) })
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		expect(t, c) // clients get none of it
	})
}

func TestOtherNodesAnswer(t *testing.T) {
	setup := func(n *node.Node) {
		ns := n.Namespace("/")
		ns.OnServer("who", func(e *node.ServerEvent) {
			go func() {
				time.Sleep(100 * time.Millisecond)
				e.Ack(n.Name(), []byte(e.Node))
				e.Ack("twice")
			}()
		})
		ns.OnServer("panic", func(*node.ServerEvent) { panic("a bug of the application") })
		ns.OnServer("silence", func(*node.ServerEvent) {})
		if n.Name() == "n2" {
			ns.OnServer("central", func(e *node.ServerEvent) { e.Ack(len(e.Args)) })
		}
	}
	together(t, 3, setup, func(t *testing.T, b *lab) {
		ns := b.nodes[0].Namespace("/")
		ask := func(event string, args ...any) (list []string, missing []node.Missing) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			acks, err := ns.ServerSideEmitWithAck(ctx, event, args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range acks.Answers {
				list = append(list, fmt.Sprintf("%s: %s %s", a.Node, a.Args.Join(), a.Attachments))
			}
			slices.Sort(list)
			return list, acks.Missing
		}
		const p = `{"_placeholder":true,"num":0}`
		if got, missing := ask("who"); !slices.Equal(got, []string{`n1: ["n1",` + p + `] [n0]`, `n2: ["n2",` + p + `] [n0]`}) || missing != nil {
			t.Errorf("answers %q, %v", got, missing)
		}
		if got, missing := ask("central", 1, 2); !slices.Equal(got, []string{`n2: [2] []`}) || missing != nil {
			t.Errorf("answers %q, %v", got, missing)
		}
		if got, missing := ask("nobody handles it"); got != nil || missing != nil {
			t.Errorf("answers %q, %v", got, missing)
		}
		silent := []node.Missing{{Node: "n1", Reason: "timeout"}, {Node: "n2", Reason: "timeout"}}
		for _, event := range []string{"silence", "panic"} {
			start := time.Now()
			if got, missing := ask(event); got != nil || !slices.Equal(missing, silent) || time.Since(start) != time.Second {
				t.Errorf("%s: %q, %v after %v", event, got, missing, time.Since(start))
			}
		}
		go func() {
			time.Sleep(50 * time.Millisecond)
			b.hosts[1].Kill()
		}()
		if got, missing := ask("who"); len(got) != 1 || !slices.Equal(missing, []node.Missing{{Node: "n1", Reason: "node went away"}}) {
			t.Errorf("answers %q, %v", got, missing)
		}
	})
}

func TestServerEventsOfADynamicNamespaceGoWithIt(t *testing.T) {
	var heard notes
	setup := func(n *node.Node) {
		n.NamespaceFunc(func(name string) bool { return true }, func(ns *node.Namespace) {
			ns.OnServer("e", func(e *node.ServerEvent) { heard.add(n.Name() + ns.Name()) })
		})
	}
	together(t, 2, setup, func(t *testing.T, b *lab) {
		here, there := connect(t, b.nodes[0], "/game"), connect(t, b.nodes[1], "/game")
		here.session.Namespace().ServerSideEmit("e")
		time.Sleep(100 * time.Millisecond)
		if got := heard.take(); !slices.Equal(got, []string{"n1/game"}) {
			t.Errorf("heard %q", got)
		}
		there.session.Close("transport close")
		received := b.nodes[1].Stats().Received
		time.Sleep(100 * time.Millisecond)
		here.session.Namespace().ServerSideEmit("e")
		time.Sleep(100 * time.Millisecond)
		if got := heard.take(); got != nil || b.nodes[1].Stats().Received != received {
			t.Errorf("heard %q, %d messages", got, b.nodes[1].Stats().Received-received)
		}
	})
}

// A namespace that is made and not used, since its client was refused or another
// made it at the same time, wants nothing.
func TestServerEventsOfNamespacesThatAreNotMadeAreNotWanted(t *testing.T) {
	setup := func(n *node.Node) {
		n.NamespaceFunc(func(name string) bool { return true }, func(ns *node.Namespace) {
			ns.OnServer("e", func(e *node.ServerEvent) {})
			panic("broken")
		})
	}
	together(t, 2, setup, func(t *testing.T, b *lab) {
		_, err := b.nodes[0].Open(context.Background(), node.SessionConfig{Namespace: "/made up", Sink: &client{t: t}})
		if got := b.nodes[0].Cluster().Stats().Topics; err == nil || got != 0 {
			t.Errorf("%d topics after %v, want none", got, err)
		}
	})
}

func TestServerEventsThatAreTooManyAreDropped(t *testing.T) {
	var handled int
	free := make(chan struct{})
	setup := func(n *node.Node) {
		n.Namespace("/").OnServer("e", func(e *node.ServerEvent) { <-free; handled++ })
	}
	together(t, 2, setup, func(t *testing.T, b *lab) {
		free = make(chan struct{}) // of the bubble
		ns := b.nodes[0].Namespace("/")
		for i := range 1 + 1024 + 10 {
			ns.ServerSideEmit("e")
			if i == 0 {
				time.Sleep(10 * time.Millisecond) // is in its handler
			}
		}
		time.Sleep(100 * time.Millisecond)
		acks, err := ns.ServerSideEmitWithAck(t.Context(), "e")
		if err != nil || !slices.Equal(acks.Missing, []node.Missing{{Node: "n1", Reason: "node is busy"}}) {
			t.Errorf("%v, %v", acks, err)
		}
		if got := b.nodes[1].Stats().ServerDropped; got != 11 {
			t.Errorf("%d dropped, want 11", got)
		}
		close(free)
		synctest.Wait()
		if handled != 1025 {
			t.Errorf("%d handled, want 1025", handled)
		}
	})
}

func TestAnswersOfServersThatAreWaitedForAreLimited(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").OnServer("e", func(*node.ServerEvent) {}) // never answers
	}
	together(t, 2, setup, func(t *testing.T, b *lab) {
		ns := b.nodes[0].Namespace("/")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		var busy notes
		for i := range 1024 + 1 {
			wg.Go(func() {
				acks, _ := ns.ServerSideEmitWithAck(ctx, "e")
				for _, m := range acks.Missing {
					busy.add(m.Reason)
				}
			})
			if i%32 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if got := busy.take(); !slices.Equal(got, []string{"node is busy"}) {
			t.Errorf("refused %q, want one", got)
		}
		wg.Wait()
		if got := busy.take(); len(got) != 1024 || got[0] != "timeout" {
			t.Errorf("%d timed out", len(got))
		}
	})
}

func TestServerEventsThatCannotBeSentAreRefused(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ns := n.Namespace("/")
	if err := ns.ServerSideEmit("connect"); node.CodeOf(err) != node.CodeInvalid {
		t.Errorf("reserved name: %v", err)
	}
	if err := ns.ServerSideEmit("e", make(chan int)); node.CodeOf(err) != node.CodeInvalid {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := ns.ServerSideEmitWithAck(t.Context(), "e", make([]byte, 20<<20)); node.CodeOf(err) != node.CodeLimit {
		t.Errorf("too large: %v", err)
	}
}
