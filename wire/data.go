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
	m := new(Message)
	if err := decodeData(m, f, peer, new([]string), new(heading)); err != nil {
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
	together = 18
	// slabBytes is one allocation at most for the bytes of small messages. Larger ones would be hardly
	// faster and cost slow clients more; the runtime has 3 KiB cheaper than 4, as eight of them
	// share a span and not two.
	slabBytes = 3 << 10
)

// group is an allocation of them, of 3,024 bytes, with a list of one room for each: what is
// usual.
type group struct {
	messages [together]Message
	rooms    [together]string
}

// AppendMessages is DecodeData for frames that came together, of which messages keep nothing
// unless they are large. It appends the messages of all frames before the first that is
// malformed, which its error is about.
func AppendMessages(dst []*Message, fs []Frame, peer NodeID) ([]*Message, error) {
	var messages []Message
	var rooms []string
	var last heading
	slab := slab{left: sizeOf(fs)}
	for i, f := range fs {
		if len(f) > smallFrame { // holds on to no slab, and none to it
			m, err := DecodeData(f, peer)
			if err != nil {
				return dst, err
			}
			dst = append(dst, m)
			slab.left -= len(f)
			continue
		}
		if len(messages) == 0 {
			messages, rooms = newGroup(len(fs) - i)
			last = heading{}
		}
		m := &messages[0]
		messages = messages[1:]
		if !last.resembles(m, f, &slab) {
			if err := decodeData(m, slab.copy(f, len(f)), peer, &rooms, &last); err != nil {
				return dst, err
			}
		}
		dst = append(dst, m)
	}
	return dst, nil
}

func newGroup(n int) ([]Message, []string) {
	if n < together {
		return make([]Message, n), make([]string, 0, n)
	}
	g := new(group)
	return g.messages[:], g.rooms[:0]
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
	bytes   []byte
	message *Message // that has it
}

// resembles reads f into m if it has the heading of the one before and no attachments, which is
// usual: then only the payload is kept of it.
func (h *heading) resembles(m *Message, f Frame, s *slab) bool {
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
	m.headingOf(h.message)
	m.Seq, m.Payload = seq, s.copy(payload, len(f))
	return true
}

// decodeData reads f into m. Its lists of rooms are put into what is free behind list,
// as far as it goes, or are those of the last message, as messages are never changed.
func decodeData(m *Message, f Frame, peer NodeID, list *[]string, last *heading) error {
	p := parser{b: f}
	p.begin(KindData, dataFields)
	m.Seq = p.uint()
	if n := uint(len(last.bytes)); n > 0 && bytes.HasPrefix(f[p.at:], last.bytes) {
		p.at += n
		m.headingOf(last.message)
	} else {
		from := p.at
		p.heading(m, peer, list)
		*last = heading{f[from:p.at], m}
	}
	m.Payload = p.bin()
	if n := p.array(); n > 0 {
		m.Attachments = make([][]byte, 0, n)
		for ; n > 0 && !p.bad; n-- {
			m.Attachments = append(m.Attachments, p.bin())
		}
	}
	return p.err(KindData)
}

func (p *parser) heading(m *Message, peer NodeID, list *[]string) {
	m.Origin = peer
	m.Namespace = p.string()
	m.Rooms = p.stringsIn(list)
	if except := p.stringsIn(list); except != nil { // to write nil costs as much while the collector runs
		m.Except = except
	}
	m.Flags = Flags(p.uint())
	if origin := p.uint(); origin != 0 {
		m.Origin = NodeID(origin)
	}
	if from := p.string(); from != "" {
		m.From = SessionID(from)
	}
}

// headingOf makes m one for the same rooms from the same sender as o.
func (m *Message) headingOf(o *Message) {
	m.Origin, m.Namespace, m.Rooms, m.Flags = o.Origin, o.Namespace, o.Rooms, o.Flags
	if o.Except != nil {
		m.Except = o.Except
	}
	if o.From != "" {
		m.From = o.From
	}
}
