package presence

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// Entry is one socket in a room, as its node tells it.
type Entry struct {
	ID   string // of the socket
	User string // "" is nobody in particular
	Info []byte // JSON, or empty
}

// Limits of an entry. Beyond them nobody is told of it.
const (
	MaxUser = 255     // bytes
	MaxInfo = 4 << 10 // bytes
	maxID   = 64      // bytes; a socket's has 32
)

func (e Entry) valid() bool {
	return e.ID != "" && len(e.ID) <= maxID && len(e.User) <= MaxUser && len(e.Info) <= MaxInfo &&
		(len(e.Info) == 0 || wire.ValidJSON(e.Info) && utf8.Valid(e.Info) && wire.CheckDepth(e.Info) == nil)
}

// key names the member that the entry is a socket of. Its first letter keeps users
// whose names are ids apart from sockets.
func (e Entry) key() string {
	if e.User != "" {
		return "u:" + e.User
	}
	return "i:" + e.ID
}

// cost is what an entry takes of Config.MaxBytes: with its places in maps, roughly.
func (e Entry) cost() int { return 200 + len(e.ID) + len(e.User) + len(e.Info) }

// sum is FNV-1a over the parts of an entry, each behind its length. It is the same on
// all nodes, of all versions.
func (e Entry) sum() uint64 {
	h := uint64(14695981039346656037)
	add := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	part := func(s string) {
		add(byte(len(s)))
		add(byte(len(s) >> 8))
		for i := range len(s) {
			add(s[i])
		}
	}
	part(e.ID)
	part(e.User)
	part(string(e.Info))
	return h
}

// set is the entries of one node in one room.
type set struct {
	entries map[string]Entry // by ID
	version uint64           // of the owner; rises with every change
	sum     uint64           // exclusive or of those of the entries
	bytes   int              // cost of the entries
}

// maxHint limits the entries for which a set has places before they have come.
const maxHint = 16 << 10

// newSet makes one that is to have about so many entries.
func newSet(version uint64, hint int) *set {
	return &set{entries: make(map[string]Entry, min(hint, maxHint)), version: version}
}

// put adds an entry, in place of one of the same id.
func (m *Machine) put(s *set, e Entry) {
	if old, was := s.entries[e.ID]; was {
		s.sum ^= old.sum()
		m.charge(s, -old.cost())
	}
	s.entries[e.ID] = e
	s.sum ^= e.sum()
	m.charge(s, e.cost())
}

func (m *Machine) charge(s *set, bytes int) {
	s.bytes += bytes
	m.bytes += bytes
}

// cut takes an entry out.
func (m *Machine) cut(s *set, id string) (Entry, bool) {
	e, ok := s.entries[id]
	if ok {
		delete(s.entries, id)
		s.sum ^= e.sum()
		m.charge(s, -e.cost())
	}
	return e, ok
}

// free lets go of a set.
func (m *Machine) free(s *set) {
	if s != nil {
		m.bytes -= s.bytes
	}
}

// Member is one who is present in a room: a user, however many sockets of it are there,
// or a socket without a user.
type Member struct {
	// Key names the member within the room; lists are in its order.
	Key string `json:"-"`
	// ID is that of its socket: of several the lowest, and the last one while there is none.
	ID   string          `json:"id"`
	User string          `json:"user"` // "" for a socket without
	Info json.RawMessage `json:"info"` // of that socket, nil if none
	Node string          `json:"node"` // name of its node
	// Sockets are all of them, at most MaxSockets, if there are several.
	Sockets []Socket `json:"sockets,omitempty"`
}

// Socket is one of several of a user.
type Socket struct {
	ID   string `json:"id"`
	Node string `json:"node"`
}

// MaxSockets is how many sockets of a Member are listed.
const MaxSockets = 100
