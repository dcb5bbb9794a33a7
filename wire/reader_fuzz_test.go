package wire

import (
	"bytes"
	"reflect"
	"testing"
	"testing/iotest"
)

// However the bytes of a link come, and whoever asks for them, they are the same frames up to the same end,
// and none is larger than allowed.
func FuzzReader(f *testing.F) {
	one := AppendData(nil, &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"r"}}, Seq: 1, Payload: []byte(`["e"]`)}, false)
	two := AppendHello(nil, Hello{1, 1, 5, "n", "a:1", 0})
	f.Add(append(append(bytes.Clone(one), two...), one...))
	f.Add(append(bytes.Clone(one), 0, 0, 0, 0))
	large := AppendData(nil, &Message{Envelope: &Envelope{Namespace: "/"}, Seq: 1, Payload: make([]byte, 1<<10)}, false)
	f.Add(append(append(bytes.Clone(one), large...), one...))
	f.Add(append([]byte{0, 0, 4, 1}, make([]byte, 1<<10+1)...))
	f.Add([]byte{255, 255, 255, 255, 1, 2, 3})
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 10
		read := func(batches, slow bool) (got []Frame, kind string) {
			r := NewReader(bytes.NewReader(stream))
			if slow {
				r = NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
			}
			r.Limit(limit)
			got, err := readAll(r, batches)
			return got, err.Error()
		}
		want, end := read(false, false)
		for _, how := range [][2]bool{{false, true}, {true, false}, {true, true}} {
			if got, err := read(how[0], how[1]); !reflect.DeepEqual(got, want) || err != end {
				t.Errorf("in batches and slowly %v: %d frames, %s; want %d, %s", how, len(got), err, len(want), end)
			}
		}
		for _, fr := range want {
			if len(fr) == 0 || len(fr) > limit {
				t.Errorf("a frame of %d bytes", len(fr))
			}
		}
	})
}
