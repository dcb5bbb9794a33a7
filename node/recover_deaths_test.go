package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A node that starts while a client is away has never met the client's node, which is dead. What it
// publishes is owed to the client all the same.
func TestMessagesOfANodeThatStartedMeanwhileAreNotMissing(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[2], "/")
		a.join("room")
		emit(t, b.nodes[1].In("/").To("room"), "e", 0, 3)
		time.Sleep(time.Second)
		expect(t, a, numbered("e", 0, 3)...)
		b.kill(2)
		time.Sleep(noticed)
		young := b.start(root)
		time.Sleep(5 * time.Second)
		emit(t, young.In("/").To("room"), "young", 0, 3)
		time.Sleep(time.Second)
		c := recovered(t, b.nodes[0], a)
		emit(t, young.In("/").To("room"), "young", 3, 5)
		time.Sleep(time.Second)
		expect(t, c, append([]string{"connect"}, numbered("young", 0, 5)...)...)
	})
}

// Nodes die one after the other, each after all is right again, but within the window: of the first
// nobody has a copy then if the second was its mirror. Who had got all of it misses nothing.
func TestDeathsOneAfterTheOtherKeepNobodyFromRecovery(t *testing.T) {
	for i := range 6 { // which node mirrors which is up to their ids
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			recoveringTogether(t, 3, func(t *testing.T, b *lab) {
				a := connect(t, b.nodes[0], "/")
				a.join("room")
				for k, n := range b.nodes {
					emit(t, n.In("/").To("room"), fmt.Sprint("p", k), 0, 3)
				}
				time.Sleep(time.Second)
				a.take()
				for k := 1; k <= 2; k++ {
					b.kill(k)
					time.Sleep(noticed)
					b.start(root)
					time.Sleep(5 * time.Second)
					emit(t, b.nodes[len(b.nodes)-1].In("/").To("room"), fmt.Sprint("young", k), 0, 3)
					time.Sleep(time.Second)
					expect(t, a, numbered(fmt.Sprint("young", k), 0, 3)...)
				}
				cursor := a.cursor
				a.session.Lost("transport close")
				emit(t, b.nodes[0].In("/").To("room"), "p0", 3, 5)
				a.cursor = cursor
				c := recovered(t, b.nodes[3], a)
				time.Sleep(time.Second)
				expect(t, c, append([]string{"connect"}, numbered("p0", 3, 5)...)...)
			})
		})
	}
}

// All nodes are stopped one after the other, and others started, while a client is away: what the first one left with the second goes
// on to others when that one stops, and so on.
func TestAllNodesAreReplacedWhileAClientIsAway(t *testing.T) {
	for i := range 3 { // which node mirrors which is up to their ids
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			recoveringTogether(t, 3, func(t *testing.T, b *lab) {
				a, other := connect(t, b.nodes[0], "/"), connect(t, b.nodes[2], "/")
				for _, c := range []*client{a, other} {
					c.join("room")
				}
				time.Sleep(50 * time.Millisecond)
				for _, c := range []*client{a, other} {
					c.session.Lost("transport close")
				}
				for k := range 3 {
					emit(t, b.nodes[k].In("/").To("room"), fmt.Sprint("p", k), 0, 50)
					time.Sleep(100 * time.Millisecond)
					b.stops[k]()
					b.seed = b.hosts[len(b.hosts)-1]
					time.Sleep(time.Second)
					young := b.start(root)
					time.Sleep(3 * time.Second)
					emit(t, young.In("/").To("room"), fmt.Sprint("young", k), 0, 2)
				}
				for i, c := range []*client{a, other} {
					got := recovered(t, b.nodes[3+i], c)
					time.Sleep(time.Second)
					list := got.take()
					for k := range 3 {
						if p, young := only(list, fmt.Sprint("p", k)), only(list, fmt.Sprint("young", k)); !slices.Equal(p, numbered(fmt.Sprint("p", k), 0, 50)) ||
							!slices.Equal(young, numbered(fmt.Sprint("young", k), 0, 2)) {
							t.Errorf("client %d got of node %d %d, and of the one in its place %d messages", i, k, len(p), len(young))
						}
					}
				}
			})
		})
	}
}
