package cluster_test

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// soon is less than any timer of a link or a lease, and more than the network takes.
const soon = 20 * time.Millisecond

// Nothing waits for a heartbeat, whoever writes it.
func TestNothingWaitsForAHeartbeat(t *testing.T) {
	for _, nodes := range []int{2, 20} { // more than one publisher writes to
		together(t, nodes, nil, func(t *testing.T, _ *clustertest.Network, m []*member) {
			for i := range 50 {
				room := string(rune('a' + i))
				last := m[nodes-1]
				version := last.SetInterest(wire.Topic{Namespace: "/", Room: room}, true)
				for _, n := range m[1 : nodes-1] {
					n.SetInterest(wire.Topic{Namespace: "/", Room: room}, true)
				}
				time.Sleep(soon)
				if !last.InForce(version) {
					t.Fatalf("%d nodes: a join is not in force", nodes)
				}
				m[0].publish(room)
				m[0].Flush()
				time.Sleep(soon)
				for k, n := range m[1:] {
					if n.count() != i+1 {
						t.Fatalf("%d nodes: node %d has %d messages, want %d", nodes, k+1, n.count(), i+1)
					}
				}
				time.Sleep(11 * time.Millisecond) // so that the heartbeats are at any distance
			}
		})
	}
}

// The confirmation of much does not wait for the next question.
func TestMuchIsConfirmedAtOnce(t *testing.T) {
	together(t, 2, nil, func(t *testing.T, _ *clustertest.Network, m []*member) {
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		for range 8 {
			time.Sleep(330 * time.Millisecond) // questions and heartbeats come every 250
			for range 1024 {
				m[0].publish("r")
			}
			m[0].Flush()
			if time.Sleep(soon); m[0].Stats().LogBytes[wire.StreamNormal] > 100_000 {
				t.Fatalf("%d bytes are not confirmed", m[0].Stats().LogBytes[wire.StreamNormal])
			}
		}
	})
}

// Two publishers may each leave the other's message to it.
func TestMessagesOfManyPublishersKeepTheirOrder(t *testing.T) {
	const count = 500
	together(t, 3, nil, func(t *testing.T, _ *clustertest.Network, m []*member) {
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		m[2].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		done := make(chan struct{})
		for p := range 3 {
			go func() {
				defer func() { done <- struct{}{} }()
				for i := range count {
					m[0].Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: []byte{'[', byte('0' + p), ']'}})
					m[0].Flush()
					if i%5 == p {
						time.Sleep(time.Duration(100+50*p) * time.Microsecond)
					}
				}
			}()
		}
		for range 3 {
			<-done
		}
		time.Sleep(soon)
		for _, n := range m[1:] {
			if got, inOrder := n.arrived(); got[wire.StreamNormal] != 3*count || !inOrder {
				t.Errorf("%d of %d messages came, in order %v", got[wire.StreamNormal], 3*count, inOrder)
			}
		}
	})
}
