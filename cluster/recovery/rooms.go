package recovery

import (
	"sort"
	"strings"

	"github.com/meshrt/meshrt/wire"
)

// roomKey is a room in one stream of a log.
type roomKey struct {
	wire.Topic
	stream wire.Stream
}

// rooms is the index of a log: where in their stream the messages to each room are.
type rooms struct {
	of    map[roomKey]*places
	most  int // rooms since the map was made: it keeps the memory for so many
	bytes int // of all but the map: rooms and their places
}

// What a room costs in memory, in bytes, beside its name and places.
const (
	// roomSlot is its part of the map, which is half empty at worst: a key of 40 and a pointer.
	roomSlot = 112
	// perRoom is for its struct, and what the allocator rounds its name up by, of which the key has a copy.
	perRoom = 64
	// fewRooms is how many a map may have had that is not worth making anew.
	fewRooms = 64
)

// size is the memory that the index takes, in bytes.
func (x *rooms) size() int { return x.bytes + x.most*roomSlot }

// add notes that the message with that place, the highest of the stream, is to the room.
func (x *rooms) add(key roomKey, place uint64) {
	at := x.of[key]
	if at == nil {
		if x.of == nil {
			x.of = map[roomKey]*places{}
		}
		at = &places{}
		x.of[key.clone()] = at
		x.most = max(x.most, len(x.of))
		x.bytes += key.bytes()
	}
	if n := at.len(); n > 0 && at.at(n-1) == place { // a room may be named twice
		return
	}
	before := at.bytes()
	at.push(place)
	x.bytes += at.bytes() - before
}

// drop forgets a message, if it is the oldest to the room.
func (x *rooms) drop(key roomKey, place uint64) {
	at := x.of[key]
	if at == nil || at.at(0) != place {
		return
	}
	before := at.bytes()
	at.drop()
	x.bytes += at.bytes() - before
	if at.len() == 0 {
		x.bytes -= key.bytes() + at.bytes()
		delete(x.of, key)
		x.shrink()
	}
}

// shrink makes the map anew when it has had many more rooms, as maps let go of nothing.
func (x *rooms) shrink() {
	if x.most <= fewRooms || len(x.of) > x.most/8 {
		return
	}
	of := make(map[roomKey]*places, len(x.of))
	for key, at := range x.of {
		of[key] = at
	}
	x.of, x.most = of, len(of)
}

// clone holds nothing of the message that k is of: its strings may be views of a frame, and the room outlives that.
func (k roomKey) clone() roomKey {
	name := k.Namespace + k.Room
	if k.Namespace == "" || k.Room == "" {
		name = strings.Clone(name) // to add nothing copies nothing
	}
	k.Namespace, k.Room = name[:len(k.Namespace)], name[len(k.Namespace):]
	return k
}

func (k roomKey) bytes() int { return perRoom + len(k.Namespace) + len(k.Room) }

// places are where in its stream the messages to a room are, rising. Those that left
// are at most three of four.
type places struct {
	list []uint64
	head int // of list, the oldest that is there
}

func (p *places) len() int { return len(p.list) - p.head }

func (p *places) at(i int) uint64 { return p.list[p.head+i] }

func (p *places) bytes() int { return 8 * cap(p.list) }

func (p *places) push(place uint64) {
	if len(p.list) == cap(p.list) && p.head > 0 {
		p.resize(max(2*p.len(), 1))
	}
	p.list = append(p.list, place)
}

func (p *places) drop() {
	if p.head++; p.len() < cap(p.list)/4 {
		p.resize(2 * p.len())
	}
}

// resize gives the places that are here room for n.
func (p *places) resize(n int) {
	p.list = append(make([]uint64, 0, n), p.list[p.head:]...)
	p.head = 0
}

// before is the highest that is below place; false if there is none.
func (p *places) before(place uint64) (uint64, bool) {
	i := sort.Search(p.len(), func(i int) bool { return p.at(i) >= place })
	if i == 0 {
		return 0, false
	}
	return p.at(i - 1), true
}
