package forward

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func idsWith(node wire.NodeID, keys ...string) ids {
	return ids{node: node, keys: func() (all [][]byte) {
		for _, k := range keys {
			all = append(all, []byte(k))
		}
		return all
	}}
}

func TestIDNamesItsNodeAndNeedsNoEscape(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		node := wire.NewNodeID()
		sid := idsWith(node, "key").draw()
		if got := idsWith(1, "key").owner(sid); got != node {
			t.Fatalf("owner of %q is %v, want %v", sid, got, node)
		}
		if url.QueryEscape(sid) != sid || seen[sid] {
			t.Fatalf("%q is escaped, or was there before", sid)
		}
		seen[sid] = true
	}
}

func TestForgedIDsHaveNoOwner(t *testing.T) {
	m := idsWith(7, "key")
	sid := m.draw()
	for i := range sid {
		for _, c := range "ABz9-_=%" {
			if forged := sid[:i] + string(c) + sid[i+1:]; forged != sid && m.owner(forged) != 0 {
				t.Fatalf("%q is accepted, %q was drawn", forged, sid)
			}
		}
	}
	for _, forged := range []string{"", sid[:39], sid + "A", sid + "=", strings.Repeat("A", 40), idsWith(7, "other").draw(), sid[:38] + "\r\n"} {
		if m.owner(forged) != 0 {
			t.Errorf("%q is accepted", forged)
		}
	}
}

// An id is good as long as a key that it was signed with is accepted.
func TestIDsOutliveARotationOfKeys(t *testing.T) {
	before, during, after := idsWith(7, "old"), idsWith(7, "new", "old"), idsWith(7, "new")
	old := before.draw()
	if during.owner(old) != 7 || during.owner(during.draw()) != 7 || after.owner(during.draw()) != 7 {
		t.Error("an id is lost in a rotation")
	}
	if after.owner(old) != 0 {
		t.Error("an id of a key that is gone is accepted")
	}
}

func FuzzOwner(f *testing.F) {
	m := idsWith(7, "key")
	f.Add(m.draw())
	f.Add(strings.Repeat("_", sidLen))
	f.Fuzz(func(t *testing.T, sid string) {
		if m.owner(sid) == 0 {
			return
		}
		if len(sid) != sidLen || strings.Trim(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q is accepted", sid)
		}
	})
}

func TestRandomKeysDiffer(t *testing.T) {
	if bytes.Equal(randomKey(), randomKey()) {
		t.Error("two nodes alone have the same key")
	}
}
