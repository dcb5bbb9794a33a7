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
	// those of a higher one go first. Order is kept within a priority only. Both together
	// are High.
	High
	Low
	// Barrier is no event: it marks a place in what a node publishes. Where the session in
	// Rooms moves to another node, or, with a payload, for recovery (RoundOf).
	Barrier
)

// Stream is one of the streams of messages that a node publishes, one for each
// priority. Each has numbers of its own: what overtakes others of one stream would
// make them duplicates.
type Stream uint8

// The values stand in frames. Streams is how many there are.
const (
	StreamNormal Stream = iota
	StreamHigh
	StreamLow
	Streams = 3
)

// Stream is the one in which a message with these flags goes.
func (f Flags) Stream() Stream {
	switch {
	case f&High != 0:
		return StreamHigh
	case f&Low != 0:
		return StreamLow
	}
	return StreamNormal
}

var streamNames = [Streams]string{"normal", "high", "low"}

// String is the name of the priority.
func (s Stream) String() string { return streamNames[s] }

// Frontiers are the highest numbers of a node's messages that another one has
// processed, by stream; 0 for none.
type Frontiers [Streams]uint64

// Topic is a room of a namespace. The empty room is the namespace itself:
// every session in it.
type Topic struct{ Namespace, Room string }

// Message is one event on its way from a publisher to the members of rooms.
// It is immutable once published and shared by all who deliver it.
type Message struct {
	// Envelope is never nil. Messages that came together share one: a node that receives
	// many for one room keeps 40 bytes and a payload of each.
	*Envelope
	// Origin, the stream of the Flags and Seq identify the message in the whole
	// cluster. A node numbers what it publishes in a stream 1, 2, 3, ...; the numbers
	// that one peer sees have gaps, as not every message is for it.
	Seq uint64
	// Payload is the JSON text of ["event", args...] as the publisher wrote it:
	// no node decodes and encodes it on the way, so big integers, key order and
	// lone surrogates arrive as they left.
	Payload []byte
}

// Envelope is for whom a message is and who sent it, and what few messages have.
type Envelope struct {
	Origin    NodeID
	Namespace string
	// Rooms are those whose members get the message, each member once. A
	// session id stands for that one session. Empty: everyone in Namespace.
	Rooms []string
	// Except are rooms and session ids whose members do not get it.
	Except []string
	Flags  Flags
	// From is the session that published, empty for the HTTP API and Go code.
	From SessionID
	// Attachments are the binary values for which the Payload has placeholders
	// {"_placeholder":true,"num":i}, in the order of their numbers.
	Attachments [][]byte
}

// NewMessage makes a message with an envelope of its own, in one allocation.
func NewMessage(e Envelope, payload []byte) *Message {
	m := &struct {
		Message
		own Envelope
	}{Message{Payload: payload}, e}
	m.Envelope = &m.own
	return &m.Message
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
