package socketio

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
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
	const cursor = "AAAAAAAAAAEAAAAAAAAAAg"
	const placeholder = `{"_placeholder":true,"num":0}`
	for _, tt := range []struct{ data, want string }{
		{`["e"]`, `["e","` + cursor + `"]`},
		{`["e",1,"x"]`, `["e",1,"x","` + cursor + `"]`},
		{`["e",` + placeholder + `]`, `["e",` + placeholder + `,"` + cursor + `"]`},
	} {
		p := sio.Packet{Type: sio.Event, Namespace: "/n", Data: []byte(tt.data)}
		head := "42/n,"
		if tt.data == `["e",`+placeholder+`]` {
			p.Attachments, head = [][]byte{{7}}, "451-/n,"
		}
		frames := engineGroup(p, cursor).Frames()
		if got := string(frames[0].Data); got != head+tt.want || len(frames) != 1+len(p.Attachments) {
			t.Errorf("text %s in %d frames, want %s", got, len(frames), head+tt.want)
		}
		got, err := sio.DecodeMessagePack(packedGroup(p, cursor).Frames()[0].Data, 10)
		if err != nil || string(got.Data) != tt.want || len(got.Attachments) != len(p.Attachments) {
			t.Errorf("msgpack %s, %v, want %s", got.Data, err, tt.want)
		}
		if string(p.Data) != tt.data {
			t.Errorf("the message, which others have too, became %s", p.Data)
		}
	}
	if got := string(appendCursor([]byte("40"), cursor)); got != "40" {
		t.Errorf("what is no event became %s", got)
	}
}

// TestWhatHasACursorKeepsOneOrder: a client that has an event has all before it, else its
// cursor would be no place.
func TestWhatHasACursorKeepsOneOrder(t *testing.T) {
	for _, tt := range []struct {
		flags  wire.Flags
		cursor string
		want   ws.Place
	}{
		{wire.High, "", engineio.High},
		{wire.Low, "", engineio.Low},
		{wire.High, "c", ws.Normal},
		{wire.Low, "c", ws.Normal},
	} {
		d := &node.Delivery{Message: messageOf(`["e"]`)}
		d.Message.Flags |= tt.flags
		if got := asWished(engineGroup(eventPacket(d), tt.cursor), d, tt.cursor).Place(); got != tt.want {
			t.Errorf("flags %v, cursor %q: place %v, want %v", tt.flags, tt.cursor, got, tt.want)
		}
	}
}

// TestClientsOfSocketIO2GetNoCursor: they would take it for an argument of the
// application, and cannot come back with it.
func TestClientsOfSocketIO2GetNoCursor(t *testing.T) {
	d := &node.Delivery{Message: messageOf(`["e",1]`)}
	m := &marked{group: engineGroup(eventPacket(d), "c")}
	with := d.Encoded(node.FormatSocketIO, func(*node.Delivery) any { return m })
	if with != any(m) {
		t.Fatal("encoded before")
	}
	today, old := &socket{parser: parserText}, &socket{parser: parserText, legacy: true}
	if got := fmt.Sprintf("%s %s", today.event(d).Frames()[0].Data, old.event(d).Frames()[0].Data); got != `42["e",1,"c"] 42["e",1]` {
		t.Errorf("got %s", got)
	}
	if first, second := old.event(d), old.event(d); first != second {
		t.Error("written for each client")
	}
}
