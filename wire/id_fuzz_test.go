package wire

import (
	"strings"
	"testing"
)

// What is taken for the text of a node or a session is what this package writes.
func FuzzIDs(f *testing.F) {
	f.Add(NodeID(1 << 60).String())
	f.Add(string(NewSessionID(7)))
	f.Add("A\n\n\nAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseNodeID(s); err == nil && id.String() != s {
			t.Errorf("%q is node %v", s, id)
		}
		if id := SessionID(s).Node(); id != 0 && (len(s) != sessionLen || strings.ContainsAny(s, "\r\n")) {
			t.Errorf("%q is a session of node %v", s, id)
		}
	})
}
