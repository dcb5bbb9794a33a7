package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// readBuffer holds a TLS record, the most that one read of a link gives (RFC 8446
	// §5.1), and a rest of the one before; each end of each link has one.
	readBuffer = 20 << 10
	// slabBytes is one allocation at most for many small DATA frames that came together, those
	// of at most smallFrame. A message that somebody keeps holds on to its slab: larger ones
	// would be hardly faster and cost slow clients more.
	slabBytes  = 3 << 10
	smallFrame = 1 << 10
)

// Reader reads frames from a link. It is not for use by several goroutines at once.
type Reader struct {
	src      io.Reader
	limit    uint32
	buf      []byte
	from, to int    // buf[from:to] has been read and not been served
	slab     []byte // a copy of what was next in buf: whole small DATA frames with their headers
	served   int    // bytes of slab
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{src: r, limit: MaxFrame, buf: make([]byte, readBuffer)}
}

// Limit changes the largest frame that Next takes, in bytes of its body. A
// reader starts with MaxFrame.
func (r *Reader) Limit(bytes int) { r.limit = uint32(min(bytes, MaxFrame)) }

// Next blocks until a whole frame is there. The frame has bytes of its own, which are
// never written again: messages keep views of them. io.EOF means that the link ended
// between frames.
func (r *Reader) Next() (Frame, error) {
	if r.served < len(r.slab) {
		return r.next(), nil
	}
	if err := r.want(frameHeader); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(r.buf[r.from:])
	if n == 0 || n > r.limit {
		return nil, fmt.Errorf("wire: frame of %d bytes, allowed are 1 to %d: %w", n, r.limit, ErrMalformed)
	}
	if n <= smallFrame {
		if err := r.want(frameHeader + int(n)); err != nil {
			return nil, err
		}
		if r.fill() {
			return r.next(), nil
		}
	}
	r.from += frameHeader
	f := make(Frame, n)
	copied := copy(f, r.buf[r.from:r.to])
	r.from += copied
	return f, r.rest(f[copied:])
}

// want reads until n bytes are in the buffer, which has room for them.
func (r *Reader) want(n int) error {
	if r.to-r.from >= n {
		return nil
	}
	r.to, r.from = copy(r.buf, r.buf[r.from:r.to]), 0
	read, err := io.ReadAtLeast(r.src, r.buf[r.to:], n-r.to)
	r.to += read
	return cutOff(err, r.to > 0)
}

// rest reads what a large frame lacks past the buffer, and into the buffer again when it
// is not much, so that there is no small read.
func (r *Reader) rest(f []byte) error {
	switch {
	case len(f) == 0:
		return nil
	case len(f) > len(r.buf)/2:
		_, err := io.ReadFull(r.src, f)
		return cutOff(err, true)
	}
	if err := r.want(len(f)); err != nil {
		return cutOff(err, true)
	}
	r.from += copy(f, r.buf[r.from:r.to])
	return nil
}

// cutOff tells an end within a frame from one between frames.
func cutOff(err error, within bool) error {
	if err == io.EOF && within {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill copies the small DATA frames that are next and whole to a slab, in one allocation
// that nothing has to clear first. It tells whether there are any. Only DATA shares slabs: of other frames parts are kept for
// long, the name of a room for one.
func (r *Reader) fill() bool {
	there := r.buf[r.from:min(r.to, r.from+slabBytes)]
	end := 0
	for len(there)-end > frameHeader {
		n := binary.BigEndian.Uint32(there[end:])
		if n == 0 || n > min(smallFrame, r.limit) || int(n) > len(there)-end-frameHeader {
			break
		}
		next := end + frameHeader + int(n)
		if Frame(there[end+frameHeader:next]).Kind() != KindData {
			break
		}
		end = next
	}
	r.slab, r.served = append([]byte(nil), there[:end]...), 0
	return end > 0
}

// next takes a frame off the slab.
func (r *Reader) next() Frame {
	left := r.slab[r.served:]
	end := frameHeader + int(binary.BigEndian.Uint32(left))
	r.served += end
	r.from += end
	return left[frameHeader:end:end]
}

// Whole tells whether Next has something to return without reading.
func (r *Reader) Whole() bool {
	have := r.to - r.from
	return have >= frameHeader && uint64(have) >= frameHeader+uint64(binary.BigEndian.Uint32(r.buf[r.from:]))
}
