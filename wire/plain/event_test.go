package plain_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

const p0, p1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`

func TestEventFrame(t *testing.T) {
	sid := wire.NewSessionID(7)
	for _, tt := range []struct {
		m          wire.Message
		id, cursor string
		want       string
	}{
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e"]`)}, "", "", `{"type":"event","event":"e"}`},
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e",null]`)}, "", "", `{"type":"event","event":"e","data":null}`},
		{wire.Message{Envelope: &wire.Envelope{Rooms: []string{"lobby"}, From: "sid"}, Payload: []byte(`["message","hi"]`)}, "id1", "c1",
			`{"type":"event","room":"lobby","event":"message","data":"hi","from":"sid","id":"id1","cursor":"c1"}`},
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e",1,"2",{"3":[true]}]`)}, "", "",
			`{"type":"event","event":"e","data":1,"args":[1,"2",{"3":[true]}]}`},
		{wire.Message{Envelope: &wire.Envelope{Rooms: []string{"a", "b"}}, Payload: []byte(`["e"]`)}, "", "", `{"type":"event","event":"e"}`},
		{wire.Message{Envelope: &wire.Envelope{Rooms: []string{string(sid)}, From: sid}, Payload: []byte(`["e"]`)}, "", "",
			`{"type":"event","event":"e","from":"` + string(sid) + `"}`},
		{wire.Message{Envelope: &wire.Envelope{Rooms: []string{"a\"\n\xff"}}, Payload: []byte(`["e"]`)}, "", "<\\>",
			`{"type":"event","room":"a\"\n\ufffd","event":"e","cursor":"<\\>"}`},
		// The publisher's text stays.
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(" [ \"\\u0065\" , 12345678901234567890 ,\n{ \"b\":1, \"a\":\"\\ud800\u2028\" } ]")}, "", "",
			"{\"type\":\"event\",\"event\":\"\\u0065\",\"data\":12345678901234567890,\"args\":[12345678901234567890,{ \"b\":1, \"a\":\"\\ud800\u2028\" }]}"},
		// Numbers as names, which Socket.IO allows.
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`[12,true]`)}, "", "", `{"type":"event","event":"12","data":true}`},
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`[-1.5e3]`)}, "", "", `{"type":"event","event":"-1.5e3"}`},
		// Attachments, in any order and depth; without any, such an object is data.
		{wire.Message{Envelope: &wire.Envelope{Attachments: [][]byte{{0xfb, 0xff}, nil}}, Payload: []byte(`["e",{"a":[` + p1 + `, 1]},` + p0 + `]`)}, "", "",
			`{"type":"event","event":"e","data":{"a":[{"$binary":""}, 1]},"args":[{"a":[{"$binary":""}, 1]},{"$binary":"+/8="}]}`},
		{wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e",` + p0 + `]`)}, "", "", `{"type":"event","event":"e","data":` + p0 + `}`},
	} {
		got, err := plain.AppendEvent([]byte(">"), &tt.m, tt.id, tt.cursor)
		if err != nil || string(got) != ">"+tt.want || !json.Valid(got[1:]) {
			t.Errorf("AppendEvent(%s)\n got %s, %v\nwant %s", tt.m.Payload, got, err, tt.want)
		}
	}
}

func TestPayloadsThatAreNoEventFail(t *testing.T) {
	for _, tt := range []struct {
		payload     string
		attachments int
	}{
		{``, 0}, {`{}`, 0}, {`"e"`, 0}, {`[]`, 0}, {`[null]`, 0}, {`[true,1]`, 0}, {`[["e"]]`, 0}, {`[{"a":1}]`, 0}, {`["e"`, 0}, {`[,]`, 0},
		{`["e",1]`, 1}, {`["e",` + p0 + `]`, 2}, {`["e",` + p1 + `]`, 1}, {`[` + p0 + `]`, 1}, {`["e",` + p0, 1},
		{`["e"` + strings.Repeat(",1", wire.MaxArgs) + `]`, 0},
	} {
		m := &wire.Message{Envelope: &wire.Envelope{Attachments: make([][]byte, tt.attachments)}, Payload: []byte(tt.payload)}
		if got, err := plain.AppendEvent([]byte(">"), m, "", ""); err == nil || string(got) != ">" {
			t.Errorf("AppendEvent(%.40s) = %s, %v, want an error and nothing appended", tt.payload, got, err)
		}
		if got, err := plain.AppendEventSSE([]byte(">"), m, "", ""); err == nil || string(got) != ">" {
			t.Errorf("AppendEventSSE(%.40s) = %s, %v, want an error and nothing appended", tt.payload, got, err)
		}
	}
}

type frame struct {
	Type, Event, Room, From, Cursor string
	Data                            any
	Args                            []any
}

// TestClientReadsWhatWasPublished: any arguments, decoded from the frame, are
// those that were encoded into the payload.
func TestClientReadsWhatWasPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		event, room := rapid.String().Draw(t, "event"), rapid.StringN(0, 26, -1).Draw(t, "room")
		var list, want []any
		for i, s := range rapid.SliceOfN(rapid.String(), 0, 6).Draw(t, "args") {
			if i%2 == 0 {
				list, want = append(list, map[string]any{s: s}), append(want, map[string]any{s: s})
				continue
			}
			list = append(list, []byte(s))
			want = append(want, map[string]any{"$binary": base64.StdEncoding.EncodeToString([]byte(s))})
		}
		payload, attachments, err := wire.MarshalArgs(event, list...)
		if err != nil {
			t.Fatal(err)
		}
		m := &wire.Message{Envelope: &wire.Envelope{Rooms: []string{room}, From: "sid", Attachments: attachments}, Payload: payload}
		text, err := plain.AppendEvent(nil, m, "", room)
		if err != nil {
			t.Fatal(err)
		}
		var got frame
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		expect := frame{Type: "event", Event: event, Room: room, From: "sid", Cursor: room}
		if len(want) > 0 {
			expect.Data = want[0]
		}
		if len(want) > 1 {
			expect.Args = want
		}
		if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", expect); g != w {
			t.Fatalf("%s\n got %s\nwant %s", text, g, w)
		}
	})
}

// FuzzEvent: any valid JSON is an error or a valid frame, in both forms.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`["e",1,"2",{"3":[true]}]`), "lobby", "c", 0)
	f.Add([]byte(`["e",`+p1+`,[`+p0+`]]`), "a\"\n", "\xff", 2)
	f.Add([]byte("[1.5 ,\n\"\u2028\"]"), "", "c\r\n", 0)
	f.Fuzz(func(t *testing.T, payload []byte, room, cursor string, attachments int) {
		m := &wire.Message{Envelope: &wire.Envelope{Rooms: []string{room}}, Payload: payload}
		for i := range attachments & 3 {
			m.Attachments = append(m.Attachments, []byte{byte(i), 0xff})
		}
		text, err := plain.AppendEvent(nil, m, cursor, cursor)
		sse, errSSE := plain.AppendEventSSE(nil, m, cursor, cursor)
		if !json.Valid(payload) {
			return
		}
		if err != nil || errSSE != nil {
			if err == nil || errSSE == nil {
				t.Fatalf("%q: %v as JSON, %v as SSE", payload, err, errSSE)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q becomes %q", payload, text)
		}
		if cursor != "" {
			sse = append(sse, ".mine\n\n"...)
		}
		if got := readSSE(t, sse); len(got) != 1 || !json.Valid([]byte(got[0].data)) {
			t.Fatalf("%q becomes %q", payload, sse)
		}
		list, err := wire.SplitArgs(payload)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := plain.AppendAck(nil, 1, list[1:], m.Attachments)
		if err != nil || !json.Valid(ack) || !bytes.HasPrefix(ack, []byte(`{"type":"ack","id":1,`)) {
			t.Fatalf("%q becomes ack %q, %v", payload, ack, err)
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	m := &wire.Message{Envelope: &wire.Envelope{Rooms: []string{"room-42"}, From: wire.NewSessionID(5)}, Payload: []byte(`["message","` + strings.Repeat("x", 114) + `"]`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plain.AppendEvent(nil, m, "id", "cursor"); err != nil {
			b.Fatal(err)
		}
	}
}
