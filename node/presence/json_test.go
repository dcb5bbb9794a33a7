package presence

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

func TestMembersAreWrittenAsEncodingJSONDoes(t *testing.T) {
	list := []Member{
		{},
		{Key: "k", ID: "abc-_", Node: "n1"},
		{ID: "a\"b\\\n\x00", User: "<é>&\u2028\U0001f600", Node: "knoten \x7f ü"},
		{ID: "i", User: "u\xff", Info: json.RawMessage(`{"a":[1,"é"]}`), Node: "n"},
		{ID: "i", User: "u", Sockets: []Socket{{"i", "n"}, {"j", `m"`}}, Node: "n"},
	}
	for n := range len(list) + 1 {
		want, err := wire.MarshalJSON(list[:n])
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendMembers([]byte("x"), list[:n])); got != "x"+string(want) {
			t.Errorf("got  %s\nwant x%s", got, want)
		}
	}
	plain := list[1:2]
	if got, most := SizeOf(plain), len(AppendMembers(nil, plain)); got < most || got > most+20 {
		t.Errorf("size %d of %d bytes", got, most)
	}
}

func TestInfoThatClientsCannotReadIsNoEntry(t *testing.T) {
	for _, info := range []string{"\"\xff\"", "{", strings.Repeat("[", wire.MaxDepth+1) + strings.Repeat("]", wire.MaxDepth+1)} {
		if (Entry{ID: "i", Info: []byte(info)}).valid() {
			t.Errorf("%.20q is taken", info)
		}
	}
}

func BenchmarkMembersJSON(b *testing.B) {
	var list []Member
	for _, e := range benchEntries(1, 10_000) {
		list = append(list, Member{ID: e.ID, Node: "node1"})
	}
	b.ReportAllocs()
	for b.Loop() {
		AppendMembers(nil, list)
	}
}
