package recovery

import (
	"math"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func TestCursorIsShortAndComesBack(t *testing.T) {
	for _, c := range []Cursor{{}, {1, 1}, {math.MaxUint64, math.MaxUint64}, {wire.NewNodeID(), 12345}} {
		s := c.String()
		if got, ok := ParseCursor(s); !ok || got != c {
			t.Errorf("ParseCursor(%q) = %v, %v, want %v", s, got, ok, c)
		}
		if len(s) > 32 {
			t.Errorf("%q has %d characters", s, len(s))
		}
	}
	for _, s := range []string{"", "A", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAAA", "A\n\n\n\n\n\nAAAgAAAAAAAAAAE"} {
		if c, ok := ParseCursor(s); ok {
			t.Errorf("ParseCursor(%q) = %v", s, c)
		}
	}
}

// A cursor that is accepted is the one that String makes.
func FuzzParseCursor(f *testing.F) {
	f.Add(Cursor{1, 2}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := ParseCursor(s); ok && c.String() != s {
			t.Errorf("%q is %v, which is %q", s, c, c.String())
		}
	})
}
