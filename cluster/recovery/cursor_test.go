package recovery

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func TestCursorIsShortAndComesBack(t *testing.T) {
	said := func(n int, of uint64) (l Lag) {
		for range n {
			l.push(of&(1<<lagForms[n].bits()-1), lagForms[n].bits())
		}
		l[0] |= uint64(n) << lagCount
		return l
	}
	for _, tt := range []struct {
		c    Cursor
		long int
	}{
		{Cursor{}, 22},
		{Cursor{Node: 1, D: 1}, 22},
		{Cursor{Node: math.MaxUint64, D: math.MaxUint64}, 22},
		{Cursor{Node: wire.NewNodeID(), D: 12345}, 22},
		{Cursor{1, 0, said(1, math.MaxUint64)}, 23},
		{Cursor{1, 1, said(2, math.MaxUint64)}, 27},
		{Cursor{wire.NewNodeID(), 12345, said(3, math.MaxUint64)}, 30},
		{Cursor{math.MaxUint64, maxPlace, said(4, math.MaxUint64)}, 31},
		{Cursor{math.MaxUint64, maxPlace, said(5, math.MaxUint64)}, 32},
		{Cursor{math.MaxUint64, maxPlace, said(5, 0)}, 32},
		{Cursor{1, 77, said(3, 1)}, 30},
	} {
		s := tt.c.String()
		if got, ok := ParseCursor(s); !ok || got != tt.c || len(s) != tt.long {
			t.Errorf("ParseCursor(%q) = %v, %v, want %v in %d characters", s, got, ok, tt.c, tt.long)
		}
	}
	if got, want := (Cursor{1, maxPlace + 1, said(1, 5)}).String(), (Cursor{Node: 1, D: maxPlace + 1}).String(); got != want {
		t.Errorf("a place that has no room beside more is %s, want %s", got, want)
	}
	excess := said(5, math.MaxUint64)
	excess[0] |= 1 << 21
	for _, s := range []string{"", "A", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAAAAA", "A\n\n\n\n\n\nAAAgAAAAAAAAAAE",
		strings.Repeat("A", 24), strings.Repeat("A", 26), strings.Repeat("A", 33), strings.Repeat("A", 43), "A\n\n\n\n" + strings.Repeat("A", 18), Cursor{1, 1, excess}.String()} {
		if c, ok := ParseCursor(s); ok {
			t.Errorf("ParseCursor(%q) = %v", s, c)
		}
	}
}

// A cursor that is accepted is the one that String makes, and no mirror minds what it says.
func FuzzParseCursor(f *testing.F) {
	f.Add(Cursor{Node: 1, D: 2}.String())
	for _, n := range []int{17, 20, 22, 23, 24} {
		f.Add(base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, n)))
	}
	x := &mirror{order: newOrder(), met: map[wire.NodeID]wire.Frontiers{3: {}}}
	for id := range wire.NodeID(20) {
		x.order.add(Ref{id, wire.Stream(id % 3), math.MaxUint64 - uint64(id)<<60}, 0)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := ParseCursor(s)
		if ok && c.String() != s {
			t.Errorf("%q is %v, which is %q", s, c, c.String())
		}
		if got := x.got(1, c.Lag); len(got) > maxLag {
			t.Errorf("%q says %v", s, got)
		}
	})
}
