package presence

import (
	"fmt"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// kind says what a frame is.
type kind uint8

const (
	kindWant   kind = iota + 1 // Rooms: the sender wants all of the receiver's sets, but those that have the Version it knows
	kindUnwant                 // Rooms: ... no more
	kindPart                   // Room, Version, Entries: a part of the sender's set, in order with deltas; Sum in the last
	kindDelta                  // Room, Base, Version, Changes: of the set that had the version Base
	kindState                  // Rooms: the sender's sets as they are; one of Version 0 is beyond its Config.MaxBytes
)

// frame is what one node tells others; an array on the wire, so fields are only
// appended. The namespace is that of the message which carries it.
type frame struct {
	Kind          kind
	Room          string
	Base, Version uint64
	Sum           uint64
	First, Last   bool
	Entries       []Entry
	Changes       []change
	Rooms         []state
	Count         uint32 // of kindPart: entries of the whole set, about; 0 is unknown
}

// change is of one socket.
type change struct {
	Entry   Entry // of one that left, its id only
	Left    bool
	Reason  string
	Returns bool // it may come back, with its id, on some node
}

// state is what a set is.
type state struct {
	Room         string
	Version, Sum uint64
}

// Limits of a frame. A sender stays below them; what is beyond is refused.
const (
	partEntries = 1000      // of a kindPart, and changes of a kindDelta
	partBytes   = 256 << 10 // of the entries of a kindPart, but for the last of them
	frameRooms  = 100       // of the kinds that have Rooms
	maxReason   = 255       // bytes
	maxRoom     = 255       // bytes
)

func (f frame) encode() []byte {
	b, err := wire.Marshal(f)
	if err != nil {
		panic("presence: a frame of strings and numbers cannot be encoded: " + err.Error())
	}
	return b
}

// decode reads what another node has encoded.
func decode(b []byte) (f frame, err error) {
	if err := wire.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("presence: %w", err)
	}
	if !f.valid() {
		return f, fmt.Errorf("presence: frame of kind %d: %w", f.Kind, wire.ErrMalformed)
	}
	return f, nil
}

func (f frame) valid() bool {
	if len(f.Room) > maxRoom || len(f.Entries) > partEntries || len(f.Changes) > partEntries || len(f.Rooms) > frameRooms {
		return false
	}
	for _, e := range f.Entries {
		if !e.valid() {
			return false
		}
	}
	for _, c := range f.Changes {
		if !c.Entry.valid() || len(c.Reason) > maxReason || !utf8.ValidString(c.Reason) {
			return false
		}
	}
	for _, s := range f.Rooms {
		if s.Room == "" || len(s.Room) > maxRoom {
			return false
		}
	}
	return f.Kind >= kindWant // those of newer versions are skipped
}
