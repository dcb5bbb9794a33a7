package wire

// DataWriter writes DATA frames of a node's own messages. Most are for the same room, from
// the same sender and with the same flags as the one before: what precedes the payload is then
// copied from there. Messages for other than one room, with exceptions or with attachments are
// written anew. It is not for use by several goroutines at once; the zero value is ready.
type DataWriter struct {
	run     uint64
	heading []byte // of the run
	// Parts of heading, to compare with. The strings of a message are not kept: they may be
	// views of something large.
	namespace, room, from []byte
	flags                 Flags
}

// Run names the messages that come one after the other and have the same heading: those of a
// run have a number of their own, from 1 on. 0 is for messages that are written anew.
func (w *DataWriter) Run(m *Message) uint64 {
	e := m.Envelope
	if len(e.Rooms) != 1 || len(e.Except) > 0 || len(e.Attachments) > 0 {
		return 0
	}
	if w.run == 0 || e.Flags != w.flags || string(w.room) != e.Rooms[0] || string(w.namespace) != e.Namespace || string(w.from) != string(e.From) {
		w.begin(e)
	}
	return w.run
}

func (w *DataWriter) begin(e *Envelope) {
	w.run++
	b := appendString(w.heading[:0], e.Namespace)
	namespace := len(b)
	b = appendString(appendArray(b, 1), e.Rooms[0])
	room := len(b)
	b = appendUint(appendArray(b, 0), uint64(e.Flags))
	b = appendString(appendUint(b, 0), string(e.From))
	w.heading, w.flags = b, e.Flags
	w.namespace = b[namespace-len(e.Namespace) : namespace]
	w.room = b[room-len(e.Rooms[0]) : room]
	w.from = b[len(b)-len(e.From):]
}

// IsFor tells whether run is the last one and its messages are for a room.
func (w *DataWriter) IsFor(run uint64, namespace, room string) bool {
	return run > 0 && run == w.run && string(w.room) == room && string(w.namespace) == namespace
}

// Append is AppendData of a message of the last run.
func (w *DataWriter) Append(dst []byte, m *Message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0x90|(1+dataFields), byte(KindData))
	dst = appendUint(dst, m.Seq)
	dst = append(dst, w.heading...)
	dst = append(appendBin(dst, m.Payload), 0x90)
	return endFrame(dst, start)
}
