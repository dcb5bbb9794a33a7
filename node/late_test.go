package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// late is a Sink that keeps ids and payloads of what comes.
type late struct {
	mu   sync.Mutex
	live []said
}

type said struct{ id, payload string }

func (l *late) Deliver(d *node.Delivery) bool {
	if d.Kind == node.KindEvent {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.live = append(l.live, said{d.ID(), string(d.Message.Payload)})
	}
	return true
}
func (*late) Flush()     {}
func (*late) Close(bool) {}

// came is what a late joiner shows, by the recipe of README.md: the history that is asked for behind the join, then what
// came live since the join, but for what the history has.
func (l *late) came(h node.History) (shown []string, twice int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[string]bool{}
	for _, m := range h.Messages {
		known[m.ID] = true
		shown = append(shown, string(m.Message.Payload))
	}
	for _, m := range l.live {
		if known[m.id] {
			twice++
			continue
		}
		shown = append(shown, m.payload)
	}
	return shown, twice
}

// joinLate joins a room, and asks for its history when that is acked.
func joinLate(t *testing.T, n *node.Node, unseen bool) (*late, *node.Session, node.History) {
	t.Helper()
	l := &late{}
	s, err := n.Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: l, Affinity: n.NewAffinity()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(t.Context(), "room"); err != nil {
		t.Fatal(err)
	}
	h, err := s.History(t.Context(), "room", node.HistoryOptions{Limit: node.MaxHistory, Unseen: unseen})
	if err != nil || len(h.Missing) > 0 || h.More {
		t.Fatal(h.Missing, h.More, err)
	}
	return l, s, h
}

// Who joins while others talk, asks for the history when the join is acked, and drops what it has by the id or asks for what is
// unseen, has everything once and in the order of each publisher: on a node with members and on one without.
func TestLateJoinersHaveNoHoleAndNoDouble(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		const all = 300
		for i, from := range b.hosts {
			for _, to := range b.hosts[:i] {
				b.net.SetDelay(from, to, 7*time.Millisecond)
				b.net.SetDelay(to, from, 3*time.Millisecond)
			}
		}
		r := rand.New(rand.NewPCG(3, 4))
		pause := func(ms int) { time.Sleep(time.Duration(1+r.IntN(ms)) * time.Millisecond) }
		var wg sync.WaitGroup
		for k, n := range b.nodes {
			wg.Go(func() {
				for i := range all {
					n.In("/").To("room").Priority(node.Priority(k%2)).Emit(fmt.Sprint("p", k), i)
					time.Sleep(time.Duration(3+k) * time.Millisecond)
				}
			})
		}
		var stay []func(exactly bool)
		twice := 0
		for i := range 60 {
			unseen := i%2 == 1
			l, s, h := joinLate(t, b.nodes[i%3], unseen)
			check := func(exactly bool) {
				shown, doubles := l.came(h)
				if unseen && doubles > 0 {
					t.Errorf("joiner %d: %d came live and as unseen", i, doubles)
				}
				twice += doubles
				for k := range b.nodes {
					name := fmt.Sprint("p", k)
					of := only(shown, name)
					if !slices.Equal(of, numbered(name, 0, len(of))) || exactly && len(of) != all {
						t.Errorf("joiner %d: of %s it has %d, %q", i, name, len(of), of)
					}
				}
			}
			if pause(20); i < 40 { // the next one at this node is its first member
				check(false)
				s.Close("bye")
			} else {
				stay = append(stay, check)
			}
		}
		wg.Wait()
		time.Sleep(time.Second)
		for _, check := range stay {
			check(true)
		}
		if twice < 10 {
			t.Errorf("%d came live and in the history: the test proves little", twice)
		}
	})
}

// The first message of a node has no other before it that would tell where the room was joined.
func TestFirstMessageOfANodeIsNotUnseenByItsMembers(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		n := b.nodes[0]
		a := connect(t, n, "/")
		a.join("room")
		n.In("/").To("room").Emit("first")
		n.In("/").To("room").Priority(node.High).Emit("high")
		b.nodes[1].In("/").To("room").Emit("of another")
		time.Sleep(time.Second)
		if live := a.take(); len(live) != 3 {
			t.Errorf("%q came live, want three", live)
		}
		if h, err := a.session.History(t.Context(), "room", node.HistoryOptions{Unseen: true}); err != nil || len(h.Messages) > 0 {
			t.Errorf("unseen are %q, %v, want none", payloadsOf(h), err)
		}
		if got, _ := past(t, n, node.HistoryOptions{}); len(got) != 3 {
			t.Errorf("all are %q, want three", got)
		}
	})
}
