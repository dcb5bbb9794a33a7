package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// takeOver takes the session of c from one node to another, as protocols do, and gives
// what its client has there.
func takeOver(t *testing.T, c *client, from, to *node.Node) (*client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d, err := from.Depart(ctx, []*node.Session{c.session})
	if err != nil {
		return nil, err
	}
	x := &client{t: t}
	a, err := to.Arrive(ctx, from.ID(), []node.Arriving{{Moving: d.State()[0], Sink: x}}, to.NewAffinity())
	if err != nil {
		d.Cancel()
		return nil, err
	}
	x.session = a.Sessions()[0]
	if err := d.Commit(ctx, to.ID(), a.Origins()); err != nil {
		d.Cancel()
		a.Cancel()
		return nil, err
	}
	c.mu.Lock()
	x.got = append(x.got, c.got...) // what waits for the client goes with it
	x.flushed = len(x.got)
	c.got, c.flushed = nil, 0
	c.mu.Unlock()
	return x, a.Admit(d.Owed())
}

func movers(cfg *node.Config) { cfg.SessionsMove = true }

// G1, G2, G3 for a session that moves while all nodes publish.
func TestMoveLosesNothing(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
				r := rand.New(rand.NewPCG(seed, 1))
				for _, h := range b.hosts { // each way takes a time of its own
					for _, other := range b.hosts {
						b.net.SetDelay(h, other, time.Duration(r.IntN(60))*time.Millisecond)
					}
				}
				c := connect(t, b.nodes[0], "/")
				c.join("room")
				c.take()
				const count = 300
				var all sync.WaitGroup
				for i, n := range b.nodes {
					pause := time.Duration(1+r.IntN(3)) * time.Millisecond
					all.Go(func() {
						for k := range count {
							n.In("/").To("room").Emit(fmt.Sprint("e", i), k)
							n.In("/").To(c.session.ID()).Emit(fmt.Sprint("d", i), k)
							time.Sleep(pause)
						}
					})
				}
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
				x, err := takeOver(t, c, b.nodes[0], b.nodes[1+r.IntN(2)])
				if err != nil {
					t.Fatal(err)
				}
				all.Wait()
				time.Sleep(time.Second)
				if rest := c.take(); len(rest) > 0 {
					t.Errorf("the old node went on: %.200q", rest)
				}
				got := x.take()
				for i := range b.nodes {
					for _, kind := range []string{"e", "d"} {
						event := fmt.Sprint(kind, i)
						if got := only(got, event); !slices.Equal(got, numbered(event, 0, count)) {
							t.Errorf("%d messages of %s, want %d in order: %.300q", len(got), event, count, got)
						}
					}
				}
			})
		})
	}
}

// G1 for what the session publishes itself, before its move and after it.
func TestMoveKeepsTheOrderOfThePublisher(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		b.net.SetDelay(b.hosts[0], b.hosts[2], 500*time.Millisecond)
		member := connect(t, b.nodes[2], "/")
		member.join("room")
		member.take()
		c := connect(t, b.nodes[0], "/")
		c.session.To("room").Emit("e", 0)
		c.session.To("room").Emit("e", 1)
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		x.session.To("room").Emit("e", 2)
		time.Sleep(2 * time.Second)
		expect(t, member, numbered("e", 0, 3)...)
	})
}

func TestSessionThatHasMovedIsTheSame(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		old, now, third := b.nodes[0], b.nodes[1], b.nodes[2]
		c := connect(t, old, "/")
		c.join("room")
		c.take()
		if err := c.session.SetData(map[string]string{"name": "ann"}); err != nil {
			t.Fatal(err)
		}
		id := c.session.ID()
		x, err := takeOver(t, c, old, now)
		if err != nil {
			t.Fatal(err)
		}
		if x.session.ID() != id || !slices.Equal(x.session.Rooms(), []string{"room"}) || string(x.session.Data()) != `{"name":"ann"}` {
			t.Errorf("id %s, rooms %v, data %s", x.session.ID(), x.session.Rooms(), x.session.Data())
		}
		for i, n := range b.nodes {
			list, _, missing := n.Sockets(context.Background(), node.Query{})
			if len(list) != 1 || len(missing) > 0 || list[0].ID != id || list[0].Node != "n1" {
				t.Errorf("node %d lists %+v, missing %v", i, list, missing)
			}
			if err := n.In("/").Direct(id, "d", wire.Args{json.RawMessage(fmt.Sprint(i))}, nil); err != nil {
				t.Errorf("direct from node %d: %v", i, err)
			}
			time.Sleep(time.Second)
		}
		expect(t, x, numbered("d", 0, 3)...)
		for i, n := range b.nodes {
			room := fmt.Sprint("by", i)
			changed, err := n.In("/").To(id).Join(context.Background(), room)
			if err != nil || changed.Sockets != 1 || len(changed.Missing) > 0 {
				t.Errorf("join by node %d: %+v, %v", i, changed, err)
			}
			n.In("/").To(room).Emit("r", i)
			time.Sleep(time.Second)
		}
		expect(t, x, numbered("r", 0, 3)...)
		if s := old.Stats(); s.Sessions != 0 || s.Rooms != 0 || s.MovedOut != 1 || now.Stats().MovedIn != 1 {
			t.Errorf("old node has %+v", s)
		}
		if changed, err := third.In("/").To(id).Disconnect(context.Background(), false); err != nil || changed.Sockets != 1 {
			t.Errorf("disconnect: %+v, %v", changed, err)
		}
		expect(t, x, "close false")
		x.session.Close("server namespace disconnect")
		for _, n := range b.nodes {
			if s := n.Stats(); s.Sessions != 0 || s.Rooms != 0 {
				t.Errorf("left behind: %+v", s)
			}
		}
	})
}

// An answer that the old node waits for arrives there; the end of the client too.
func TestAnswersFollowASessionThatMoves(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[0], "/")
		first, second := make(chan string, 1), make(chan string, 1)
		ask := func(n int, result chan string) {
			answer, err := c.session.EmitWithAck(context.Background(), "q", n)
			result <- fmt.Sprint(answer.Args, err)
		}
		go ask(1, first)
		synctest.Wait()
		go ask(2, second)
		synctest.Wait()
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		asked := x.take()
		if len(asked) != 2 || !strings.HasPrefix(asked[0], "ask 1 ") {
			t.Fatalf("questions %q", asked)
		}
		x.ack(1, "yes")
		if got, want := <-first, fmt.Sprint(wire.Args{json.RawMessage(`"yes"`)}, error(nil)); got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
		x.session.Close("transport close")
		if got := <-second; !strings.Contains(got, "client is gone") {
			t.Errorf("a client that is gone answers %q", got)
		}
	})
}

// A move needs all nodes: with one that is silent, nothing changes.
func TestMoveThatFailsLeavesTheSession(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[0], "/")
		c.join("room")
		c.take()
		b.net.Cut(b.hosts[1], b.hosts[2])
		b.net.Cut(b.hosts[2], b.hosts[1])
		if _, err := takeOver(t, c, b.nodes[0], b.nodes[1]); err == nil {
			t.Fatal("moved without a word of the third node")
		}
		b.net.HealAll()
		time.Sleep(10 * time.Second)
		b.nodes[2].In("/").To("room").Emit("e", 0)
		time.Sleep(time.Second)
		expect(t, c, numbered("e", 0, 1)...)
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		b.nodes[2].In("/").To("room").Emit("e", 1)
		time.Sleep(time.Second)
		expect(t, x, numbered("e", 1, 2)...)
	})
}

func TestChangesWaitForTheEndOfAMove(t *testing.T) {
	togetherWith(t, 2, movers, root, func(t *testing.T, b *lab) {
		old, now := b.nodes[0], b.nodes[1]
		c := connect(t, old, "/")
		id := c.session.ID()
		ctx := context.Background()
		d, err := old.Depart(ctx, []*node.Session{c.session})
		if err != nil {
			t.Fatal(err)
		}
		joined := make(chan node.Changed, 1)
		go func() {
			changed, _ := old.In("/").To(id).Join(ctx, "late")
			joined <- changed
		}()
		synctest.Wait()
		x := &client{t: t}
		a, err := now.Arrive(ctx, old.ID(), []node.Arriving{{Moving: d.State()[0], Sink: x}}, now.NewAffinity())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(ctx, now.ID(), a.Origins()); err != nil {
			t.Fatal(err)
		}
		if err := a.Admit(d.Owed()); err != nil {
			t.Fatal(err)
		}
		if changed := <-joined; changed.Sockets != 1 || len(changed.Missing) > 0 {
			t.Errorf("join during the move: %+v", changed)
		}
		if got := a.Sessions()[0].Rooms(); !slices.Equal(got, []string{"late"}) {
			t.Errorf("rooms %v", got)
		}
	})
}

func TestSessionsStayUnlessTheyMayMove(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[0], "/")
		if _, err := b.nodes[0].Depart(context.Background(), []*node.Session{c.session}); err == nil {
			t.Error("departs without Config.SessionsMove")
		}
	})
}
