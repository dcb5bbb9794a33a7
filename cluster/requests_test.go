package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// ask is a Call of m[0] to m[1] with a patience.
func ask(m []*member, patience time.Duration, body []byte) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	_, err = m[0].Call(ctx, m[1].ID(), "q", body)
	return time.Since(start), err
}

// Links that break five times a second delay requests; none fails and none is done twice.
func TestRequestsSurviveFlaps(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		var mu sync.Mutex
		begun := map[uint64]int{}
		m[1].serve = func(body []byte) ([]byte, error) {
			mu.Lock()
			begun[binary.BigEndian.Uint64(body)]++
			mu.Unlock()
			time.Sleep(150 * time.Millisecond)
			return body, nil
		}
		over := make(chan struct{})
		go func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(200 * time.Millisecond):
					m[0].host.Reset(m[1].host)
				}
			}
		}()
		var wg sync.WaitGroup
		for i := range 300 {
			time.Sleep(37 * time.Millisecond)
			wg.Go(func() {
				if took, err := ask(m, 20*time.Second, binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
					t.Errorf("request %d: %v after %v", i, err, took)
				}
			})
		}
		wg.Wait()
		close(over)
		mu.Lock()
		defer mu.Unlock()
		for i := range uint64(300) {
			if begun[i] != 1 {
				t.Errorf("request %d was done %d times", i, begun[i])
			}
		}
		if s := m[0].Stats(); s.Mesh.Up < 10 {
			t.Errorf("%d links: that tests nothing", s.Mesh.Up)
		}
	})
}

// What was published before a request is there before it, whatever its priority, on the
// next link too.
func TestRequestsStayBehindMessages(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		var early atomic.Int32
		m[1].serve = func(body []byte) ([]byte, error) {
			if uint64(m[1].count()) < binary.BigEndian.Uint64(body) {
				early.Add(1)
			}
			return nil, nil
		}
		var wg sync.WaitGroup
		for i := range uint64(400) {
			if i%20 == 10 {
				m[0].host.Reset(m[1].host)
			}
			m[0].Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}, Flags: []wire.Flags{0, wire.Low, wire.High}[i%3]}, Payload: []byte(`["e"]`)})
			wg.Go(func() {
				if _, err := ask(m, 20*time.Second, binary.BigEndian.AppendUint64(nil, i+1)); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(11 * time.Millisecond)
		}
		wg.Wait()
		if early.Load() > 0 {
			t.Errorf("%d requests were there before their message", early.Load())
		}
	})
}

// How soon a request ends that gets no answer, and why.
func TestWhatEndsARequest(t *testing.T) {
	const patience = 2 * time.Second
	for _, tt := range []struct {
		name string
		do   func(net *clustertest.Network, m []*member)
		want error
		most time.Duration
	}{
		{"kill", func(net *clustertest.Network, m []*member) { m[1].host.Kill() }, cluster.ErrGone, 800 * time.Millisecond},
		{"partition", func(net *clustertest.Network, m []*member) {
			net.Partition([]*clustertest.Host{m[0].host}, []*clustertest.Host{m[1].host})
		}, context.DeadlineExceeded, patience},
		{"break in a partition", func(net *clustertest.Network, m []*member) {
			net.Partition([]*clustertest.Host{m[0].host}, []*clustertest.Host{m[1].host})
			m[0].host.Reset(m[1].host)
		}, context.DeadlineExceeded, patience},
		{"stop", func(net *clustertest.Network, m []*member) { go m[1].stop() }, nil, patience / 4},
	} {
		for _, from := range []int{0, 1} { // the polite one too
			t.Run(tt.name, func(t *testing.T) {
				together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
					m = []*member{m[from], m[1-from]}
					m[1].serve = func([]byte) ([]byte, error) { time.Sleep(patience / 4); return nil, nil }
					time.AfterFunc(100*time.Millisecond, func() { tt.do(net, m) })
					took, err := ask(m, patience, nil)
					if !errors.Is(err, tt.want) || took > tt.most+100*time.Millisecond {
						t.Errorf("%v after %v, want %v after %v", err, took, tt.want, tt.most)
					}
					if tt.want == cluster.ErrGone {
						if took, err := ask(m, patience, nil); !errors.Is(err, cluster.ErrNotLinked) || took > 0 {
							t.Errorf("then: %v after %v", err, took)
						}
					}
				})
			})
		}
	}
}

// A request to a node that has no link now waits for one; a node that nobody knows has none.
func TestRequestsWaitForALink(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].serve = func([]byte) ([]byte, error) { return nil, nil }
		net.Partition([]*clustertest.Host{m[0].host}, []*clustertest.Host{m[1].host})
		m[0].host.Reset(m[1].host)
		time.AfterFunc(1500*time.Millisecond, net.HealAll)
		if took, err := ask(m, 10*time.Second, nil); err != nil || took < 1500*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		if _, err := m[0].Call(context.Background(), 99, "q", nil); !errors.Is(err, cluster.ErrNotLinked) {
			t.Errorf("a node that nobody knows: %v", err)
		}
	})
}

// The other node works no longer than the asker waits.
func TestRequestsTellTheirTimeout(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].serve = func([]byte) ([]byte, error) {
			return nil, cluster.Later(func(ctx context.Context) ([]byte, error) {
				start := time.Now()
				<-ctx.Done()
				return []byte(time.Since(start).Round(10 * time.Millisecond).String()), nil
			})
		}
		if took, err := ask(m, time.Second, nil); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		start := time.Now()
		m[1].stop() // which waits for requests under way
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("the stop took %v", took)
		}
	})
}
