package presence

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// The room that was asked for the longest ago makes way, of those that nobody watches and nobody has asked for just now.
func TestTheLongestUnusedRoomMakesWay(t *testing.T) {
	m := New(Config{Self: 1, MaxRooms: 4})
	topic := func(room string) wire.Topic { return wire.Topic{Namespace: "/", Room: room} }
	at := func(second int) { m.Now(1 + time.Duration(second)*time.Second) }
	for i, r := range []string{"watched", "listed", "left", "old"} {
		at(i)
		if err := m.Watch(topic(r)); err != nil {
			t.Fatal(err)
		}
	}
	m.Hold(topic("watched"), 1)
	m.Hold(topic("left"), 1)
	at(4)
	m.List(topic("listed"), "", 10)
	at(5)
	m.Hold(topic("left"), -1)
	for i, tt := range []struct {
		second int
		gone   string // "" is that there is no room
	}{{7, ""}, {8, "old"}, {8, ""}, {9, "listed"}, {10, "left"}, {12, ""}} {
		at(tt.second)
		err := m.Watch(topic(string(rune('0' + i))))
		if (err == nil) != (tt.gone != "") || tt.gone != "" && m.Follows(topic(tt.gone)) {
			t.Errorf("second %d: %v, want %q gone", tt.second, err, tt.gone)
		}
		if got := m.idle.Len(); got != 3 {
			t.Errorf("second %d: %d rooms that nobody watches, want 3", tt.second, got)
		}
	}
}

// What a client costs that asks for rooms of made-up names when all places are taken.
func BenchmarkRefusedRoom(b *testing.B) {
	m := New(Config{Self: 1})
	topic := func(i int) wire.Topic { return wire.Topic{Namespace: "/", Room: fmt.Sprint("room", i)} }
	for i := range 10_000 {
		m.Watch(topic(i))
	}
	m.Take()
	m.Now(2 * time.Second)
	for b.Loop() {
		m.Watch(topic(-1))
	}
}
