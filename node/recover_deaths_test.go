package node_test

import (
	"fmt"
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
