package ws

import "sync"

// Opcode is the kind of a frame (RFC 6455, section 5.2).
type Opcode uint8

// The frames that a server's queue may hold.
const (
	Text   Opcode = 0x1
	Binary Opcode = 0x2
	Ping   Opcode = 0x9 // without data
)

// Frame is one message, or a ping.
type Frame struct {
	Opcode Opcode
	Data   []byte
}

// Group is one or more frames that stay adjacent on the wire, such as an event and
// its attachments. It is made once and never changes, so that all the clients it
// is sent to share it.
type Group struct {
	frames   []Frame
	messages int // frames that are no pings
	size     int
	raw      bool
	place    Place
	shared   *shared // of NewAnswer: frames are made by whole

	framed      bool // from the beginning: encoded is there
	encodedOnce sync.Once
	encoded     []encoded // see encode
	deflated    deflated
}

// NewGroup keeps frames and their data: the caller must not change them any more.
func NewGroup(frames ...Frame) *Group {
	g := &Group{frames: frames}
	for _, f := range frames {
		if f.Opcode != Ping {
			g.messages++
			g.size += len(f.Data)
		}
	}
	return g
}

// single is a Group of one message, in one piece of memory.
type single struct {
	Group
	frame   [1]Frame
	encoded [1]encoded
}

// Room is a buffer to which a message of about size bytes is appended, for NewMessage:
// in front of it is room for the head of its frame.
func Room(size int) []byte { return make([]byte, maxHead, maxHead+size) }

// NewMessage is NewGroup for the one message that was appended to a Room: it goes out
// from there, and is not copied again. The caller must not change it any more.
func NewMessage(op Opcode, room []byte) *Group {
	data := room[maxHead:]
	head := headSize(len(data))
	appendHead(room[maxHead-head:maxHead-head], finBit|byte(op), len(data))
	s := &single{frame: [1]Frame{{op, data}}, encoded: [1]encoded{{head: room[maxHead-head:]}}}
	s.frames, s.Group.encoded, s.framed = s.frame[:], s.encoded[:], true
	s.messages, s.size = 1, len(data)
	return &s.Group
}

// Uncompressed has the group go out as it is, to clients that take compressed
// messages too. It comes before the group is sent, and returns it.
func (g *Group) Uncompressed() *Group {
	g.raw = true
	return g
}

// At has the group wait at place p, which is Normal otherwise. It comes before the
// group is sent, and returns it.
func (g *Group) At(p Place) *Group {
	g.place = p
	return g
}

// Place is where the group waits.
func (g *Group) Place() Place { return g.place }

// With is a group of other frames that goes out as g does.
func (g *Group) With(frames ...Frame) *Group {
	other := NewGroup(frames...)
	other.raw, other.place = g.raw, g.place
	return other
}

// Frames are those of the group, to be read only.
func (g *Group) Frames() []Frame {
	if g.shared != nil {
		return g.whole()
	}
	return g.frames
}

// Size is the bytes of the messages, without frame headers. It is what counts
// against Outbox.MaxBytes.
func (g *Group) Size() int { return g.size }
