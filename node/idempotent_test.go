package node_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// member connects to the last of the nodes and joins the room.
func member(t *testing.T, b *lab) *client {
	c := connect(t, b.nodes[len(b.nodes)-1], "/")
	c.join("room")
	time.Sleep(time.Second)
	return c
}

// publishes makes node i publish with a key, and tells how long it took.
func publishes(b *lab, i int, key, event string) (time.Duration, error) {
	start := time.Now()
	err := b.nodes[i].In("/").To("room").IdempotencyKey(key).Emit(event, 1)
	return time.Since(start), err
}

func TestAPublishWithAKeyHappensOnceInTheCluster(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		for _, i := range []int{0, 0, 1, 2, 1} {
			if took, err := publishes(b, i, "k", "e"); err != nil || took > 10*time.Millisecond {
				t.Errorf("node %d: %v after %v", i, err, took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		expect(t, m, `["e",1]`)
		for _, i := range []int{0, 1} {
			if _, err := publishes(b, i, "k", "other"); node.CodeOf(err) != node.CodeInvalid || !strings.Contains(err.Error(), "another message") {
				t.Errorf("another message with the key at node %d: %v", i, err)
			}
		}
		if err := b.nodes[1].In("/other").To("room").IdempotencyKey("k").Emit("e", 2); err != nil {
			t.Errorf("the key in another namespace: %v", err)
		}
		expect(t, m)
		time.Sleep(2 * time.Minute)
		publishes(b, 1, "k", "later")
		time.Sleep(100 * time.Millisecond)
		expect(t, m, `["later",1]`)
		if s := b.nodes[1].Stats().Keyed; s.First != 2 || s.Repeated != 2 || s.Refused != 1 || s.Unsure+s.Unavailable > 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTriesAtTheSameTimePublishOnce(t *testing.T) {
	together(t, 4, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		for i := range b.hosts {
			for k := range i {
				b.net.SetDelay(b.hosts[i], b.hosts[k], time.Duration(1+7*i+k)*time.Millisecond)
			}
		}
		for round := range 20 {
			var wg sync.WaitGroup
			for range 3 {
				for i := range b.nodes {
					wg.Go(func() {
						time.Sleep(time.Duration(i*round) * time.Millisecond)
						if took, err := publishes(b, i, fmt.Sprint(round), "e"); err != nil || took > 500*time.Millisecond {
							t.Errorf("round %d, node %d: %v after %v", round, i, err, took)
						}
					})
				}
			}
			wg.Wait()
			time.Sleep(100 * time.Millisecond)
			expect(t, m, `["e",1]`)
		}
		first, repeated := uint64(0), uint64(0)
		for _, n := range b.nodes {
			s := n.Stats().Keyed
			first, repeated = first+s.First, repeated+s.Repeated
		}
		if first != 20 || repeated != 20*11 {
			t.Errorf("%d first, %d repeated", first, repeated)
		}
	})
}

// A client's node dies when the message is out and the ack is not.
func TestAKeyOutlivesItsNode(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		if _, err := publishes(b, 0, "k", "e"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.hosts[0].Kill()
		if took, err := publishes(b, 1, "k", "e"); err != nil || took > 10*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		late := b.start(root)
		time.Sleep(5 * time.Second) // it has met the others
		if err := late.In("/").To("room").IdempotencyKey("k").Emit("e", 1); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
	})
}

func TestAKeyOfANodeThatDiedBeforeItPublishedIsFree(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		publishes(b, 0, "first", "e") // all want notices from now on
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
		b.net.SetDelay(b.hosts[0], b.hosts[2], 400*time.Millisecond)
		go publishes(b, 0, "k", "e")
		time.Sleep(100 * time.Millisecond)
		b.hosts[0].Kill()
		if took, err := publishes(b, 1, "k", "e"); err != nil || took > 1100*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(3 * time.Second)
		expect(t, m, `["e",1]`)
	})
}

func TestARetryWaitsForTheFirstTry(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		publishes(b, 0, "first", "e")
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
		b.net.SetDelay(b.hosts[0], b.hosts[2], 200*time.Millisecond)
		b.net.SetDelay(b.hosts[2], b.hosts[0], 200*time.Millisecond)
		go publishes(b, 0, "k", "e")
		time.Sleep(50 * time.Millisecond)
		var wg sync.WaitGroup
		for _, i := range []int{0, 1} {
			wg.Go(func() {
				if took, err := publishes(b, i, "k", "e"); err != nil || took > 450*time.Millisecond {
					t.Errorf("node %d: %v after %v, want what is left of 400 ms", i, err, took)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
	})
}

// Availability first: a node that is cut off is waited for once, for a second.
func TestANodeThatIsCutOffHoldsUpOnePublish(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		publishes(b, 0, "first", "e")
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
		b.net.Cut(b.hosts[0], b.hosts[1])
		b.net.Cut(b.hosts[1], b.hosts[0])
		if took, err := publishes(b, 0, "k", "e"); err != nil || took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("%v after %v, want a second", err, took)
		}
		for i := 0; slices.IndexFunc(b.nodes[0].Cluster().Nodes(), func(i cluster.NodeInfo) bool { return i.State == "cut" }) < 0; i++ {
			if time.Sleep(20 * time.Millisecond); i == 500 {
				t.Fatal("no node is cut off")
			}
		}
		publishes(b, 0, "k2", "e")
		if took, err := publishes(b, 0, "k3", "e"); err != nil || took > 10*time.Millisecond {
			t.Errorf("the third: %v after %v", err, took)
		}
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`, `["e",1]`, `["e",1]`)
		if s := b.nodes[0].Stats().Keyed; s.Unsure != 3 {
			t.Errorf("%+v, want 3 unsure", s)
		}
		b.net.HealAll()
		time.Sleep(10 * time.Second)
		if took, err := publishes(b, 1, "k", "e"); err != nil || took > 100*time.Millisecond {
			t.Errorf("at the other node: %v after %v", err, took)
		}
		expect(t, m)
	})
}

func TestDirectWithAKey(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		gone := c.session.ID()
		direct := func(i int, key, id string) error {
			return b.nodes[i].In("/").IdempotencyKey(key).Direct(id, "e", wire.Args{[]byte("1")}, nil)
		}
		for i := range 2 {
			if err := direct(i, "k", c.session.ID()); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		}
		time.Sleep(time.Second)
		expect(t, c, `["e",1]`)
		c.session.Close("gone")
		time.Sleep(time.Second)
		if err := direct(1, "k", gone); err != nil {
			t.Errorf("once more when the client is gone: %v", err)
		}
		if err := direct(1, "k2", gone); node.CodeOf(err) != node.CodeUnavailable {
			t.Errorf("to a client that is gone: %v", err)
		}
		if err := direct(0, "k2", a.session.ID()); err != nil {
			t.Errorf("a key that nothing was published with: %v", err)
		}
		expect(t, a, `["e",1]`)
	})
}

func TestKeysThatAreNone(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		long := strings.Repeat("k", 129)
		for i, err := range []error{n.In("/").IdempotencyKey(long).Emit("e"), node.CheckIdempotencyKey(long), node.CheckIdempotencyKey("")} {
			if err == nil || node.CodeOf(err) != node.CodeInvalid {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := n.In("/").IdempotencyKey(strings.Repeat("k", 128)).Emit("e"); err != nil {
			t.Error(err)
		}
		if _, err := n.In("/").IdempotencyKey("k").EmitWithAck(t.Context(), "e"); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("with acks: %v", err)
		}
	})
}

func TestWithoutKeysNothingIsPaid(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		for i, n := range b.nodes {
			if s := n.Cluster().Stats(); s.Topics != 0 || n.Stats().Keyed.Keys != 0 {
				t.Errorf("node %d wants %d topics", i, s.Topics)
			}
		}
		o := b.nodes[0].In("/").To("room")
		args := wire.Args{[]byte("1")}
		plain := testing.AllocsPerRun(100, func() { o.EmitArgs("e", args, nil) })
		if plain > 2 {
			t.Errorf("%v allocations to publish, want 2", plain)
		}
	})
}

// What a handler of OnInline leaves to Wait holds up its own client's events, and nobody else.
func TestWaitOfAnInlineHandler(t *testing.T) {
	var said notes
	var release chan struct{}
	setup := func(n *node.Node) {
		release = make(chan struct{})
		n.Namespace("/").OnInline("e", func(e *node.Event) {
			var i int
			e.Arg(0, &i)
			if i%2 == 1 {
				e.Wait(func() { <-release; said.add(fmt.Sprint("waited ", i)); e.Ack(i) })
				return
			}
			said.add(fmt.Sprint("ran ", i))
		})
		n.Namespace("/").On("panic", func(e *node.Event) { e.Wait(func() { panic("no") }) })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(1, "panic")
		expect(t, c, `ack 1 [{"ok":false,"error":"internal error","code":"unavailable"}]`)
		for i := range 5 {
			c.emit(uint64(i+2), "e", i) // returns
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if got := said.take(); !slices.Equal(got, []string{"ran 0"}) {
			t.Errorf("ran %q before it was time", got)
		}
		close(release)
		expect(t, c, "ack 3 [1]", "ack 5 [3]")
		if got := said.take(); !slices.Equal(got, []string{"waited 1", "ran 2", "waited 3", "ran 4"}) {
			t.Errorf("ran %q", got)
		}
	})
}

// The message of a dead node is on its way to a node that lives, and no notice has come to who is asked next.
func TestAKeyWaitsForWhatIsUnderWay(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		publishes(b, 0, "first", "e") // all want notices from now on
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
		b.net.SetDelay(b.hosts[0], b.hosts[2], 600*time.Millisecond)
		go publishes(b, 0, "k", "e")
		time.Sleep(300 * time.Millisecond)
		b.net.Cut(b.hosts[0], b.hosts[1])
		time.Sleep(320 * time.Millisecond) // the third node has answered, and it publishes
		b.hosts[0].Kill()
		b.net.HealAll()
		if took, err := publishes(b, 1, "k", "e"); err != nil || took < 500*time.Millisecond || took > 900*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
	})
}

// A claim that comes to nothing holds up nobody, even if its node cannot be asked any more.
func TestAClaimIsReleased(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		m := member(t, b)
		strong, weak := 0, 1
		if b.nodes[1].ID() < b.nodes[0].ID() {
			strong, weak = 1, 0
		}
		gone := string(wire.NewSessionID(b.nodes[strong].ID()))
		if err := b.nodes[strong].In("/").IdempotencyKey("k").Direct(gone, "e", nil, nil); err == nil {
			t.Error("sent to a socket that is not there")
		}
		time.Sleep(100 * time.Millisecond)
		b.net.Cut(b.hosts[strong], b.hosts[weak])
		b.net.Cut(b.hosts[weak], b.hosts[strong])
		if took, err := publishes(b, weak, "k", "e"); err != nil || took > 1100*time.Millisecond {
			t.Errorf("%v after %v, want a second", err, took)
		}
		time.Sleep(time.Second)
		expect(t, m, `["e",1]`)
	})
}

// One client cannot have the keys of all others forgotten. What it has published it may repeat.
func TestAClientHasAShareOfTheKeys(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/")
		publish := func(c *client, key int) error {
			return c.session.To("room").IdempotencyKey(fmt.Sprint(c.session.ID(), key)).Emit("e", 1)
		}
		const share = 4096
		for i := range share {
			if err := publish(a, i); err != nil {
				t.Fatalf("key %d: %v", i, err)
			}
		}
		if err := publish(a, share); node.CodeOf(err) != node.CodeLimit || !strings.Contains(err.Error(), "idempotency_key") {
			t.Errorf("one too many: %v", err)
		}
		for name, err := range map[string]error{"again": publish(a, 0), "another client": publish(b, share),
			"a backend": n.In("/").To("room").IdempotencyKey("k").Emit("e")} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s := n.Stats().Keyed; s.Limited != 1 || s.First != share+2 || s.Repeated != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(3 * time.Second) // there are 102
		for i := range 103 {
			if err := publish(a, share+i); (err == nil) != (i < 102) {
				t.Errorf("key %d after 3 s: %v", i, err)
			}
		}
	})
}

// The answer to a repeated publish promises what that to the first does.
func TestARepeatedPublishIsAnsweredWhenTheFirstHasCopies(t *testing.T) {
	seen := map[bool]bool{} // that there was a copy
	for range 40 {
		if len(seen) == 2 {
			return
		}
		const other = 1 // it mirrors what the first node publishes, or the third one does
		togetherWith(t, 3, recovering, root, func(t *testing.T, b *lab) {
			m := member(t, b)
			publishes(b, 0, "first", "e") // all want notices from now on
			time.Sleep(time.Second)
			expect(t, m, `["e",1]`)
			b.net.Cut(b.hosts[0], b.hosts[other])
			b.net.Cut(b.hosts[other], b.hosts[0])
			var first error
			var wg sync.WaitGroup
			publish := func(i int) error {
				return b.nodes[i].In("/").To("room").Timeout(6*time.Second).IdempotencyKey("k").EmitSafe(t.Context(), "e", 2)
			}
			wg.Go(func() { first = publish(0) })
			time.Sleep(1100 * time.Millisecond) // it has not waited for who is cut off
			linked, again := 2, [2]error{}
			wg.Go(func() { again[0] = publish(0) })
			wg.Go(func() { again[1] = publish(linked) })
			wg.Wait()
			if s := b.nodes[0].Stats().Keyed; s.Repeated != 1 || b.nodes[linked].Stats().Keyed.Repeated != 1 {
				t.Fatalf("%+v, %+v, want one repeated at each", s, b.nodes[linked].Stats().Keyed)
			}
			if (first == nil) != (again[0] == nil) || (first == nil) != (again[1] == nil) {
				t.Errorf("the first was answered %v, repeated ones %v", first, again)
			}
			seen[first == nil] = true
			b.net.HealAll()
		})
	}
	t.Error("it was never the one that is cut off, or always")
}
