package presence

import (
	"fmt"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// benchIDs are as ids of sockets are: 32 characters, random but for the node's.
func benchEntries(node wire.NodeID, count int) (list []Entry) {
	for range count {
		list = append(list, Entry{ID: string(wire.NewSessionID(node))})
	}
	return list
}

// passOn has what m says received by the others.
func passOn(tb testing.TB, m *Machine, from wire.NodeID, all map[wire.NodeID]*Machine) (some bool) {
	e := m.Take()
	for _, s := range e.Send {
		for id, x := range all {
			if id == from || len(s.To) > 0 && s.To[0] != id {
				continue
			}
			some = true
			if err := x.Receive(from, s.Namespace, s.Payload); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return some || e.More
}

// BenchmarkFirstList is a list of 10,000 members of a room that nobody has followed, with all that
// three nodes do for it.
func BenchmarkFirstList(b *testing.B) {
	const members = 10_000
	entries := map[wire.NodeID][]Entry{}
	for id := range wire.NodeID(3) {
		entries[id+1] = benchEntries(id+1, (members+int(id))/3)
	}
	b.ReportAllocs()
	for b.Loop() {
		all := map[wire.NodeID]*Machine{}
		for id := range entries {
			all[id] = New(Config{Self: id, Name: fmt.Sprint("node", id)})
		}
		for id, m := range all {
			var peers []Peer
			for other := range all {
				if other != id {
					peers = append(peers, Peer{ID: other, Name: fmt.Sprint("node", other), Up: true, Link: 1})
				}
			}
			m.Follow(peers)
		}
		if err := all[1].Watch(lobby); err != nil {
			b.Fatal(err)
		}
		for some := true; some; {
			some = false
			for id, m := range all {
				for _, t := range m.Unscanned() {
					m.Expect(t, len(entries[id]))
					for _, e := range entries[id] {
						m.Join(t, e)
					}
					m.Scanned(t)
					some = true
				}
				some = passOn(b, m, id, all) || some
			}
		}
		if list, _ := all[1].List(lobby, "", members); len(list) != members {
			b.Fatalf("%d members", len(list))
		}
	}
}

// BenchmarkList puts 10,000 members in order and lists them.
func BenchmarkList(b *testing.B) {
	m := New(Config{Self: 1, Name: "node1"})
	if err := m.Watch(lobby); err != nil {
		b.Fatal(err)
	}
	for _, e := range benchEntries(1, 10_000) {
		m.Join(lobby, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.rooms[lobby].sorted = nil
		m.List(lobby, "", 10_000)
	}
}
