package wire

import (
	"reflect"
	"slices"
	"testing"
)

// FuzzMessagesTogether: frames that come together are read by what they have in common
// with the one before, and must be the messages that they are alone; whom they are for is
// read apart, and must be what the message says.
func FuzzMessagesTogether(f *testing.F) {
	one := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"r"}, From: "s"}, Seq: 1, Payload: []byte(`["e"]`)}
	two := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"r", "q"}, Except: []string{"x"}, Flags: High, Attachments: [][]byte{{1}}}, Seq: 300}
	f.Add([]byte(body(AppendData(nil, one, false))), []byte(body(AppendData(nil, one, false))))
	f.Add([]byte(body(AppendData(nil, one, false))), []byte(body(AppendData(nil, two, true))))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		fs := []Frame{a, b, a, b, b}
		var want []*Message
		for _, fr := range fs {
			m, err := DecodeData(fr, 1)
			if err != nil {
				break
			}
			want = append(want, m)
			namespace, rooms, err := DataTarget(fr, nil)
			if err != nil || namespace != m.Namespace || !slices.Equal(rooms, m.Rooms) {
				t.Fatalf("target %q %q, %v of %+v", namespace, rooms, err, m)
			}
		}
		got, err := AppendMessages(nil, fs, 1)
		if (err == nil) != (len(want) == len(fs)) || len(got) != len(want) {
			t.Fatalf("%d messages, %v; alone %d of %d", len(got), err, len(want), len(fs))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("message %d is %+v, alone %+v", i, got[i], want[i])
			}
		}
	})
}
