package plain_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

type sseEvent struct{ event, id, data string }

var sseLine = regexp.MustCompile(`\r\n|\r|\n`)

// readSSE reads a stream as section 9.2.6 of the HTML Standard tells a browser to.
func readSSE(t interface{ Fatalf(string, ...any) }, stream []byte) (events []sseEvent) {
	var e sseEvent
	var data []string
	lines := sseLine.Split(string(stream), -1)
	if lines[len(lines)-1] != "" {
		t.Fatalf("%q does not end with a line", stream)
	}
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil {
				e.data = strings.Join(data, "\n")
				events = append(events, e)
			}
			e, data = sseEvent{}, nil
		case field == "event":
			e.event = value
		case field == "id" && !strings.Contains(value, "\x00"):
			e.id = value
		case field == "data":
			data = append(data, value)
		default:
			t.Fatalf("line %q in %q", line, stream)
		}
	}
	return events
}

func TestSSE(t *testing.T) {
	for _, tt := range []struct{ event, id, data, want string }{
		{"message", "c1", `{"a":1}`, "event: message\nid: c1\ndata: {\"a\":1}\n\n"},
		{"", "", "x", "data: x\n\n"},
		{"gap", "", "", "event: gap\ndata: \n\n"},
		{"e", "", "a\nb\rc\r\nd\n\re\n", "event: e\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\ndata: \n\n"},
		{"e\ndata: forged\n\n", "1\r2\x003", "x\n\nevent: forged", "event: e data: forged  \nid: 1 2 3\ndata: x\ndata: \ndata: event: forged\n\n"},
	} {
		if got := string(plain.AppendSSE(nil, tt.event, tt.id, []byte(tt.data))); got != tt.want {
			t.Errorf("AppendSSE(%q, %q, %q) = %q, want %q", tt.event, tt.id, tt.data, got, tt.want)
		}
	}
}

func TestEventAsSSE(t *testing.T) {
	m := &wire.Message{Envelope: &wire.Envelope{Rooms: []string{"r"}}, Payload: []byte("[\"\\u0065\\n\",{\r\n\"a\":1}]")}
	got, err := plain.AppendEventSSE([]byte("data: x\n\n"), m, "id1", "c1")
	want := "data: x\n\nevent: e \ndata: {\"type\":\"event\",\"room\":\"r\",\"event\":\"\\u0065\\n\",\"data\":{\ndata: \"a\":1},\"id\":\"id1\",\"cursor\":\"c1\"}\nid: c1"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestBrowserReadsOneEventPerAppend: whatever the strings, a reader sees one event
// each, with all of its data.
func TestBrowserReadsOneEventPerAppend(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("a: \r\n\x00é{")))
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []sseEvent
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			event, id, data := text.Draw(t, "event"), text.Draw(t, "id"), text.Draw(t, "data")
			stream = plain.AppendSSE(stream, event, id, []byte(data))
			blank := strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")
			want = append(want, sseEvent{blank.Replace(event), blank.Replace(id), sseLine.ReplaceAllString(data, "\n")})
		}
		if got := readSSE(t, stream); !slices.Equal(got, want) {
			t.Fatalf("%q\n got %q\nwant %q", stream, got, want)
		}
	})
}

func TestSSEOfAnEventWithABadNameFails(t *testing.T) {
	m := &wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["\x"]`)} // not JSON: only the name is ever decoded
	if got, err := plain.AppendEventSSE(nil, m, "", ""); err == nil {
		t.Errorf("AppendEventSSE = %q, want an error", got)
	}
	if json.Valid(m.Payload) {
		t.Error("the payload is valid")
	}
}
