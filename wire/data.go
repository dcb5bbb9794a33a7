package wire

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
	p := parser{b: f}
	p.begin(KindData, dataFields)
	m := &Message{Origin: peer}
	m.Seq = p.uint()
	m.Namespace = p.string()
	m.Rooms = p.strings()
	m.Except = p.strings()
	m.Flags = Flags(p.uint())
	if origin := p.uint(); origin != 0 {
		m.Origin = NodeID(origin)
	}
	m.From = SessionID(p.string())
	m.Payload = p.bin()
	if n := p.array(); n > 0 {
		m.Attachments = make([][]byte, 0, n)
		for ; n > 0 && !p.bad; n-- {
			m.Attachments = append(m.Attachments, p.bin())
		}
	}
	if err := p.err(KindData); err != nil {
		return nil, err
	}
	return m, nil
}
