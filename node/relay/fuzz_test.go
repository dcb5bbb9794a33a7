package relay

import (
	"testing"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// Whatever a client gives to a verb, it is taken within the limits, or refused as invalid.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		`["r"]`, `["r",{"limit":10,"since":1000,"unseen":true}]`, `["r",{"since":"7-0-1","limit":null}]`, `["r",{"LIMIT":1}]`, `["r",{"since":-5}]`, `["r",null]`, `["r",[]]`,
		`[{"room":"r","priority":"high","idempotency_key":"k"},"e"]`, `[{"room":null}]`, `[{"room":"r","priority":{}}]`, `[{}]`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		args, err := wire.SplitArgs(text)
		if err != nil {
			return
		}
		e := &node.Event{Name: "verb", Args: args}
		if opt, err := historyOptions(e); err == nil && (opt.Limit < 0 || opt.Within < 0) || err != nil && node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("%s: %+v, %v", text, opt, err)
		}
		room, how, err := first(e, "room", "room")
		if err == nil && (!utf8.ValidString(room) || node.CheckIdempotencyKey(how.key) != nil && how.key != "") || err != nil && node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("%s: %q, %+v, %v", text, room, how, err)
		}
	})
}
