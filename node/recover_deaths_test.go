package node_test

import (
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
