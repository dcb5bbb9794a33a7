package recovery

import (
	"encoding/base64"
	"encoding/binary"
	"maps"

	"github.com/meshrt/meshrt/wire"
)

// Ref names a message in the whole cluster.
type Ref struct {
	Origin wire.NodeID
	Stream wire.Stream
	Seq    uint64
}

// RefOf is the name of m.
func RefOf(m *wire.Message) Ref { return Ref{m.Origin, m.Flags.Stream(), m.Seq} }

// Vector is how far somebody is in the streams of each origin: of every message that was
// for them, they have those up to these numbers, and none behind.
type Vector map[wire.NodeID]wire.Frontiers

// Has tells whether r is not behind v.
func (v Vector) Has(r Ref) bool { return r.Seq <= v[r.Origin][r.Stream] }

// raise takes r in, unless it is no message.
func (v Vector) raise(r Ref) {
	if f := v[r.Origin]; f[r.Stream] < r.Seq {
		f[r.Stream] = r.Seq
		v[r.Origin] = f
	}
}

// reaches tells whether v has all of an origin up to heads.
func (v Vector) reaches(origin wire.NodeID, heads wire.Frontiers) bool {
	return !behind(v[origin], heads)
}

// behind tells whether f lacks something of heads.
func behind(f, heads wire.Frontiers) bool {
	for k := range heads {
		if f[k] < heads[k] {
			return true
		}
	}
	return false
}

func (v Vector) clone() Vector {
	if v == nil {
		return Vector{}
	}
	return maps.Clone(v)
}

// Cursor is a place in what a node has handed to its clients: its D-th message. A
// client tells the last one that it got. The zero Cursor is that of a client that got
// none. It is made once a message and node, not for each client.
type Cursor struct {
	Node wire.NodeID
	D    uint64
}

// String is how clients see c: 22 characters, in a cluster of any size.
func (c Cursor) String() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(c.Node))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, c.D))
}

// cursorLen is the length of a Cursor's String.
const cursorLen = 22

// ParseCursor reads what String made; false for anything else. Clients can make up any
// cursor: it chooses what they are sent of their own rooms, and nothing else.
func ParseCursor(s string) (Cursor, bool) {
	if len(s) != cursorLen {
		return Cursor{}, false
	}
	var b [16]byte
	// The decoder skips ends of lines: then there are fewer bytes.
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s)); err != nil || n != len(b) {
		return Cursor{}, false
	}
	return Cursor{wire.NodeID(binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:])}, true
}
