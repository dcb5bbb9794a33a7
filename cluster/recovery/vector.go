package recovery

import (
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
