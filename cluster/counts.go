package cluster

import (
	"strings"

	"github.com/google/btree"

	"github.com/meshrt/meshrt/wire"
)

// memberCounts are the members that one node has in each topic, in the order of their
// names: a plain value, so that a page is found where the last one ended and a node that
// is down is let go of at once. A topic costs some 50 bytes and its name.
type memberCounts struct {
	spaces *btree.BTreeG[*space]
	free   *btree.FreeListG[RoomCount]
	total  int // sessions in all namespaces
	topics int
}

// space is one namespace, whose own count is that of the room "".
type space struct {
	name  string
	rooms *btree.BTreeG[RoomCount]
}

// RoomCount is how many members of a room one node has.
type RoomCount struct {
	Room    string
	Members uint32
}

// degree is that of the trees: nodes of a few hundred bytes to a few KB.
const degree = 32

func newMemberCounts() *memberCounts {
	return &memberCounts{spaces: btree.NewG(8, func(a, b *space) bool { return a.name < b.name }), free: btree.NewFreeListG[RoomCount](32)}
}

// set takes the new count of a topic. Names are copied: they may be views of a frame.
func (c *memberCounts) set(t wire.Topic, members uint64) {
	s, ok := c.spaces.Get(&space{name: t.Namespace})
	switch {
	case !ok && members == 0:
		return
	case !ok:
		less := func(a, b RoomCount) bool { return a.Room < b.Room }
		s = &space{strings.Clone(t.Namespace), btree.NewWithFreeListG(degree, less, c.free)}
		c.spaces.ReplaceOrInsert(s)
	}
	old, known := s.rooms.Get(RoomCount{Room: t.Room})
	switch x := (RoomCount{old.Room, uint32(min(members, 1<<32-1))}); {
	case members > 0:
		if !known {
			x.Room = strings.Clone(t.Room)
			c.topics++
		}
		s.rooms.ReplaceOrInsert(x)
	case known:
		s.rooms.Delete(old)
		if c.topics--; s.rooms.Len() == 0 {
			c.spaces.Delete(s)
		}
	}
	if t.Room == "" {
		c.total += int(min(members, 1<<32-1)) - int(old.Members)
	}
}

// members of one topic.
func (c *memberCounts) members(t wire.Topic) int {
	if s, ok := c.spaces.Get(&space{name: t.Namespace}); ok {
		x, _ := s.rooms.Get(RoomCount{Room: t.Room})
		return int(x.Members)
	}
	return 0
}

// page is the first rooms of a namespace behind a name.
func (c *memberCounts) page(namespace, after string, limit int) (list []RoomCount) {
	s, ok := c.spaces.Get(&space{name: namespace})
	if !ok {
		return nil
	}
	s.rooms.AscendGreaterOrEqual(RoomCount{Room: after}, func(x RoomCount) bool {
		if x.Room > after {
			list = append(list, x)
		}
		return len(list) < limit
	})
	return list
}

// part is up to limit counts from a topic on, that one included, and the topic to go
// on from; more is false when that was the last part.
func (c *memberCounts) part(from wire.Topic, limit int) (list []wire.Count, next wire.Topic, more bool) {
	c.spaces.AscendGreaterOrEqual(&space{name: from.Namespace}, func(s *space) bool {
		start := ""
		if s.name == from.Namespace {
			start = from.Room
		}
		s.rooms.AscendGreaterOrEqual(RoomCount{Room: start}, func(x RoomCount) bool {
			t := wire.Topic{Namespace: s.name, Room: x.Room}
			if len(list) == limit {
				next, more = t, true
				return false
			}
			list = append(list, wire.Count{Topic: t, Members: uint64(x.Members)})
			return true
		})
		return !more
	})
	return list, next, more
}
