package wire

import "bytes"

// dataFields is the number of elements of DATA after its kind.
const dataFields = 9

// AppendData appends a DATA frame for m. Origin is left out (0) when m is the
// sender's own, which the receiver knows from the link; else it is relayed.
func AppendData(dst []byte, m *Message, relayed bool) []byte {
	dst, start := startFrame(dst)
	dst = appendArray(dst, 1+dataFields)
	dst = appendUint(dst, uint64(KindData))
	dst = appendUint(dst, m.Seq)
	dst = appendString(dst, m.Namespace)
	dst = appendStrings(dst, m.Rooms)
	dst = appendStrings(dst, m.Except)
	dst = appendUint(dst, uint64(m.Flags))
	origin := uint64(0)
	if relayed {
		origin = uint64(m.Origin)
	}
	dst = appendUint(dst, origin)
	dst = appendString(dst, string(m.From))
	dst = appendBin(dst, m.Payload)
	dst = appendArray(dst, len(m.Attachments))
	for _, a := range m.Attachments {
		dst = appendBin(dst, a)
	}
	return endFrame(dst, start)
}

// DecodeData reads a DATA frame that came from the node peer. The message
// holds views of f.
func DecodeData(f Frame, peer NodeID) (*Message, error) {
	var r received
	m := NewMessage(Envelope{}, nil)
	if err := r.decode(m, f, peer, m.Envelope); err != nil {
		return nil, err
	}
	return m, nil
}

// DataTarget reads from a DATA frame which rooms of which namespace it is for, as views
// of f. The rooms are appended to rooms.
func DataTarget(f Frame, rooms []string) (namespace string, _ []string, err error) {
	p := parser{b: f}
	p.begin(KindData, dataFields)
	p.uint()
	namespace = p.string()
	for n := p.array(); n > 0 && !p.bad; n-- {
		rooms = append(rooms, p.string())
	}
	return namespace, rooms, p.err(KindData)
}

const (
	// together is how many small messages share an allocation at most. A message that
	// somebody keeps holds on to all of them, and to the slabs that their bytes are in.
	together = 22
	// slabBytes is one allocation at most for the bytes of small messages. Larger ones would be hardly
	// faster and cost slow clients more; the runtime has 3 KiB cheaper than 4, as eight of them
	// share a span and not two.
	slabBytes = 3 << 10
)

// group is an allocation of them, of 1,016 bytes, with an envelope for all of them: what is
// usual. The runtime adds 8 to what has pointers and is larger than 512.
type group struct {
	messages [together]Message
	first    addressed
}

// single is a message that came alone.
type single struct {
	message [1]Message
	first   addressed
}

// addressed is an envelope with a list of one room, which most have.
type addressed struct {
	Envelope
	room [1]string
}

// received is what reads messages that came together. Its messages and envelopes are
// those that are left of an allocation.
type received struct {
	messages  []Message
	first     *addressed // of the group, not used yet
	envelopes []addressed
	used      int // envelopes, of this group
	last      heading
	slab      slab
}

// AppendMessages is DecodeData for frames that came together, of which messages keep nothing
// unless they are large. It appends the messages of all frames before the first that is
// malformed, which its error is about.
func AppendMessages(dst []*Message, fs []Frame, peer NodeID) ([]*Message, error) {
	r := received{slab: slab{left: sizeOf(fs)}}
	for i, f := range fs {
		if len(f) > smallFrame { // holds on to no slab, and none to it
			m, err := DecodeData(f, peer)
			if err != nil {
				return dst, err
			}
			dst = append(dst, m)
			r.slab.left -= len(f)
			continue
		}
		if len(r.messages) == 0 {
			r.begin(len(fs) - i)
		}
		m := &r.messages[0]
		r.messages = r.messages[1:]
		if !r.resembles(m, f) {
			if err := r.decode(m, r.slab.copy(f, len(f)), peer, nil); err != nil {
				return dst, err
			}
		}
		dst = append(dst, m)
	}
	return dst, nil
}

// begin makes room for messages, of which n are left. They share nothing with those before.
func (r *received) begin(n int) {
	r.last, r.envelopes, r.used = heading{}, nil, 0
	switch {
	case n == 1:
		s := new(single)
		r.messages, r.first = s.message[:], &s.first
	case n < together:
		r.messages, r.first = make([]Message, n), nil
	default:
		g := new(group)
		r.messages, r.first = g.messages[:], &g.first
	}
}

// envelope is one that is not used yet, with room for one room. Where few messages have
// that of the one before, more and more are allocated at once.
func (r *received) envelope() *addressed {
	r.used++
	if a := r.first; a != nil {
		r.first = nil
		return a
	}
	if len(r.envelopes) == 0 {
		r.envelopes = make([]addressed, min(max(4*(r.used-2), 1), 1+len(r.messages)))
	}
	a := &r.envelopes[0]
	r.envelopes = r.envelopes[1:]
	return a
}

// slab is where the bytes of small messages are, many in one allocation.
type slab struct {
	bytes []byte
	left  int // bytes that may come
}

func sizeOf(fs []Frame) (n int) {
	for _, f := range fs {
		n += len(f)
	}
	return n
}

// copy keeps b, of a frame of size bytes.
func (s *slab) copy(b []byte, size int) []byte {
	from := len(s.bytes)
	if from+len(b) > cap(s.bytes) {
		s.bytes, from = make([]byte, 0, max(len(b), min(slabBytes, s.left))), 0
	}
	s.left -= size
	s.bytes = append(s.bytes, b...)
	return s.bytes[from:len(s.bytes):len(s.bytes)]
}

// heading is what a frame has between its number and its payload: for whom it is and who
// sent it. Most have that of the one before, which is then not read again.
type heading struct {
	bytes    []byte
	envelope *Envelope
}

// resembles reads f into m if it has the heading of the one before and no attachments, which is
// usual: then only the payload is kept of it.
func (r *received) resembles(m *Message, f Frame) bool {
	h := &r.last
	if len(h.bytes) == 0 || len(f) < 2 || f[0] != 0x90|(1+dataFields) || f[1] != byte(KindData) {
		return false
	}
	p := parser{b: f, at: 2}
	seq := p.uint()
	if p.bad || !bytes.HasPrefix(f[p.at:], h.bytes) {
		return false
	}
	p.at += uint(len(h.bytes))
	payload := p.bin()
	if p.bad || p.left() != 1 || f[p.at] != 0x90 {
		return false
	}
	*m = Message{h.envelope, seq, r.slab.copy(payload, len(f))}
	return true
}

// decode reads f into m, with an envelope of its own: own, or one of those that are left.
func (r *received) decode(m *Message, f Frame, peer NodeID, own *Envelope) error {
	var list []string
	if own == nil {
		a := r.envelope()
		own, list = &a.Envelope, a.room[:0]
	}
	p := parser{b: f}
	p.begin(KindData, dataFields)
	m.Seq, m.Envelope = p.uint(), own
	from := p.at
	p.heading(own, peer, &list)
	head := f[from:p.at]
	m.Payload = p.bin()
	if n := p.array(); n == 0 {
		r.last = heading{head, own}
	} else {
		own.Attachments = make([][]byte, 0, n)
		for ; n > 0 && !p.bad; n-- {
			own.Attachments = append(own.Attachments, p.bin())
		}
	}
	return p.err(KindData)
}

func (p *parser) heading(e *Envelope, peer NodeID, list *[]string) {
	e.Origin = peer
	e.Namespace = p.string()
	e.Rooms = p.stringsIn(list)
	if except := p.stringsIn(list); except != nil { // to write nil costs as much while the collector runs
		e.Except = except
	}
	e.Flags = Flags(p.uint())
	if origin := p.uint(); origin != 0 {
		e.Origin = NodeID(origin)
	}
	if from := p.string(); from != "" {
		e.From = SessionID(from)
	}
}
