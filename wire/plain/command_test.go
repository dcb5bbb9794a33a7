package plain_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

func args(texts ...string) wire.Args {
	list := make(wire.Args, 0, len(texts))
	for _, s := range texts {
		list = append(list, json.RawMessage(s))
	}
	return list
}

func TestCommandsDecode(t *testing.T) {
	long := strings.Repeat("r", plain.MaxRoom)
	for _, tt := range []struct {
		in   string
		want plain.Command
	}{
		{`{"type":"join","id":1,"room":"lobby"}`, plain.Command{Type: "join", ID: 1, HasID: true, Room: "lobby"}},
		{`{"type":"leave","room":"lobby"}`, plain.Command{Type: "leave", Room: "lobby"}},
		{`{"type":"presence","id":0,"room":"é"}`, plain.Command{Type: "presence", HasID: true, Room: "é"}},
		{`{"type":"history","id":1,"room":"r"}`, plain.Command{Type: "history", ID: 1, HasID: true, Room: "r"}},
		{`{"type":"history","room":"r","limit":9,"since":"x","event":7}`,
			plain.Command{Type: "history", Room: "r", Limit: json.RawMessage("9"), Since: json.RawMessage(`"x"`)}},
		{`{"type":"history","room":"r","limit":null,"since":{}}`, plain.Command{Type: "history", Room: "r", Since: json.RawMessage("{}")}},
		{`{"type":"presence","room":"r","limit":9,"since":"x"}`, plain.Command{Type: "presence", Room: "r"}},
		{`{"type":"publish","id":9007199254740991,"room":"r","event":"e","data":{"a": 1}}`,
			plain.Command{Type: "publish", ID: plain.MaxID, HasID: true, Room: "r", Event: "e", Args: args(`{"a": 1}`)}},
		{`{"type":"broadcast","event":"e","args":[1, "x" ,[2]]}`, plain.Command{Type: "broadcast", Event: "e", Args: args(`1`, `"x"`, `[2]`)}},
		{`{"type":"broadcast","event":"e","args": [] }`, plain.Command{Type: "broadcast", Event: "e", Args: args()}},
		{`{"type":"direct","to":"sid","event":"e"}`, plain.Command{Type: "direct", To: "sid", Event: "e"}},
		{`{"type":"direct","to":"sid","event":"e","priority":"hi\u0067h"}`, plain.Command{Type: "direct", To: "sid", Event: "e", Priority: "high"}},
		{`{"type":"direct","to":"sid","event":"e","idempotency_key":"k"}`, plain.Command{Type: "direct", To: "sid", Event: "e", Key: "k"}},
		{`{"type":"emit","event":"e","idempotency_key":"k"}`, plain.Command{Type: "emit", Event: "e"}},
		{`{"type":"publish","room":"r","event":"e","priority":null}`, plain.Command{Type: "publish", Room: "r", Event: "e"}},
		{`{"type":"emit","event":"e","priority":7}`, plain.Command{Type: "emit", Event: "e"}},
		{`{"type":"emit","event":"e","data":null}`, plain.Command{Type: "emit", Event: "e", Args: args(`null`)}},
		{` { "event" : "e" , "type" : "emit" , "data" : 12345678901234567890 } `,
			plain.Command{Type: "emit", Event: "e", Args: args(`12345678901234567890`)}},
		{`{"type":"emit","event":"e","data":"\ud800\u0041"}`, plain.Command{Type: "emit", Event: "e", Args: args(`"\ud800\u0041"`)}},
		{`{"type":"join","room":"` + long + `"}`, plain.Command{Type: "join", Room: long}},
		{`{"type":"\u006aoin","room":"a\"b\n\ud83d\ude00"}`, plain.Command{Type: "join", Room: "a\"b\n😀"}},
		{`{"type":"ack","id":7}`, plain.Command{Type: "ack", ID: 7, HasID: true}},
		{`{"type":"ack","id":7,"event":5,"args":[1,"x"]}`, plain.Command{Type: "ack", ID: 7, HasID: true, Args: args(`1`, `"x"`)}},

		// Typed languages write null for what is not set.
		{`{"type":"emit","id":null,"room":null,"event":"e","args":null,"data":1}`, plain.Command{Type: "emit", Event: "e", Args: args(`1`)}},
		// Not used by the type, or by no type, or of another name.
		{`{"type":"join","room":"r","to":5,"event":7,"data":1,"args":2,"x":{}}`, plain.Command{Type: "join", Room: "r"}},
		{`{"type":"broadcast","room":5,"event":"e"}`, plain.Command{Type: "broadcast", Event: "e"}},
		{`{"type":"join","room":"r","ROOM":"other","Type":"leave","ID":5}`, plain.Command{Type: "join", Room: "r"}},
	} {
		got, err := plain.DecodeCommand([]byte(tt.in))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("DecodeCommand(%s) = %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestBadCommandsAreNamed(t *testing.T) {
	tooLong := strings.Repeat("r", plain.MaxRoom+1)
	for _, tt := range []struct{ in, want string }{
		{``, "not a JSON object"},
		{`x`, "not a JSON object"},
		{`{"type":"join","room":"r"`, "not a JSON object"},
		{`{"type":"join","room":"r"} {}`, "not a JSON object"},
		{`null`, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`"join"`, "not a JSON object"},
		{"{\"type\":\"join\",\"room\":\"\xff\"}", "not valid UTF-8"},
		{"{\"type\":\"emit\",\"event\":\"e\",\"data\":\"\xff\"}", "not valid UTF-8"},
		{`{}`, "type is missing"},
		{`{"type":null}`, "type is missing"},
		{`{"TYPE":"join","room":"r"}`, "type is missing"},
		{`{"type":1}`, "type must be a string"},
		{`{"type":""}`, "type must not be empty"},
		{`{"type":"subscribe","room":"r"}`, `unknown type "subscribe"`},
		{`{"type":"Join","room":"r"}`, `unknown type "Join"`},
		{`{"type":"join"}`, "room is missing"},
		{`{"type":"ack","args":[]}`, "id is missing"},
		{`{"type":"ack","id":1,"args":1}`, "args must be an array"},
		{`{"type":"leave","room":null}`, "room is missing"},
		{`{"type":"presence","room":""}`, "room must not be empty"},
		{`{"type":"history"}`, "room is missing"},
		{`{"type":"publish","event":"e"}`, "room is missing"},
		{`{"type":"join","room":["r"]}`, "room must be a string"},
		{`{"type":"join","room":"` + tooLong + `"}`, "room is longer than 255 bytes"},
		{`{"type":"publish","room":"r"}`, "event is missing"},
		{`{"type":"broadcast","event":""}`, "event must not be empty"},
		{`{"type":"emit","event":1}`, "event must be a string"},
		{`{"type":"direct","event":"e"}`, "to is missing"},
		{`{"type":"direct","to":"` + tooLong + `","event":"e"}`, "to is longer"},
		{`{"type":"direct","to":"s"}`, "event is missing"},
		{`{"type":"emit","event":"e","data":1,"args":[1]}`, "data and args"},
		{`{"type":"emit","event":"e","data":null,"args":[]}`, "data and args"},
		{`{"type":"broadcast","event":"e","priority":7}`, "priority must be a string"},
		{`{"type":"publish","room":"r","event":"e","priority":""}`, "priority must not be empty"},
		{`{"type":"publish","room":"r","event":"e","idempotency_key":7}`, "idempotency_key must be a string"},
		{`{"type":"publish","room":"r","event":"e","idempotency_key":""}`, "idempotency_key must not be empty"},
		{`{"type":"emit","event":"e","args":{"0":1}}`, "args must be an array"},
		{`{"type":"emit","event":"e","args":"[]"}`, "args must be an array"},
	} {
		if _, err := plain.DecodeCommand([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("DecodeCommand(%.60q) = %v, want an error with %q", tt.in, err, tt.want)
		}
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	for _, id := range []string{`-1`, `1.5`, `1.0`, `1e3`, `9007199254740992`, `18446744073709551617`, `"1"`, `true`, `[]`} {
		c, err := plain.DecodeCommand([]byte(`{"type":"join","room":"r","id":` + id + `}`))
		if err == nil || !strings.Contains(err.Error(), "id must be an integer") || c.HasID || c.ID != 0 {
			t.Errorf("id %s: %+v, %v", id, c, err)
		}
	}
}

// TestErrorsCarryTheID: the client can tell which of its commands failed.
func TestErrorsCarryTheID(t *testing.T) {
	for _, in := range []string{
		`{"id":7}`, `{"id":7,"type":"x"}`, `{"type":"join","id":7}`, `{"type":"publish","room":"r","id":7}`,
		`{"type":"emit","event":"e","args":1,"id":7}`,
	} {
		c, err := plain.DecodeCommand([]byte(in))
		if err == nil || !c.HasID || c.ID != 7 {
			t.Errorf("DecodeCommand(%s) = %+v, %v, want id 7 and an error", in, c, err)
		}
	}
}

// TestArgumentLimitLeavesRoomForTheName: what a command may carry is an event
// that every node can split.
func TestArgumentLimitLeavesRoomForTheName(t *testing.T) {
	command := func(n int) []byte {
		return fmt.Appendf(nil, `{"type":"emit","event":"e","args":[%s]}`, strings.TrimSuffix(strings.Repeat("1,", n), ","))
	}
	c, err := plain.DecodeCommand(command(plain.MaxArgs))
	if err != nil {
		t.Fatal(err)
	}
	payload := append(args(`"e"`), c.Args...).Join()
	if _, err := plain.AppendEvent(nil, &wire.Message{Envelope: &wire.Envelope{}, Payload: payload}, "", ""); err != nil {
		t.Errorf("an event of %d arguments: %v", plain.MaxArgs, err)
	}
	for _, n := range []int{plain.MaxArgs + 1, plain.MaxArgs + 2} {
		if _, err := plain.DecodeCommand(command(n)); err == nil || !strings.Contains(err.Error(), "args has more than 255 elements") {
			t.Errorf("%d arguments: %v", n, err)
		}
	}
}

// FuzzCommand: no input panics, and what is accepted can be published.
func FuzzCommand(f *testing.F) {
	f.Add([]byte(`{"type":"join","id":1,"room":"lobby"}`))
	f.Add([]byte(`{"type":"publish","id":2,"room":"r","event":"e","data":{"a":1}}`))
	f.Add([]byte(`{"type":"direct","to":"s","event":"\u0065","args":[1,"x",null]}`))
	f.Add([]byte(`{"type":"emit","id":null,"event":"e","args":[],"x":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := plain.DecodeCommand(in)
		if c.ID > plain.MaxID || !c.HasID && c.ID != 0 {
			t.Fatalf("%q: id %d, %v", in, c.ID, c.HasID)
		}
		if err != nil {
			if frame := plain.AppendError(nil, err.Error(), "invalid"); !json.Valid(frame) {
				t.Fatalf("%q: error frame %q", in, frame)
			}
			return
		}
		name, err := wire.MarshalJSON(c.Event)
		if err != nil {
			t.Fatal(err)
		}
		payload := append(wire.Args{name}, c.Args...).Join()
		frame, err := plain.AppendEvent(nil, &wire.Message{Envelope: &wire.Envelope{Rooms: []string{c.Room}}, Payload: payload}, "", "")
		if err != nil || !json.Valid(frame) {
			t.Fatalf("%q becomes event %q, %v", in, frame, err)
		}
	})
}

func BenchmarkDecodeCommand(b *testing.B) {
	in := []byte(`{"type":"publish","id":12,"room":"lobby","event":"message","data":"` + strings.Repeat("x", 114) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plain.DecodeCommand(in); err != nil {
			b.Fatal(err)
		}
	}
}
