package node_test

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// TestAClientThatHearsLittleIsRecovered: others at its node get much meanwhile, for longer than anything is kept.
func TestAClientThatHearsLittleIsRecovered(t *testing.T) {
	for name, heard := range map[string]int{"nothing": 0, "something": 2} {
		t.Run(name, func(t *testing.T) {
			single(t, nil, func(t *testing.T, n *node.Node) {
				a := connect(t, n, "/")
				a.join("calm")
				busy := connect(t, n, "/")
				busy.join("busy")
				calm := n.In("/").To("calm")
				emit(t, calm, "e", 0, heard)
				for i := range 300 { // seconds
					emit(t, n.In("/").To("busy"), "b", i, i+1)
					time.Sleep(time.Second)
				}
				a.session.Lost("transport close")
				emit(t, calm, "e", heard, heard+3)
				b := recovered(t, n, a)
				expect(t, b, append([]string{"connect"}, numbered("e", heard, heard+3)...)...)

				// And again, behind a replay.
				for i := range 300 {
					emit(t, n.In("/").To("busy"), "b", i, i+1)
					time.Sleep(time.Second)
				}
				b.session.Lost("transport close")
				emit(t, calm, "e", 10, 12)
				expect(t, recovered(t, n, b), append([]string{"connect"}, numbered("e", 10, 12)...)...)
			})
		})
	}
}

// The same for one whose node has died: a mirror knows it.
func TestAClientThatHearsLittleIsRecoveredElsewhere(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("calm")
		busy := connect(t, b.nodes[0], "/")
		busy.join("busy")
		calm := b.nodes[1].In("/").To("calm")
		emit(t, calm, "e", 0, 2)
		for i := range 200 {
			emit(t, b.nodes[1].In("/").To("busy"), "b", i, i+1)
			time.Sleep(time.Second)
		}
		expect(t, a, numbered("e", 0, 2)...)
		emit(t, calm, "e", 2, 3)
		b.kill(0)
		emit(t, calm, "e", 3, 4)
		time.Sleep(noticed)
		c := recovered(t, b.nodes[2], a)
		time.Sleep(time.Second)
		expect(t, c, append([]string{"connect"}, numbered("e", 2, 4)...)...)
	})
}
