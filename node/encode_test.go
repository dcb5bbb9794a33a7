package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

func bytesTimes(n int) (list []any) {
	for range n {
		list = append(list, []byte{1})
	}
	return list
}

func nested(depth int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
}

// bad is what no Go code may emit, and by which code it is told.
var bad = []struct {
	name  string
	event string
	args  []any
	code  node.Code
}{
	{"empty name", "", nil, node.CodeInvalid},
	{"reserved name", "connect_error", nil, node.CodeInvalid},
	{"name that is not UTF-8", "\xff", nil, node.CodeInvalid},
	{"no JSON", "e", []any{func() {}}, node.CodeInvalid},
	{"raw text that is no JSON", "e", []any{json.RawMessage(`{"a":`)}, node.CodeInvalid},
	{"empty raw text", "e", []any{json.RawMessage{}}, node.CodeInvalid},
	{"two raw values", "e", []any{json.RawMessage(`1,2`)}, node.CodeInvalid},
	{"raw text that is not UTF-8", "e", []any{json.RawMessage("\"\xff\"")}, node.CodeInvalid},
	{"raw text within that is not UTF-8", "e", []any{map[string]any{"a": json.RawMessage("\"\xff\"")}}, node.CodeInvalid},
	{"too many arguments", "e", make([]any, wire.MaxArgs), node.CodeLimit},
	{"too deep", "e", []any{nested(wire.MaxDepth)}, node.CodeLimit},
	{"too many attachments", "e", bytesTimes(wire.MaxAttachments + 1), node.CodeLimit},
	{"placeholder too many", "e", []any{[]byte{1}, json.RawMessage(`{"_placeholder":true,"num":0}`)}, node.CodeInvalid},
	{"placeholder of nothing", "e", []any{[]byte{1}, map[string]any{"_placeholder": true, "num": 5}}, node.CodeInvalid},
	{"too large", "e", []any{strings.Repeat("x", wire.MaxMessage)}, node.CodeLimit},
	{"attachment too large", "e", []any{make([]byte, wire.MaxMessage)}, node.CodeLimit},
}

// good is near the limits.
var good = [][]any{
	make([]any, wire.MaxArgs-1),
	{nested(wire.MaxDepth - 1)},
	bytesTimes(wire.MaxAttachments),
	{json.RawMessage(`{"_placeholder":true,"num":7}`)}, // data: there are no attachments
	{"\xff is replaced", map[string]string{"\xfe": "\xff"}},
	{nil, []byte(nil), json.RawMessage(nil), "<&>\u2028"},
	{json.RawMessage(" { \"a\" : 12345678901234567890 } ")},
}

func TestWhatClientsCannotReadIsNotEmitted(t *testing.T) {
	setup := func(n *node.Node) {
		root(n)
		n.Namespace("/").On("ack", func(e *node.Event) {
			for _, tt := range bad[3 : len(bad)-2] {
				if err := e.Ack(tt.args...); node.CodeOf(err) != tt.code {
					t.Errorf("%s: ack %v, want code %s", tt.name, err, tt.code)
				}
			}
			e.Ack("fine")
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		ns := n.Namespace("/")
		for _, tt := range bad {
			if strings.HasSuffix(tt.name, "too large") { // slow with -race; the check is the same
				if err := ns.Emit(tt.event, tt.args...); node.CodeOf(err) != tt.code || err == nil {
					t.Errorf("%s: %v, want code %s", tt.name, err, tt.code)
				}
				continue
			}
			_, asked := c.session.EmitWithAck(t.Context(), tt.event, tt.args...)
			_, askedAll := ns.To().EmitWithAck(t.Context(), tt.event, tt.args...)
			_, servers := ns.ServerSideEmitWithAck(t.Context(), tt.event, tt.args...)
			for by, err := range map[string]error{"Session.Emit": c.session.Emit(tt.event, tt.args...), "Emit": ns.Emit(tt.event, tt.args...),
				"EmitWithAck": asked, "Operator.EmitWithAck": askedAll, "ServerSideEmit": ns.ServerSideEmit(tt.event, tt.args...), "WithAck": servers} {
				if node.CodeOf(err) != tt.code || err == nil {
					t.Errorf("%s: %s gives %v, want code %s", tt.name, by, err, tt.code)
				}
			}
		}
		c.emit(1, "ack")
		expect(t, c, `ack 1 ["fine"]`)
	})
}

// frames is a client that reads what it gets as the official parser does.
type frames struct {
	*client
	read int
}

func (f *frames) Deliver(d *node.Delivery) bool {
	if d.Kind != node.KindEvent {
		return true
	}
	var decoder sio.Decoder
	p := sio.Packet{Type: sio.Event, Data: d.Message.Payload, Attachments: d.Message.Attachments}
	_, whole, err := decoder.Text(sio.Append(nil, p))
	for _, a := range p.Attachments {
		if err == nil {
			_, whole, err = decoder.Binary(a)
		}
	}
	if _, split := wire.SplitArgs(p.Data); err != nil || !whole || split != nil {
		f.t.Errorf("%.200s: %v, %v", p.Data, err, split)
	}
	f.read++
	return true
}

func TestWhatIsEmittedCanBeRead(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		f := &frames{client: &client{t: t}}
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: f}); err != nil {
			t.Fatal(err)
		}
		for _, args := range good {
			if err := n.In("/").Emit("e", args...); err != nil {
				t.Errorf("%.80s: %v", fmt.Sprint(args...), err)
			}
		}
		expect(t, f.client)
		if f.read != len(good) {
			t.Errorf("%d events read, want %d", f.read, len(good))
		}
	})
}

func TestArgumentsThatAreJSONAreCheckedToo(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const p = `{"_placeholder":true,"num":0}`
	for _, tt := range []struct {
		event       string
		args        string
		attachments int
		code        node.Code
	}{
		{"e", `[1,"x",{"a":[]}]`, 0, ""},
		{"e", `[` + p + `]`, 1, ""},
		{"e", `[` + p + `]`, 0, ""},
		{"e", `[]`, 1, node.CodeInvalid},
		{"e", `[` + p + `,` + p + `]`, 1, node.CodeInvalid},
		{"e", `[` + p + `]`, 11, node.CodeLimit},
		{"\xff", `[]`, 0, node.CodeInvalid},
		{"e", `["` + "\xff" + `"]`, 0, node.CodeInvalid},
		{"e", `[` + string(nested(wire.MaxDepth)) + `]`, 0, node.CodeLimit},
	} {
		args, err := wire.SplitArgs([]byte(tt.args))
		if err != nil && tt.code == "" {
			t.Fatal(err)
		} else if err != nil {
			args = wire.Args{json.RawMessage(tt.args[1 : len(tt.args)-1])}
		}
		err = n.In("/").EmitArgs(tt.event, args, make([][]byte, tt.attachments))
		if got := node.CodeOf(err); (err == nil) != (tt.code == "") || err != nil && got != tt.code {
			t.Errorf("%q %.60s with %d attachments: %v, want code %q", tt.event, tt.args, tt.attachments, err, tt.code)
		}
	}
	for _, raw := range []string{``, ` `, `1 2`, `[`} {
		if err := n.In("/").EmitArgs("e", wire.Args{json.RawMessage(raw)}, nil); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
