package node_test

import (
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

func TestAckArgsGoOnByteForByteOrNotAtAll(t *testing.T) {
	const placeholder = `{"_placeholder":true,"num":0}`
	setup := func(n *node.Node) {
		n.Namespace("/").On("ask", func(e *node.Event) {
			for what, bad := range map[string]struct {
				args        wire.Args
				attachments [][]byte
			}{
				"no JSON":                {args: wire.Args{[]byte("nope")}},
				"too many":               {args: make(wire.Args, wire.MaxArgs+1)},
				"no placeholder":         {args: wire.Args{[]byte("1")}, attachments: [][]byte{{1}}},
				"placeholder used twice": {args: wire.Args{[]byte(placeholder), []byte(placeholder)}, attachments: [][]byte{{1}}},
			} {
				if err := e.AckArgs(bad.args, bad.attachments); err == nil {
					t.Errorf("%s: accepted", what)
				}
			}
			if err := e.AckArgs(wire.Args{[]byte(`{"b":1, "a":12345678901234567890}`), []byte(placeholder)}, [][]byte{{1}}); err != nil {
				t.Error(err)
			}
			e.Ack("second answers do not count")
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(7, "ask")
		expect(t, c, `ack 7 [{"b":1, "a":12345678901234567890},`+placeholder+"] [\x01]")
	})
}
