package wire

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTargetIsThatOfTheMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		f := Frame(body(AppendData(nil, m, false)))
		namespace, rooms, err := DataTarget(f, nil)
		if err != nil || namespace != m.Namespace || !slices.Equal(rooms, m.Rooms) {
			t.Fatalf("%q %q, %v, want %q %q", namespace, rooms, err, m.Namespace, m.Rooms)
		}
		cut := rapid.IntRange(0, 8).Draw(t, "cut")
		DataTarget(f[:min(cut, len(f))], nil) // may say anything, but not panic
	})
}
