package socketio

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/sio"
)

// TestWhatIsNoSessionOfBeforeMakesANewOne: auth is the application's, and it may have
// fields of these names.
func TestWhatIsNoSessionOfBeforeMakesANewOne(t *testing.T) {
	for auth, want := range map[string]node.Resume{
		``:                                   {},
		`{"token":"x"}`:                      {},
		`{"pid":"p","offset":"o","token":1}`: {PID: "p", Cursor: "o"},
		`{"pid":"p"}`:                        {PID: "p"},
		`{"pid":"p","offset":null}`:          {PID: "p"},
		`{"pid":"p","offset":"what a user said"}`: {PID: "p", Cursor: "what a user said"},
		`{"pid":"p","offset":7}`:                  {},
		`{"pid":"p","offset":["o"]}`:              {},
		`{"pid":7,"offset":"o"}`:                  {},
		`{"pid":null,"offset":"o"}`:               {},
		`{"pid":{"pid":"p"}}`:                     {},
		`{"PID":"p","offset":"o"}`:                {},
		`{"data":{"pid":"p"},"offset":"o"}`:       {},
		`["pid","p"]`:                             {},
		`"pid"`:                                   {},
		`{"pid":"p",`:                             {},
	} {
		if got := resumeOf(json.RawMessage(auth)); got != want {
			t.Errorf("%s: %+v, want %+v", auth, got, want)
		}
	}
}

// TestEndsAfterWhichAClientMayComeBack are those of the official server.
func TestEndsAfterWhichAClientMayComeBack(t *testing.T) {
	for reason, want := range map[engineio.Reason]bool{
		engineio.ReasonTransportClose: true, engineio.ReasonTransportError: true, engineio.ReasonPingTimeout: true,
		engineio.ReasonForcedClose: true, engineio.ReasonForcedServerClose: true, engineio.ReasonShutdown: true,
		engineio.ReasonSlow: true, engineio.ReasonTooBig: true, engineio.ReasonInvalidText: true, engineio.ReasonPanic: true,
		engineio.ReasonParseError: false,
	} {
		if got := recoverable[reason.Official()]; got != want {
			t.Errorf("%v: %v, want %v", reason, got, want)
		}
	}
	for _, reason := range []string{reasonClient, reasonServer} {
		if recoverable[reason] {
			t.Errorf("%s is an end on purpose", reason)
		}
	}
}

func TestCursorIsTheLastArgument(t *testing.T) {
	const mark = `"AAAAAAAAAAEAAAAAAAAAAg"`
	const placeholder = `{"_placeholder":true,"num":0}`
	for _, tt := range []struct{ data, want string }{
		{`["e"]`, `["e",` + mark + `]`},
		{`["e",1,"x"]`, `["e",1,"x",` + mark + `]`},
		{`["e",` + placeholder + `]`, `["e",` + placeholder + `,` + mark + `]`},
	} {
		p := sio.Packet{Type: sio.Event, Namespace: "/n", Data: []byte(tt.data)}
		head := "42/n,"
		if tt.data == `["e",`+placeholder+`]` {
			p.Attachments, head = [][]byte{{7}}, "451-/n,"
		}
		frames := engineGroup(p, mark).Frames()
		if got := string(frames[0].Data); got != head+tt.want || len(frames) != 1+len(p.Attachments) {
			t.Errorf("text %s in %d frames, want %s", got, len(frames), head+tt.want)
		}
		got, err := sio.DecodeMessagePack(packedGroup(p, mark).Frames()[0].Data, 10)
		if err != nil || string(got.Data) != tt.want || len(got.Attachments) != len(p.Attachments) {
			t.Errorf("msgpack %s, %v, want %s", got.Data, err, tt.want)
		}
		if string(p.Data) != tt.data {
			t.Errorf("the message, which others have too, became %s", p.Data)
		}
	}
	if got := string(appendMark([]byte("40"), mark)); got != "40" {
		t.Errorf("what is no event became %s", got)
	}
}

// TestNoWordOfTheApplicationIsTakenForACursor: the official client takes any string at the end
// for one, and would come back with it.
func TestNoWordOfTheApplicationIsTakenForACursor(t *testing.T) {
	for payload, want := range map[string]string{
		`["typing","ann"]`:      `42["typing","ann",null]`,
		`["typing"]`:            `42["typing",null]`,
		`["typing", "a\"]" ]`:   `42["typing", "a\"]" ,null]`,
		`["typing",["ann"]]`:    `42["typing",["ann"]]`,
		`["typing",{"a":"b"}]`:  `42["typing",{"a":"b"}]`,
		`["typing",1]`:          `42["typing",1]`,
		`["typing","ann",true]`: `42["typing","ann",true]`,
	} {
		for mayComeBack, want := range map[bool]string{true: want, false: "42" + payload} {
			s := &socket{parser: parserText, marks: mayComeBack}
			if got := string(s.event(&node.Delivery{Message: messageOf(payload)}).Frames()[0].Data); got != want {
				t.Errorf("%s: %s, want %s", payload, got, want)
			}
		}
		packed := &socket{parser: parserMessagePack, marks: true}
		got, err := sio.DecodeMessagePack(packed.event(&node.Delivery{Message: messageOf(payload)}).Frames()[0].Data, 0)
		if want := strings.ReplaceAll(want[2:], " ", ""); err != nil || string(got.Data) != want {
			t.Errorf("msgpack of %s: %s, %v, want %s", payload, got.Data, err, want)
		}
	}
	asks := &node.Delivery{Message: messageOf(`["sure?","ann"]`), AckID: 7}
	s := &socket{parser: parserText, marks: true}
	if got := string(s.event(asks).Frames()[0].Data); got != `427["sure?","ann"]` {
		t.Errorf("what wants an answer became %s: the client has a function at its end", got)
	}
}

// TestClientsOfSocketIO2GetNoMark: they would take it for an argument of the
// application, and cannot come back with it.
func TestClientsOfSocketIO2GetNoMark(t *testing.T) {
	d := &node.Delivery{Message: messageOf(`["e","x"]`)}
	today, old := &socket{parser: parserText, marks: true}, &socket{parser: parserText, marks: true, legacy: true}
	if got := fmt.Sprintf("%s %s", today.event(d).Frames()[0].Data, old.event(d).Frames()[0].Data); got != `42["e","x",null] 42["e","x"]` {
		t.Errorf("got %s", got)
	}
	if first, second := old.event(d), old.event(d); first != second {
		t.Error("written for each client")
	}
	if first, second := today.event(d), today.event(d); first != second {
		t.Error("written for each client")
	}
}
