package node_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// client is a Sink that writes down what it is told.
type client struct {
	t       *testing.T
	session *node.Session

	mu      sync.Mutex
	got     []string        // payloads, "ack N ARGS", "connect", "close"
	flushed int             // len(got) at the last Flush
	full    bool            // refuse deliveries
	onAsk   func(id uint64) // runs for every question, on a goroutine
	cursor  string          // of the last event that had one
}

func (c *client) Deliver(d *node.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return false
	}
	if cursor := d.Cursor(); cursor != "" {
		c.cursor = cursor
	}
	switch d.Kind {
	case node.KindEvent:
		text := string(d.Message.Payload)
		if d.AckID > 0 {
			text = fmt.Sprintf("ask %d %s", d.AckID, text)
			if c.onAsk != nil {
				go c.onAsk(d.AckID)
			}
		}
		c.got = append(c.got, text)
	case node.KindAck:
		text := fmt.Sprintf("ack %d %s", d.AckID, d.Args)
		if len(d.Attachments) > 0 {
			text += fmt.Sprintf(" %s", d.Attachments)
		}
		c.got = append(c.got, text)
	case node.KindConnect:
		c.got = append(c.got, "connect")
	}
	return true
}

func (c *client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = len(c.got)
}

func (c *client) Close(connection bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, fmt.Sprint("close ", connection))
	c.flushed = len(c.got)
}

// Cut implements node.Cutter.
func (c *client) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, "cut")
	c.flushed = len(c.got)
}

// take is what came since the last take, and was flushed.
func (c *client) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got[:c.flushed]
	c.got, c.flushed = c.got[c.flushed:], 0
	return got
}

// emit is an event of the client; ack 0 asks for none.
func (c *client) emit(ack uint64, event string, args ...any) {
	c.t.Helper()
	payload, attachments, err := wire.MarshalArgs(event, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	list, err := wire.SplitArgs(payload)
	if err != nil {
		c.t.Fatal(err)
	}
	c.session.Receive(&node.Event{Name: event, Args: list[1:], Attachments: attachments, AckID: ack, HasAck: ack > 0})
}

// ack answers the event of that ack id.
func (c *client) ack(id uint64, args ...any) {
	c.t.Helper()
	payload, attachments, err := wire.MarshalArgs("", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	list, err := wire.SplitArgs(payload)
	if err != nil {
		c.t.Fatal(err)
	}
	c.session.ReceiveAck(id, list[1:], attachments)
}

func (c *client) join(room string) {
	c.t.Helper()
	if err := c.session.Join(context.Background(), room); err != nil {
		c.t.Fatal(err)
	}
}

func connect(t *testing.T, n *node.Node, namespace string) *client {
	t.Helper()
	c := &client{t: t}
	s, err := n.Open(context.Background(), node.SessionConfig{Namespace: namespace, Sink: c, Affinity: n.NewAffinity()})
	if err != nil {
		t.Fatal(err)
	}
	c.session = s
	synctest.Wait()
	if got := c.take(); !slices.Equal(got, []string{"connect"}) {
		t.Fatalf("first deliveries %q, want connect", got)
	}
	return c
}

// expect waits until everything has settled and compares what c got.
func expect(t *testing.T, c *client, want ...string) {
	t.Helper()
	synctest.Wait()
	got := c.take()
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	if same < max(len(got), len(want)) { // thousands are not read by anybody
		t.Errorf("the first %d of %d are right, want %d; then got %.1000q, want %.1000q", same, len(got), len(want),
			got[same:min(len(got), same+20)], want[same:min(len(want), same+20)])
	}
}

// alone runs f with a running node that has no others.
func alone(t *testing.T, setup func(*node.Node), f func(t *testing.T, n *node.Node)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		if setup != nil {
			setup(n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		synctest.Wait()
		f(t, n)
		cancel()
		<-done
	})
}

// lab is some nodes on a network in memory, in a bubble.
type lab struct {
	t     *testing.T
	net   *clustertest.Network
	nodes []*node.Node
	hosts []*clustertest.Host
	stops []func()

	change func(*node.Config) // of all nodes; nil: none
	seed   *clustertest.Host  // nil: the first one
}

func (b *lab) start(setup func(*node.Node)) *node.Node {
	id, name := wire.NewNodeID(), fmt.Sprint("n", len(b.nodes))
	h := b.net.Host(name)
	h.SetNode(name + "@" + id.String())
	cfg := cluster.Config{ID: id, Name: name, Cluster: "test", Net: h}
	if len(b.hosts) > 0 {
		cfg.Seeds = []string{cmp.Or(b.seed, b.hosts[0]).Advertise().String()}
	}
	nc := node.Config{Cluster: cfg, Shards: 2}
	if b.change != nil {
		b.change(&nc)
	}
	n, err := node.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	if setup != nil {
		setup(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	b.nodes, b.hosts = append(b.nodes, n), append(b.hosts, h)
	b.stops = append(b.stops, func() { cancel(); <-done })
	return n
}

// together runs f with count nodes that are joined and settled.
func together(t *testing.T, count int, setup func(*node.Node), f func(t *testing.T, b *lab)) {
	togetherWith(t, count, nil, setup, f)
}

// togetherWith is together with nodes of another Config.
func togetherWith(t *testing.T, count int, change func(*node.Config), setup func(*node.Node), f func(t *testing.T, b *lab)) {
	synctest.Test(t, func(t *testing.T) {
		b := &lab{t: t, net: clustertest.NewNetwork(1), change: change}
		for range count {
			b.start(setup)
		}
		time.Sleep(3 * time.Second)
		for i, n := range b.nodes {
			if ready, cut := n.Cluster().Ready(); !ready || len(cut) > 0 || len(n.Cluster().Nodes()) != count {
				t.Fatalf("node %d is not joined: ready %v, cut %v, nodes %v", i, ready, cut, n.Cluster().Nodes())
			}
		}
		f(t, b)
		for _, stop := range b.stops {
			stop()
		}
		time.Sleep(time.Minute) // memberlist's goroutines outlive its Shutdown by their probe timeout
	})
}

func numbered(prefix string, from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprintf(`["%s",%d]`, prefix, i))
	}
	return s
}

// only keeps the payloads of one event.
func only(got []string, event string) []string {
	return slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, `["`+event+`"`) })
}
