package wire

// Flags modify how a message is delivered.
type Flags uint16

const (
	// Volatile messages may be dropped by anyone whose queue is filling up.
	Volatile Flags = 1 << iota
	// WithSender asks protocols whose events carry no sender of their own to
	// put From in front of the arguments, as the direct verb promises.
	WithSender
	// WantAck asks the receiving node to gather the answers of its clients,
	// which a request of the publisher then asks for.
	WantAck
	// Uncompressed messages are not worth compressing.
	Uncompressed
	// High and Low are priorities: where messages wait, in a link's queue or a client's,
	// those of a higher one go first. Order is kept within a priority only.
	High
	Low
	// Barrier is no event: it marks, in what a node publishes, where the session in
	// Rooms moves to another node.
	Barrier
)

// Topic is a room of a namespace. The empty room is the namespace itself:
// every session in it.
type Topic struct{ Namespace, Room string }

// Message is one event on its way from a publisher to the members of rooms.
// It is immutable once published and shared by all who deliver it.
type Message struct {
	// Origin and Seq identify the message in the whole cluster. A node numbers
	// what it publishes 1, 2, 3, ...; the numbers that one peer sees have gaps,
	// as not every message is for it.
	Origin NodeID
	Seq    uint64

	Namespace string
	// Rooms are those whose members get the message, each member once. A
	// session id stands for that one session. Empty: everyone in Namespace.
	Rooms []string
	// Except are rooms and session ids whose members do not get it.
	Except []string
	Flags  Flags
	// From is the session that published, empty for the HTTP API and Go code.
	From SessionID

	// Payload is the JSON text of ["event", args...] as the publisher wrote it:
	// no node decodes and encodes it on the way, so big integers, key order and
	// lone surrogates arrive as they left.
	Payload []byte
	// Attachments are the binary values for which the Payload has placeholders
	// {"_placeholder":true,"num":i}, in the order of their numbers.
	Attachments [][]byte
}

// Size is what the message costs in queues and on the wire, in bytes, near
// enough for limits.
func (m *Message) Size() int {
	const each = 5 // header of a string or byte string
	n := 64 + len(m.Namespace) + len(m.From) + len(m.Payload)
	for _, r := range m.Rooms {
		n += len(r) + each
	}
	for _, r := range m.Except {
		n += len(r) + each
	}
	for _, a := range m.Attachments {
		n += len(a) + each
	}
	return n
}
