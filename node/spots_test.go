package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// Few or many, spots is a map.
func TestSpotsAreAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rooms := range []int{1, maxFew, maxFew + 1, 40} {
		var s spots
		want := map[wire.Topic]int{}
		for i := range 500 {
			topic := wire.Topic{Namespace: "/", Room: fmt.Sprint(r.IntN(rooms))}
			if r.IntN(3) == 0 {
				s.remove(topic)
				delete(want, topic)
			} else {
				s.set(topic, i)
				want[topic] = i
			}
			at, ok := s.get(topic)
			if wantAt, wantOK := want[topic]; at != wantAt || ok != wantOK {
				t.Fatalf("%d rooms: %v is at %d, %v, want %d, %v", rooms, topic, at, ok, wantAt, wantOK)
			}
		}
		got := slices.Collect(s.topics())
		if len(got) != len(want) {
			t.Errorf("%d rooms: %d topics, want %d", rooms, len(got), len(want))
		}
		for topic := range s.topics() {
			s.remove(topic)
			delete(want, topic)
		}
		if rest := slices.Collect(s.topics()); len(rest) > 0 || len(want) > 0 {
			t.Errorf("%d rooms: %v are left, and %v", rooms, rest, slices.Collect(maps.Keys(want)))
		}
	}
}
