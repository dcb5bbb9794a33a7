package node

import (
	"encoding/json"
	"testing"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// FuzzResume: what a client comes back with is a secret and a cursor of ours, or nothing.
func FuzzResume(f *testing.F) {
	f.Add(string(newPID()), recovery.Cursor{Node: 7, D: 1}.String())
	f.Add(string(newPID()), "")
	pid := string(newPID())
	f.Add(pid[:1]+"\n\n"+pid[1:], "x") // decoders of base64 skip ends of lines
	f.Add(pid[:1]+"\n\n"+pid[1:], "")
	f.Fuzz(func(t *testing.T, pid, cursor string) {
		got, c, ok := Resume{PID: pid, Cursor: cursor}.parse()
		if ok && (string(got) != pid || len(pid) != pidLen || cursor != "" && c.String() != cursor) {
			t.Errorf("%q and %q are taken for %q and %v", pid, cursor, got, c)
		}
	})
}

// FuzzArgument: whatever a client gives as arguments, a handler gets what it has declared, or the client an error.
func FuzzArgument(f *testing.F) {
	f.Add([]byte(`[{"_placeholder":true,"num":0},1,"x"]`), 0)
	f.Add([]byte(`[{"_placeholder":true,"num":-1}]`), 0)
	f.Add([]byte(`[{"_placeholder":true,"num":99999999999999999999}]`), 0)
	f.Add([]byte(`[null,{"a":[1]},1e999]`), 2)
	f.Fuzz(func(t *testing.T, text []byte, i int) {
		args, err := wire.SplitArgs(text)
		if err != nil {
			return
		}
		attachments := [][]byte{{1}, {2}}
		for _, v := range []any{&None{}, new(json.RawMessage), new([]byte), new(string), new(int), new(float64), new(any), &struct{ A []string }{}} {
			_, none := v.(*None)
			if err := decodeArg("e", args, attachments, i, v); err == nil && !none && (i < 0 || i >= len(args)) || err != nil && CodeOf(err) != CodeInvalid {
				t.Errorf("argument %d of %s as %T: %v", i, text, v, err)
			}
		}
	})
}
