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

// TestReaderGivesWhatWasWritten: frames of all sizes, however the bytes arrive, and none is
// written over by those behind it.
func TestReaderGivesWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{900, 1000, 1024, 30_000, 66_000, 200_000})), 1, 40).Draw(t, "sizes")
		reads := rapid.SliceOfN(rapid.SampledFrom([]int{1, 3, 100, 5000, 16 << 10, 1 << 20}), 1, 5).Draw(t, "reads")
		var stream []byte
		var want []Frame
		for i, size := range sizes {
			start := len(stream)
			if i%3 == 2 {
				stream = AppendReply(stream, Reply{ID: uint64(i), Body: make([]byte, size)})
			} else {
				stream = AppendData(stream, &Message{Seq: uint64(i), Payload: bytes.Repeat([]byte{byte(i)}, size)}, false)
			}
			want = append(want, bytes.Clone(stream[start+frameHeader:]))
		}
		cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		for _, end := range []int{len(stream), cut} {
			r := NewReader(&trickle{bytes.NewReader(stream[:end]), reads, 0})
			var got []Frame
			f, err := r.Next()
			for ; err == nil; f, err = r.Next() {
				got = append(got, f)
			}
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
		got, err := AppendMessages(nil, fs, 7)
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

// TestKeptMessageHoldsItsSlabOnly: frames that came together are in slabs of slabBytes.
func TestKeptMessageHoldsItsSlabOnly(t *testing.T) {
	var src []byte
	for i := range 100 {
		src = AppendData(src, &Message{Seq: uint64(i), Payload: make([]byte, 200)}, false)
	}
	r := NewReader(bytes.NewReader(src))
	for range 100 {
		if _, err := r.Next(); err != nil || len(r.slab) == 0 || cap(r.slab) > slabBytes {
			t.Fatalf("a slab of %d bytes, %d of them allocated, %v; want at most %d", len(r.slab), cap(r.slab), err, slabBytes)
		}
	}
}
