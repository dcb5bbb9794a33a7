package node

import "github.com/meshrt/meshrt/wire"

// Priority says which messages go first where they wait, for a slow client or for
// a link to another node. Order is kept among those of one priority; a higher one
// arrives earlier than what was published before it, perhaps. Where nothing waits
// it changes nothing. Answers to a client's events, and its being connected and
// disconnected, keep their meaning: what was published before them comes before.
type Priority int8

// The priorities. The zero value is Normal.
const (
	Low    Priority = -1
	Normal Priority = 0
	High   Priority = 1
)

// String is the name that clients and the HTTP API use.
func (p Priority) String() string {
	switch p {
	case High:
		return "high"
	case Low:
		return "low"
	}
	return "normal"
}

// ParsePriority is the priority of that name. Its error has CodeInvalid.
func ParsePriority(name string) (Priority, error) {
	for _, p := range []Priority{High, Normal, Low} {
		if name == p.String() {
			return p, nil
		}
	}
	return Normal, Errorf(CodeInvalid, "priority must be high, normal or low, not %.40q", name)
}

// MarshalText is String, for JSON and flags.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePriority.
func (p *Priority) UnmarshalText(name []byte) (err error) {
	*p, err = ParsePriority(string(name))
	return err
}

// PriorityOf is that of a message.
func PriorityOf(m *wire.Message) Priority {
	switch {
	case m.Flags&wire.High != 0:
		return High
	case m.Flags&wire.Low != 0:
		return Low
	}
	return Normal
}

func (p Priority) flags() wire.Flags {
	switch p {
	case High:
		return wire.High
	case Low:
		return wire.Low
	}
	return 0
}
