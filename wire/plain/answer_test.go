package plain_test

import (
	"encoding/json"
	"testing"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

func TestWelcome(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{string(plain.AppendWelcome(nil, "sid", "node-1", "")), `{"type":"welcome","id":"sid","node":"node-1"}`},
		{string(plain.AppendWelcome([]byte(">"), "sid", `n"1`, "pid")), `>{"type":"welcome","id":"sid","node":"n\"1","session":"pid"}`},
		{string(plain.AppendWelcomeBack(nil, "sid", "n", "pid", true)), `{"type":"welcome","id":"sid","node":"n","session":"pid","recovered":true}`},
		{string(plain.AppendWelcomeBack(nil, "sid", "n", "", false)), `{"type":"welcome","id":"sid","node":"n","recovered":false}`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func TestErrorFrame(t *testing.T) {
	for _, tt := range []struct{ message, want string }{
		{"room is missing", `{"type":"error","error":"room is missing","code":"invalid"}`},
		{"a \"b\"\\\n\x00", `{"type":"error","error":"a \"b\"\\\n\u0000","code":"invalid"}`},
		{"<é>&\xff", `{"type":"error","error":"<é>&\ufffd","code":"invalid"}`},
	} {
		if got := string(plain.AppendError(nil, tt.message, "invalid")); got != tt.want {
			t.Errorf("AppendError(%q) = %s, want %s", tt.message, got, tt.want)
		}
	}
}

func TestAck(t *testing.T) {
	const placeholder = `{"_placeholder":true,"num":0}`
	for _, tt := range []struct {
		args        wire.Args
		attachments [][]byte
		want        string
	}{
		// The built-in verbs.
		{args(`{"ok":true}`), nil, `{"type":"ack","id":1,"ok":true}`},
		{args(`{"ok":false,"error":"no","code":"forbidden"}`), nil, `{"type":"ack","id":1,"ok":false,"error":"no","code":"forbidden"}`},
		{args(`{"members":[{"id":"s","ok":0}], "ok" : true}`), nil, `{"type":"ack","id":1,"members":[{"id":"s","ok":0}], "ok" : true}`},
		// Answers of handlers.
		{nil, nil, `{"type":"ack","id":1,"ok":true}`},
		{args(), nil, `{"type":"ack","id":1,"ok":true}`},
		{args(`"hi"`), nil, `{"type":"ack","id":1,"ok":true,"data":"hi"}`},
		{args(`null`), nil, `{"type":"ack","id":1,"ok":true,"data":null}`},
		{args(`1`, `{"ok":false}`), nil, `{"type":"ack","id":1,"ok":true,"data":1,"args":[1,{"ok":false}]}`},
		{args(`{"ok":false}`, `1`), nil, `{"type":"ack","id":1,"ok":true,"data":{"ok":false},"args":[{"ok":false},1]}`},
		{args(`{}`), nil, `{"type":"ack","id":1,"ok":true,"data":{}}`},
		{args(`[{"ok":true}]`), nil, `{"type":"ack","id":1,"ok":true,"data":[{"ok":true}]}`},
		{args(`{"ok":1}`), nil, `{"type":"ack","id":1,"ok":true,"data":{"ok":1}}`},
		{args(`{"ok":null}`), nil, `{"type":"ack","id":1,"ok":true,"data":{"ok":null}}`},
		{args(`{"OK":false}`), nil, `{"type":"ack","id":1,"ok":true,"data":{"OK":false}}`},
		{args(`{"x":{"ok":false}}`), nil, `{"type":"ack","id":1,"ok":true,"data":{"x":{"ok":false}}}`},
		// Members that the frame has already.
		{args(`{"ok":true,"id":"42"}`), nil, `{"type":"ack","id":1,"ok":true,"data":{"ok":true,"id":"42"}}`},
		{args(`{"ok":false,"typ\u0065":"x"}`), nil, `{"type":"ack","id":1,"ok":false,"data":{"ok":false,"typ\u0065":"x"}}`},
		// Attachments.
		{args(placeholder), [][]byte{{0xff, 0xfe}}, `{"type":"ack","id":1,"ok":true,"data":{"$binary":"//4="}}`},
		{args(`{"ok":true,"file":` + placeholder + `}`), [][]byte{{1}}, `{"type":"ack","id":1,"ok":true,"file":{"$binary":"AQ=="}}`},
		{args(placeholder), nil, `{"type":"ack","id":1,"ok":true,"data":` + placeholder + `}`},
	} {
		got, err := plain.AppendAck(nil, 1, tt.args, tt.attachments)
		if err != nil || string(got) != tt.want || !json.Valid(got) {
			t.Errorf("AppendAck(%s) = %s, %v, want %s", tt.args, got, err, tt.want)
		}
	}
}

func TestAckThatDoesNotFitItsAttachmentsFails(t *testing.T) {
	tooMany := args(`{"_placeholder":true,"num":0}`)
	for range wire.MaxArgs {
		tooMany = append(tooMany, args(`1`)...)
	}
	for _, list := range []wire.Args{nil, args(`1`), args(`{"_placeholder":true,"num":1}`), tooMany} {
		got, err := plain.AppendAck([]byte(">"), 1, list, [][]byte{{1}})
		if err == nil || string(got) != ">" {
			t.Errorf("AppendAck(%.40s) = %s, %v, want an error and nothing appended", list, got, err)
		}
	}
}
