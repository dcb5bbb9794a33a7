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
	// smallFrame is the largest DATA frame that Batch does not copy.
	smallFrame = 1 << 10
)

// Reader reads frames from a link. It is not for use by several goroutines at once.
type Reader struct {
	src      io.Reader
	limit    uint32
	buf      []byte
	from, to int // buf[from:to] has been read and not been served
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{src: r, limit: MaxFrame, buf: make([]byte, readBuffer)}
}

// Limit changes the largest frame that Next takes, in bytes of its body. A
// reader starts with MaxFrame.
func (r *Reader) Limit(bytes int) { r.limit = uint32(min(bytes, MaxFrame)) }

// Next blocks until a whole frame is there. The frame has bytes of its own, which are
// never written again. io.EOF means that the link ended between frames.
func (r *Reader) Next() (Frame, error) {
	n, err := r.begin()
	if err != nil {
		return nil, err
	}
	r.from += frameHeader
	f := make(Frame, n)
	copied := copy(f, r.buf[r.from:r.to])
	r.from += copied
	return f, r.rest(f[copied:])
}

// begin reads the length of the next frame, which it leaves where it is.
func (r *Reader) begin() (n uint32, err error) {
	if err := r.want(frameHeader); err != nil {
		return 0, err
	}
	n = binary.BigEndian.Uint32(r.buf[r.from:])
	if n == 0 || n > r.limit {
		return 0, fmt.Errorf("wire: frame of %d bytes, allowed are 1 to %d: %w", n, r.limit, ErrMalformed)
	}
	return n, nil
}

// Batch blocks until a whole frame is there. It appends small DATA frames to dst, as many as
// are there until dst has max; or it is another frame, which comes as Next gives it. Those in dst are
// views of the reader's buffer, for AppendMessages: good until the next read, which no call makes
// as long as Whole is true.
func (r *Reader) Batch(dst []Frame, max int) (_ []Frame, other Frame, err error) {
	n, err := r.begin()
	if err == nil && n <= smallFrame {
		err = r.want(frameHeader + int(n))
	}
	if err != nil {
		return dst, nil, err
	}
	before := len(dst)
	if dst = r.views(dst, max); len(dst) > before {
		return dst, nil, nil
	}
	other, err = r.Next()
	return dst, other, err
}

// views appends the small DATA frames that are next and whole.
func (r *Reader) views(dst []Frame, max int) []Frame {
	left := r.buf[r.from:r.to]
	for len(left) > frameHeader && len(dst) < max {
		n := binary.BigEndian.Uint32(left)
		if n == 0 || n > min(smallFrame, r.limit) || int(n) > len(left)-frameHeader {
			break
		}
		end := frameHeader + int(n)
		f := Frame(left[frameHeader:end:end])
		if f.Kind() != KindData {
			break
		}
		dst, left = append(dst, f), left[end:]
	}
	r.from = r.to - len(left)
	return dst
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

// Whole tells whether Next and Batch have something to return without reading.
func (r *Reader) Whole() bool {
	have := r.to - r.from
	return have >= frameHeader && uint64(have) >= frameHeader+uint64(binary.BigEndian.Uint32(r.buf[r.from:]))
}
