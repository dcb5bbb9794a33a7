package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// G1 for what the session sends to one socket, and what is forwarded for it.
func TestMoveKeepsTheOrderOfDirectMessages(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		b.net.SetDelay(b.hosts[0], b.hosts[2], 500*time.Millisecond)
		to := connect(t, b.nodes[2], "/")
		c := connect(t, b.nodes[0], "/")
		send := func(s *node.Session, k int) {
			if err := s.Direct(to.session.ID(), "d", wire.Args{json.RawMessage(fmt.Sprint(k))}, nil); err != nil {
				t.Fatal(err)
			}
		}
		send(c.session, 0)
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		send(x.session, 1)
		time.Sleep(2 * time.Second)
		expect(t, to, numbered("d", 0, 2)...)
	})
}

// G1 when the old node cannot tell another one for a while: the move waits, as what it
// has published must not be overtaken.
func TestMoveWaitsForNodesThatLackWhatTheSessionPublished(t *testing.T) {
	togetherWith(t, 3, movers, root, func(t *testing.T, b *lab) {
		member := connect(t, b.nodes[2], "/")
		member.join("room")
		member.take()
		c := connect(t, b.nodes[0], "/")
		b.net.Cut(b.hosts[0], b.hosts[2])
		c.session.To("room").Emit("e", 0)
		time.AfterFunc(2*time.Second, b.net.HealAll)
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		x.session.To("room").Emit("e", 1)
		time.Sleep(10 * time.Second)
		expect(t, member, numbered("e", 0, 2)...)
	})
}

// Questions of both nodes that are put while a session moves have numbers of their own.
func TestQuestionsInAMoveAreNotTakenForEachOther(t *testing.T) {
	togetherWith(t, 2, movers, root, func(t *testing.T, b *lab) {
		old, now := b.nodes[0], b.nodes[1]
		c := connect(t, old, "/")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d, err := old.Depart(ctx, []*node.Session{c.session})
		if err != nil {
			t.Fatal(err)
		}
		x := &client{t: t}
		a, err := now.Arrive(ctx, old.ID(), []node.Arriving{{Moving: d.State()[0], Sink: x}}, now.NewAffinity())
		if err != nil {
			t.Fatal(err)
		}
		x.session = a.Sessions()[0]
		before, behind := make(chan string, 1), make(chan string, 1)
		go func() {
			answer, err := c.session.EmitWithAck(ctx, "before")
			before <- fmt.Sprintf("%s %v", answer.Args, err)
		}()
		go func() {
			acks, err := now.In("/").EmitWithAck(ctx, "behind")
			behind <- fmt.Sprintf("%d answers, %v, %v", len(acks.Answers), acks.Silent, err)
		}()
		synctest.Wait()
		if err := d.Commit(ctx, now.ID(), a.Origins()); err != nil {
			t.Fatal(err)
		}
		if err := a.Admit(d.Owed()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var first, second uint64
		for got, id := range map[*client]*uint64{c: &first, x: &second} {
			if list := got.take(); len(list) != 1 {
				t.Fatalf("got %q", list)
			} else if _, err := fmt.Sscanf(list[0], "ask %d ", id); err != nil {
				t.Fatalf("got %q", list)
			}
		}
		x.ack(first, "yes")
		if got := <-before; got != `["yes"] <nil>` {
			t.Errorf("the first question got %s", got)
		}
		x.ack(second, "no")
		if got := <-behind; got != "1 answers, [], <nil>" {
			t.Errorf("the second question got %s", got)
		}
	})
}

// stuck is a Sink that takes nothing until it may.
type stuck struct {
	client
	may chan struct{}
}

func (s *stuck) Deliver(d *node.Delivery) bool {
	<-s.may
	return s.client.Deliver(d)
}

// A change that is held up on its way to the session, which moves meanwhile, follows it.
func TestChangeThatIsLateFollowsTheSession(t *testing.T) {
	togetherWith(t, 2, movers, root, func(t *testing.T, b *lab) {
		old, now := b.nodes[0], b.nodes[1]
		c := connect(t, old, "/")
		ctx := context.Background()
		slow := &stuck{client: client{t: t}, may: make(chan struct{})}
		go old.Open(ctx, node.SessionConfig{Namespace: "/", Sink: slow, Affinity: old.NewAffinity()})
		synctest.Wait()        // its shard waits
		for range 64<<10 + 1 { // its inbox is full
			old.In("/").Local().Volatile().Emit("e")
		}
		joined := make(chan node.Changed, 1)
		go func() {
			changed, _ := old.In("/").To(c.session.ID()).Join(ctx, "late")
			joined <- changed
		}()
		synctest.Wait()
		d, err := old.Depart(ctx, []*node.Session{c.session})
		if err != nil {
			t.Fatal(err)
		}
		close(slow.may)
		a, err := now.Arrive(ctx, old.ID(), []node.Arriving{{Moving: d.State()[0], Sink: &client{t: t}}}, now.NewAffinity())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Commit(ctx, now.ID(), a.Origins()), a.Admit(nil)); err != nil {
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

// A handler of one namespace may change the client's session in another one.
func TestClientMovesWhenItsHandlersAreDone(t *testing.T) {
	var other *node.Session
	setup := func(n *node.Node) {
		n.Namespace("/")
		n.Namespace("/two").On("join", func(e *node.Event) {
			time.Sleep(100 * time.Millisecond)
			if err := other.Join(context.Background(), "r"); err != nil {
				t.Error(err)
			}
			other.JoinFunc([]string{"s"}, func(error) {})
		})
	}
	togetherWith(t, 2, movers, setup, func(t *testing.T, b *lab) {
		c, two := connect(t, b.nodes[0], "/"), connect(t, b.nodes[0], "/two")
		other = c.session
		two.emit(0, "join")
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		d, err := b.nodes[0].Depart(ctx, []*node.Session{c.session, two.session})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.State()[0].Rooms; !slices.Equal(got, []string{"r", "s"}) {
			t.Errorf("rooms %v", got)
		}
		d.Cancel()
		c.join("t")
	})
}

// Answers that nobody asked for take no place of those that others give.
func TestClientThatHasMovedCannotFillTheWayBack(t *testing.T) {
	togetherWith(t, 2, movers, root, func(t *testing.T, b *lab) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var clients []*client
		answers := make(chan string, 2)
		for range 2 {
			c := connect(t, b.nodes[0], "/")
			go func() {
				answer, err := c.session.EmitWithAck(ctx, "q")
				answers <- fmt.Sprintf("%s %v", answer.Args, err)
			}()
			synctest.Wait()
			x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, x)
		}
		b.net.SetDelay(b.hosts[1], b.hosts[0], 100*time.Millisecond)
		for k := range 1000 {
			clients[0].ack(uint64(k+1000), "junk")
		}
		clients[1].ack(2, "yes")
		if got := <-answers; got != `["yes"] <nil>` {
			t.Errorf("answer %s", got)
		}
		clients[0].session.Close("transport close")
		<-answers
	})
}

// What others tell of a session waits for the end of its move, and is refused behind it.
func TestDataOfASessionThatMovesIsNotLost(t *testing.T) {
	togetherWith(t, 2, movers, root, func(t *testing.T, b *lab) {
		c := connect(t, b.nodes[0], "/")
		d, err := b.nodes[0].Depart(context.Background(), []*node.Session{c.session})
		if err != nil {
			t.Fatal(err)
		}
		var set sync.WaitGroup
		set.Go(func() {
			if err := c.session.SetData("late"); err != nil {
				t.Errorf("after a move that was given up: %v", err)
			}
		})
		synctest.Wait()
		d.Cancel()
		set.Wait()
		x, err := takeOver(t, c, b.nodes[0], b.nodes[1])
		if err != nil || string(x.session.Data()) != `"late"` {
			t.Fatalf("data %s, %v", x.session.Data(), err)
		}
		if err := c.session.SetData("later"); !errors.Is(err, node.ErrClosed) {
			t.Errorf("data of a session that has gone: %v", err)
		}
	})
}

// Handlers of the end run once for a session that is lost on its way: at the old node
// when the client goes before all is there, at the new one when that has missed something.
func TestEndOfASessionThatIsLostInItsMoveIsTold(t *testing.T) {
	ends := make(chan string, 10)
	setup := func(n *node.Node) {
		n.Namespace("/").OnDisconnect(func(s *node.Session, reason string) {
			ends <- fmt.Sprint(n.Name(), " ", reason, " ", s.Rooms())
		})
	}
	togetherWith(t, 2, movers, setup, func(t *testing.T, b *lab) {
		old, now := b.nodes[0], b.nodes[1]
		move := func(x *client, between func()) (*node.Departure, *node.Arrival) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			c := connect(t, old, "/")
			c.join("r")
			d, err := old.Depart(ctx, []*node.Session{c.session})
			if err != nil {
				t.Fatal(err)
			}
			a, err := now.Arrive(ctx, old.ID(), []node.Arriving{{Moving: d.State()[0], Sink: x}}, now.NewAffinity())
			if err != nil {
				t.Fatal(err)
			}
			between()
			if err := d.Commit(ctx, now.ID(), a.Origins()); err != nil {
				t.Fatal(err)
			}
			c.session.Close("transport close") // has moved, and does not end here
			return d, a
		}
		d, a := move(&client{t: t}, func() {})
		a.Cancel()
		d.Lost("transport close")

		_, a = move(&client{t: t}, func() {
			third := b.net.Host("n2")
			b.net.Cut(b.hosts[0], third)
			b.net.Cut(third, b.hosts[0])
			b.seed = b.hosts[1]
			n := b.start(func(n *node.Node) { n.Namespace("/") })
			time.Sleep(2 * time.Second)
			n.In("/").To("r").Emit("e")
			time.Sleep(time.Second)
		})
		if err := a.Admit(nil); err == nil {
			t.Error("goes on though it has missed a message")
		}
		a.Sessions()[0].Close("transport close")
		close(ends)
		want := []string{"n0 transport close [r]", "n1 transport close [r]"}
		var got []string
		for e := range ends {
			got = append(got, e)
		}
		if !slices.Equal(got, want) {
			t.Errorf("ends %q, want %q", got, want)
		}
		for i, n := range b.nodes {
			if s := n.Stats(); s.Sessions != 0 || s.Rooms != 0 {
				t.Errorf("left behind on node %d: %+v", i, s)
			}
		}
	})
}
