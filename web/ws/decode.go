package ws

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// Errors of a decoder. Behind errBreach the frames of a client cannot be told apart
// any more.
var (
	errBreach      = errors.New("ws: the client breaks RFC 6455")
	errTooBig      = errors.New("ws: message too big")
	errInvalidText = errors.New("ws: text that is not UTF-8")
)

// decoder makes messages of the bytes of a client, which come in pieces of any size:
// sections 5.2 to 5.5 of RFC 6455. It holds what came of a message that is not whole,
// and no more: nothing is allocated for bytes that are only announced. It knows
// neither time nor connections.
type decoder struct {
	most  int  // bytes of a message
	packs bool // messages may be compressed
	deaf  bool // data is skipped: see refuse

	within bool // a frame's payload: its head is read
	frame  head
	part   []byte // of a head, of a control frame
	text   head   // the first of the message under way; op is 0 when none is
	data   []byte // of it
}

// head is the head of a frame.
type head struct {
	op          Opcode
	fin, packed bool
	left        uint64 // bytes of the payload that are still to come
	mask        uint32 // of the next byte in its lowest bits
}

// The opcodes that only a decoder meets: RFC 6455, section 5.2.
const (
	continuation Opcode = 0x0
	pong         Opcode = 0xa
)

func (o Opcode) control() bool { return o&0x8 != 0 }

// message is what a client has sent: text, a binary message or a control frame. The
// zero message is none.
type message struct {
	op   Opcode
	data []byte // nobody else's
}

// maxControl limits the payload of a control frame, section 5.5.
const maxControl = 125

// refuse skips the data that follows, for the close frame of the client.
func (d *decoder) refuse() { d.deaf, d.data = true, nil }

// next takes bytes of b, of which n are used, until there is a message. b is unmasked in place.
// After an error but errBreach refuse makes it usable.
func (d *decoder) next(b []byte) (m message, n int, err error) {
	for n < len(b) || d.within && d.frame.left == 0 {
		if !d.within {
			used, err := d.head(b[n:])
			if n += used; err != nil {
				return message{}, n, err
			}
			continue
		}
		size := int(min(uint64(len(b)-n), d.frame.left))
		d.frame.mask = unmask(b[n:n+size], d.frame.mask)
		d.frame.left -= uint64(size)
		whole := d.frame.left == 0
		d.within = !whole
		m, err = d.payload(b[n:n+size], whole)
		if n += size; m.op != 0 || err != nil {
			return m, n, err
		}
	}
	return message{}, n, nil
}

// head takes bytes of a frame's head, and what there is of it is judged before the
// rest comes.
func (d *decoder) head(b []byte) (n int, err error) {
	var whole [maxClientHead]byte
	had := copy(whole[:], d.part)
	got := had + copy(whole[had:], b)
	f, size, err := d.parse(whole[:got])
	switch {
	case err != nil:
		return 0, err
	case size == 0:
		d.part = append(d.part, b...)
		return len(b), nil
	}
	d.frame, d.within, d.part = f, true, nil
	return size - had, d.begin()
}

// maxClientHead is the longest head of a frame that is masked, in bytes.
const maxClientHead = maxHead + 4

// parse reads a head; size is 0 when more of it must come.
func (d *decoder) parse(b []byte) (f head, size int, err error) {
	if len(b) < 2 {
		return head{}, 0, nil
	}
	const reserved, masked = 0x30, 0x80
	f.op, f.fin, f.packed = Opcode(b[0]&0x0f), b[0]&finBit != 0, b[0]&compressedBit != 0
	f.left, size = uint64(b[1]&^masked), 2
	switch {
	case b[0]&reserved != 0, b[1]&masked == 0, f.op > Binary && f.op < opClose, f.op > pong:
		return head{}, 0, errBreach
	case f.packed && (!d.packs || f.op.control() || f.op == continuation): // RFC 7692, section 6.1
		return head{}, 0, errBreach
	case f.op.control() && (!f.fin || f.left > maxControl):
		return head{}, 0, errBreach
	case !f.op.control() && (f.op == continuation) != (d.text.op != 0):
		return head{}, 0, errBreach
	case f.left == 126:
		size = 4
	case f.left == 127:
		size = maxHead
	}
	if len(b) < size+4 {
		return head{}, 0, nil
	}
	switch size {
	case 4:
		f.left = uint64(binary.BigEndian.Uint16(b[2:]))
	case maxHead:
		f.left = binary.BigEndian.Uint64(b[2:])
	}
	if f.left > math.MaxInt64 {
		return head{}, 0, errBreach // section 5.2: the top bit is 0
	}
	f.mask = binary.LittleEndian.Uint32(b[size:])
	return f, size + 4, nil
}

// begin judges a frame by its head.
func (d *decoder) begin() error {
	f := &d.frame
	if f.op.control() {
		return nil
	}
	if f.op != continuation {
		d.text, d.data = *f, nil
	}
	if !d.deaf && f.left > uint64(d.room()) {
		return errTooBig
	}
	return nil
}

// room is how many bytes may come of the message under way. One that is compressed
// may be larger than the message, by the heads of its blocks: an eighth is more than any
// compressor takes (deflateBound of zlib). What comes out of it is counted by inflate.
func (d *decoder) room() int {
	most := d.most
	if d.text.packed {
		most += d.most/8 + 64
	}
	return most - len(d.data)
}

// payload takes bytes of a frame, the last of them if it is whole.
func (d *decoder) payload(b []byte, whole bool) (m message, err error) {
	f := &d.frame
	switch {
	case f.op.control() && !whole:
		d.part = append(d.part, b...)
		return message{}, nil
	case f.op.control():
		m = message{f.op, append(d.part, b...)}
		d.part = nil
		return m, judge(m)
	case !d.deaf:
		d.keep(b, whole && f.fin)
	}
	if !whole || !f.fin {
		return message{}, nil
	}
	first, data := d.text, d.data
	d.text, d.data = head{}, nil
	if d.deaf {
		return message{}, nil
	}
	return finish(first, data, d.most)
}

// keep adds b to the message under way. The last bytes fit exactly, so that a message that
// comes at once costs what it is; others double their memory, up to the limit.
func (d *decoder) keep(b []byte, last bool) {
	need := len(d.data) + len(b)
	if need > cap(d.data) {
		size := need
		if !last {
			size = max(need, min(2*cap(d.data), len(d.data)+d.room()))
		}
		d.data = append(make([]byte, 0, size), d.data...)
	}
	d.data = append(d.data, b...)
}

// finish is the message that has come.
func finish(first head, data []byte, most int) (m message, err error) {
	if first.packed {
		if data, err = inflate(data, most); err != nil {
			return message{}, err
		}
	}
	if first.op == Text && !utf8.Valid(data) {
		return message{}, errInvalidText // section 8.1
	}
	return message{first.op, data}, nil
}

// judge looks at a control frame.
func judge(m message) error {
	if m.op != opClose || len(m.data) == 0 {
		return nil
	}
	if len(m.data) < 2 || !validStatus(binary.BigEndian.Uint16(m.data)) || !utf8.Valid(m.data[2:]) {
		return errBreach // section 5.5.1
	}
	return nil
}

// validStatus says that a close frame may have status: RFC 6455, section 7.4, and the
// IANA registry.
func validStatus(status uint16) bool {
	switch {
	case status == 1004, status == 1005, status == 1006:
		return false
	case status >= 1000 && status <= 1014:
		return true
	}
	return status >= 3000 && status <= 4999
}

// unmask takes the mask off b, eight bytes at a time, and gives the mask of what
// follows: section 5.3.
func unmask(b []byte, mask uint32) uint32 {
	wide := uint64(mask)<<32 | uint64(mask)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(mask)
		mask = mask>>8 | mask<<24
	}
	return mask
}
