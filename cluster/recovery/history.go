package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// history is what one node has published to recoverable namespaces lately: at that node
// its own log, at a mirror the copy. Messages leave it by age, or before when they are too many.
type history struct {
	streams [wire.Streams]historyStream
	bytes   int // of the messages, by their Size
	rooms   rooms
}

type historyStream struct {
	entries row[kept] // rising numbers
	gone    uint64    // how many have left: the i-th of entries has place gone+i
	head    uint64    // of the last message that came, kept or not
	// dropped is the number of the newest message that is gone, and droppedAt when it was
	// published: whatever is younger is here.
	dropped   uint64
	droppedAt time.Duration
}

// kept is a message with the time when it was published, on the clock of the keeper.
type kept struct {
	m  *wire.Message
	at time.Duration
}

// add takes the next message; false when it is here or was.
func (h *history) add(m *wire.Message, at time.Duration) bool {
	s := &h.streams[m.Flags.Stream()]
	if m.Seq <= s.head {
		return false
	}
	s.head = m.Seq
	h.index(m, s.gone+uint64(s.entries.len()))
	s.entries.push(kept{m, at})
	h.bytes += m.Size()
	return true
}

func (h *history) heads() (f wire.Frontiers) {
	for k := range h.streams {
		f[k] = h.streams[k].head
	}
	return f
}

// size is what the messages and the index of their rooms take, in bytes.
func (h *history) size() int { return h.bytes + h.rooms.size() }

// trim lets go of what was published before since, and of the oldest while there are
// more than limit bytes. It tells how many went before their time.
func (h *history) trim(since time.Duration, limit int) (early int) {
	for k := range h.streams {
		for s := &h.streams[k]; s.entries.len() > 0 && s.entries.at(0).at < since; {
			h.drop(s)
		}
	}
	for h.size() > limit {
		s := h.oldest()
		if s == nil {
			break // what is left is the index of none
		}
		h.drop(s)
		early++
	}
	return early
}

// oldest is the stream with the oldest message, nil if there is none.
func (h *history) oldest() *historyStream {
	var of *historyStream
	for k := range h.streams {
		s := &h.streams[k]
		if s.entries.len() > 0 && (of == nil || s.entries.at(0).at < of.entries.at(0).at) {
			of = s
		}
	}
	return of
}

func (h *history) drop(s *historyStream) {
	e := *s.entries.at(0)
	h.unindex(e.m, s.gone)
	s.gone++
	s.entries.drop()
	s.dropped, s.droppedAt = e.m.Seq, max(s.droppedAt, e.at)
	h.bytes -= e.m.Size()
}

// behind are the kept messages of stream k behind seq, from the i-th on.
func (h *history) behind(k int, seq uint64) (of *row[kept], i int) {
	of = &h.streams[k].entries
	return of, of.find(func(e *kept) bool { return e.m.Seq <= seq })
}

// isSince tells whether the message seq of stream k is here, and was published at since or later.
func (h *history) isSince(k int, seq uint64, since time.Duration) bool {
	of, i := h.behind(k, seq-1)
	return i < of.len() && of.at(i).m.Seq == seq && of.at(i).at >= since
}

// LogBytes are those of the messages that are kept, own and mirrored, with the index of their rooms.
func (m *Machine) LogBytes() (bytes int) {
	bytes = m.log.size()
	for _, x := range m.mirrors {
		bytes += x.log.size()
	}
	return bytes
}
