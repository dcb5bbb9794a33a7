package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// member is a node of a cluster in memory. It writes down what it gets.
type member struct {
	*cluster.Cluster
	host *clustertest.Host
	stop func()

	mu    sync.Mutex
	got   []*wire.Message
	serve func(body []byte) ([]byte, error)

	rec *recoveryNode // that has the messages; nil with recovery off
}

func (m *member) HandleMessages(list []*wire.Message) {
	if m.rec != nil {
		m.rec.messages(list)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, list...)
}

func (m *member) HandleRequest(_ context.Context, _ wire.NodeID, _ string, body []byte) ([]byte, error) {
	return m.serve(body)
}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

func (m *member) publish(room string) {
	m.Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{room}}, Payload: []byte(`["e"]`)})
}

// together runs f with nodes that prepare has seen before they run, and that have
// had some seconds.
func together(t *testing.T, count int, prepare func(i int, cfg *cluster.Config), f func(t *testing.T, net *clustertest.Network, m []*member)) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		var all []*member
		for i := range count {
			m := &member{host: net.Host(fmt.Sprint("n", i))}
			cfg := cluster.Config{ID: wire.NodeID(i + 1), Name: fmt.Sprint("n", i), Cluster: "test", Net: m.host}
			m.host.SetNode(cfg.Name + "@" + cfg.ID.String())
			if i > 0 {
				cfg.Seeds = []string{all[0].host.Advertise().String()}
			}
			if prepare != nil {
				prepare(i, &cfg)
			}
			if rec, ok := cfg.Recovery.(*recoveryNode); ok {
				m.rec, rec.member = rec, m
			}
			c, err := cluster.New(cfg, m)
			if err != nil {
				t.Fatal(err)
			}
			m.Cluster = c
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.Run(ctx)
			}()
			m.stop = func() { cancel(); <-done }
			all = append(all, m)
		}
		time.Sleep(3 * time.Second)
		f(t, net, all)
		for _, m := range all {
			m.stop()
		}
		time.Sleep(time.Minute) // memberlist's goroutines outlive its Shutdown by their probe timeout
	})
}

// A link has limits, an interest has none: one that is larger than all that may
// wait on a link goes over it all the same.
func TestInterestLargerThanALinkTakes(t *testing.T) {
	const queue, rooms = 256 << 10, 20_000
	limit := func(_ int, cfg *cluster.Config) { cfg.ControlBytes = queue }
	together(t, 2, limit, func(t *testing.T, net *clustertest.Network, m []*member) {
		for i := range rooms {
			m[0].SetInterest(wire.Topic{Namespace: "/", Room: fmt.Sprintf("%060d", i)}, true)
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		before := m[0].Stats().Mesh.Up
		m[0].host.Reset(m[1].host)
		time.Sleep(5 * time.Second)
		s := m[0].Stats()
		if s.Links != 1 || s.Mesh.Up != before+1 {
			t.Errorf("%d links, %d made since the reset, want one that stays", s.Links, s.Mesh.Up-before)
		}
		m[1].publish(fmt.Sprintf("%060d", 0))
		m[1].publish(fmt.Sprintf("%060d", rooms-1))
		time.Sleep(time.Second)
		if got := m[0].count(); got != 2 {
			t.Errorf("got %d messages, want 2", got)
		}
	})
}

// G7: what was published before a node stops arrives, also while its link is just
// broken or the other node slow to answer.
func TestStopAfterPublishLosesNothing(t *testing.T) {
	for name, disturb := range map[string]func(net *clustertest.Network, a, b *clustertest.Host){
		"nothing": func(net *clustertest.Network, a, b *clustertest.Host) {},
		"a reset": func(net *clustertest.Network, a, b *clustertest.Host) { a.Reset(b) },
		"no trust": func(net *clustertest.Network, a, b *clustertest.Host) {
			net.Cut(b, a)
			time.Sleep(1500 * time.Millisecond)
			time.AfterFunc(300*time.Millisecond, net.HealAll)
		},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
				m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
				time.Sleep(time.Second)
				disturb(net, m[0].host, m[1].host)
				for range 100 {
					m[0].publish("r")
				}
				start := time.Now()
				m[0].stop()
				if took := time.Since(start); took > 2500*time.Millisecond {
					t.Errorf("the stop took %v", took)
				}
				time.Sleep(time.Second)
				if got := m[1].count(); got != 100 {
					t.Errorf("got %d messages, want 100", got)
				}
			})
		})
	}
}

// What is done when a join counts may take long: an ack waits where its client's
// queue is. No link and no lease may wait for it.
func TestSlowJoinersHoldNoLink(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		release := make(chan struct{})
		var called atomic.Int32
		for i := range 3 {
			v := m[0].SetInterest(wire.Topic{Namespace: "/", Room: fmt.Sprint(i)}, true)
			m[0].WhenInForce(v, func() { called.Add(1); <-release })
		}
		time.Sleep(3 * time.Second)
		for i := range 3 {
			m[1].publish(fmt.Sprint(i))
			m[0].publish("r")
		}
		time.Sleep(100 * time.Millisecond)
		if got := m[0].count(); got != 3 || called.Load() != 1 {
			t.Errorf("got %d messages, want 3; %d joins were told, want the first", got, called.Load())
		}
		if s := m[0].Stats(); s.Expired != 0 {
			t.Errorf("trust ended %d times", s.Expired)
		}
		close(release)
		synctest.Wait()
		if called.Load() != 3 {
			t.Errorf("%d joins were told, want 3", called.Load())
		}
	})
}

// Questions and answers that are more than a link takes are refused, and the
// link goes on.
func TestFloodOfQuestionsEndsNoLink(t *testing.T) {
	const queue, body = 128 << 10, 10 << 10
	limit := func(_ int, cfg *cluster.Config) { cfg.ControlBytes = queue }
	for name, size := range map[string][2]int{"questions": {body, 0}, "answers": {0, body}} {
		t.Run(name, func(t *testing.T) {
			together(t, 2, limit, func(t *testing.T, net *clustertest.Network, m []*member) {
				m[1].serve = func([]byte) ([]byte, error) { return make([]byte, size[1]), nil }
				net.SetDelay(m[0].host, m[1].host, 20*time.Millisecond)
				var busy, answered atomic.Int32
				var wg sync.WaitGroup
				for range 500 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
						defer cancel()
						switch _, err := m[0].Call(ctx, m[1].ID(), "q", make([]byte, size[0])); err {
						case nil:
							answered.Add(1)
						case cluster.ErrBusy:
							busy.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if s := m[0].Stats(); s.Mesh.Down != 0 || busy.Load() == 0 || answered.Load() == 0 {
					t.Errorf("%d links ended; %d answers, %d refused", s.Mesh.Down, answered.Load(), busy.Load())
				}
			})
		})
	}
}

// Nodes that have nothing to say exchange their leases, which do for PINGs and measure the round trip.
func TestIdleNodesSayNothingButTheirLeases(t *testing.T) {
	together(t, 3, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		time.Sleep(3 * time.Second)
		for _, a := range m {
			for _, b := range m {
				net.SetDelay(a.host, b.host, 30*time.Millisecond)
			}
		}
		before := m[1].Stats().Mesh.FramesOut
		time.Sleep(10 * time.Second)
		out := m[1].Stats().Mesh.FramesOut
		for kind, limit := range map[wire.Kind]uint64{wire.KindPing: 0, wire.KindPong: 0, wire.KindAsk: 2 * 42, wire.KindGrant: 2 * 42} {
			if n := out[kind] - before[kind]; n > limit {
				t.Errorf("%d frames of kind %d in 10 s, want %d at most", n, kind, limit)
			}
		}
		if s := m[1].Stats(); s.Expired > 0 || s.Mesh.Down > 0 {
			t.Errorf("trust ended %d times, links %d times", s.Expired, s.Mesh.Down)
		}
		for _, n := range m[1].Nodes() {
			if n.State == "up" && (n.RTT < 60*time.Millisecond || n.RTT > 65*time.Millisecond) {
				t.Errorf("round trip %v, want 60 ms", n.RTT)
			}
		}
	})
}
