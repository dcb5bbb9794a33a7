package cluster_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// publishAll publishes count messages of about 200 bytes in each priority, by turns.
func (m *member) publishAll(room string, count int) {
	for range count {
		for _, flags := range []wire.Flags{wire.Low, 0, wire.High} {
			m.Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{room}, Flags: flags}, Payload: bytes.Repeat([]byte("x"), 200)})
		}
	}
}

// arrived counts what came of each stream, and tells whether its numbers rose.
func (m *member) arrived() (count [wire.Streams]int, inOrder bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var last wire.Frontiers
	inOrder = true
	for _, x := range m.got {
		k := x.Flags.Stream()
		inOrder = inOrder && x.Seq > last[k]
		last[k] = x.Seq
		count[k]++
	}
	return count, inOrder
}

// What a link refuses goes on when it has room, all of it, each priority in order.
func TestEveryPriorityPassesANarrowLink(t *testing.T) {
	const count = 300
	narrow := func(_ int, cfg *cluster.Config) { cfg.QueueBytes = 2000 }
	together(t, 2, narrow, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		m[0].publishAll("r", count)
		m[0].host.Reset(m[1].host)
		m[0].publishAll("r", count)
		time.Sleep(10 * time.Second)
		got, inOrder := m[1].arrived()
		if want := [wire.Streams]int{2 * count, 2 * count, 2 * count}; got != want || !inOrder {
			t.Errorf("got %v in order %v, want %v", got, inOrder, want)
		}
		s := m[0].Stats()
		if s.Mesh.Refused == 0 || s.LogBytes != [wire.Streams]int{} || m[1].Stats().Duplicates != 0 {
			t.Errorf("refused %d times, %v bytes in the logs, %d duplicates", s.Mesh.Refused, s.LogBytes, m[1].Stats().Duplicates)
		}
	})
}

// What has left the logs is told in each priority, and counted.
func TestGapsAreToldByPriority(t *testing.T) {
	const count = 100
	small := func(_ int, cfg *cluster.Config) { cfg.LogBytes = 20_000 }
	together(t, 2, small, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		net.Cut(m[0].host, m[1].host)
		net.Cut(m[1].host, m[0].host)
		time.Sleep(1500 * time.Millisecond) // trust has ended
		m[0].publishAll("r", count)
		net.HealAll()
		time.Sleep(10 * time.Second)
		got, inOrder := m[1].arrived()
		lost := m[0].Stats().Lost
		for k := range got {
			if got[k] == 0 || lost[k] == 0 || got[k]+int(lost[k]) != count {
				t.Errorf("%v: got %d, %d lost, want %d in all", wire.Stream(k), got[k], lost[k], count)
			}
		}
		if got[wire.StreamHigh] <= got[wire.StreamNormal] || got[wire.StreamNormal] <= got[wire.StreamLow] || !inOrder {
			t.Errorf("got %v, in order %v", got, inOrder)
		}
		if s := m[1].Stats(); s.Gaps != wire.Streams {
			t.Errorf("told of %d gaps, want one for each priority", s.Gaps)
		}
	})
}
