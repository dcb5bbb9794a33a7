package wire

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// trickle gives a few bytes at a time.
type trickle struct {
	r     io.Reader
	sizes []int
	n     int
}

func (t *trickle) Read(b []byte) (int, error) {
	t.n++
	return t.r.Read(b[:min(len(b), t.sizes[t.n%len(t.sizes)])])
}

// readAll reads to the end, one by one or in batches, of which it keeps copies.
func readAll(r *Reader, batches bool) (got []Frame, err error) {
	for err == nil {
		var views []Frame
		var f Frame
		for batches && err == nil && f == nil && (views == nil || r.Whole() && len(views) < 5) {
			views, f, err = r.Batch(views, 5)
		}
		if !batches {
			f, err = r.Next()
		}
		for _, v := range views {
			got = append(got, bytes.Clone(v))
		}
		if f != nil && err == nil {
			got = append(got, f)
		}
	}
	return got, err
}

// TestReaderGivesWhatWasWritten: frames of all sizes, however the bytes arrive, and none is
// written over by those behind it.
func TestReaderGivesWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{900, 1000, 1024, 30_000, 66_000, 200_000})), 1, 40).Draw(t, "sizes")
		reads := rapid.SliceOfN(rapid.SampledFrom([]int{1, 3, 100, 5000, 16 << 10, 1 << 20}), 1, 5).Draw(t, "reads")
		batches := rapid.Bool().Draw(t, "batches")
		var stream []byte
		var want []Frame
		for i, size := range sizes {
			start := len(stream)
			if i%3 == 2 {
				stream = AppendReply(stream, Reply{ID: uint64(i), Body: make([]byte, size)})
			} else {
				stream = AppendData(stream, &Message{Envelope: &Envelope{}, Seq: uint64(i), Payload: bytes.Repeat([]byte{byte(i)}, size)}, false)
			}
			want = append(want, bytes.Clone(stream[start+frameHeader:]))
		}
		cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		for _, end := range []int{len(stream), cut} {
			r := NewReader(&trickle{bytes.NewReader(stream[:end]), reads, 0})
			got, err := readAll(r, batches)
			whole := 0
			for size := 0; whole < len(want) && size+frameHeader+len(want[whole]) <= end; whole++ {
				size += frameHeader + len(want[whole])
				if size == end && err != io.EOF {
					t.Fatalf("end between frames: %v", err)
				}
			}
			if len(got) != whole || whole > 0 && !reflect.DeepEqual(got, want[:whole]) {
				t.Fatalf("%d frames, want %d, or they differ", len(got), whole)
			}
		}
	})
}

// TestWholeMeansThatNextDoesNotRead: batches end where the reader would wait.
func TestWholeMeansThatNextDoesNotRead(t *testing.T) {
	one := AppendNumber(nil, KindPing, 1)
	src := append(append([]byte{}, one...), one...)
	for cut := range len(one) {
		r := NewReader(io.MultiReader(bytes.NewReader(src[:len(one)+cut]), iotest.ErrReader(io.ErrNoProgress)))
		if r.Whole() {
			t.Error("whole before anything was read")
		}
		r.Next()
		if r.Whole() {
			t.Errorf("%d of %d bytes are a whole frame", cut, len(one))
		}
	}
	r := NewReader(bytes.NewReader(src))
	r.Next()
	if !r.Whole() {
		t.Error("the second frame is there")
	}
}

// TestMessagesTogetherAreThoseAlone: AppendMessages reads what DecodeData reads, up to the
// first that is malformed.
func TestMessagesTogetherAreThoseAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fs []Frame
		m := drawMessage(t)
		for i := range rapid.IntRange(0, 40).Draw(t, "count") {
			if rapid.Bool().Draw(t, "other") {
				m = drawMessage(t)
			} // else for the same rooms from the same sender
			m.Seq, m.Payload = m.Seq+1, fmt.Appendf(nil, "[%d]", i)
			fs = append(fs, body(AppendData(nil, m, m.Seq%2 == 0)))
		}
		bad := rapid.IntRange(0, 50).Draw(t, "bad")
		if bad < len(fs) {
			fs[bad] = fs[bad][:rapid.IntRange(0, len(fs[bad])-1).Draw(t, "cut")]
		}
		read := make([]Frame, len(fs))
		for i, f := range fs {
			read[i] = bytes.Clone(f)
		}
		got, err := AppendMessages(nil, read, 7)
		for _, f := range read {
			if len(f) <= smallFrame {
				clear(f) // the reader's buffer is filled again
			}
		}
		if want := min(bad, len(fs)); len(got) != want || (err != nil) != (bad < len(fs)) {
			t.Fatalf("%d messages, %v, want %d", len(got), err, want)
		}
		for i, m := range got {
			if want, _ := DecodeData(fs[i], 7); !reflect.DeepEqual(m, want) {
				t.Fatalf("message %d:\n got %+v\nwant %+v", i, m, want)
			}
		}
	})
}

// TestKeptMessageHoldsItsSlabOnly: the bytes of messages that came together are in slabs of
// slabBytes at most, and of as many as can come.
func TestKeptMessageHoldsItsSlabOnly(t *testing.T) {
	s := slab{left: 100 * 200}
	for range 100 {
		if s.copy(make([]byte, 150), 200); cap(s.bytes) > slabBytes {
			t.Fatalf("a slab of %d bytes, want at most %d", cap(s.bytes), slabBytes)
		}
	}
	s = slab{left: 300}
	s.copy(make([]byte, 150), 150)
	if first := &s.bytes[0]; cap(s.bytes) != 300 || &s.bytes[0] != first {
		t.Errorf("a slab of %d bytes for 300", cap(s.bytes))
	}
}
