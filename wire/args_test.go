package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestSplitArgs(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{`[]`, []string{}},
		{` [ ] `, []string{}},
		{`["a"]`, []string{`"a"`}},
		{strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), []string{strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1)}},
		{`["a", 1 ,{"b":[1,"]"]},[[]],null,"\"],",12345678901234567890123]`,
			[]string{`"a"`, `1`, `{"b":[1,"]"]}`, `[[]]`, `null`, `"\"],"`, `12345678901234567890123`}},
	} {
		got, err := SplitArgs([]byte(tt.in))
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("SplitArgs(%s) = %q, %v", tt.in, got, err)
			continue
		}
		for i := range got {
			if string(got[i]) != tt.want[i] {
				t.Errorf("SplitArgs(%s)[%d] = %s, want %s", tt.in, i, got[i], tt.want[i])
			}
		}
	}
	for _, bad := range []string{``, `{}`, `"[]"`, `1`, `[` + strings.Repeat("1,", MaxArgs) + `1]`,
		strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)} {
		if got, err := SplitArgs([]byte(bad)); err == nil {
			t.Errorf("SplitArgs(%.20s) = %q, want an error", bad, got)
		}
	}
}

func TestMarshalArgs(t *testing.T) {
	payload, att, err := MarshalArgs("e", 1, []byte{7}, "<a>", json.RawMessage(`{ "b":1 }`))
	want := `["e",1,{"_placeholder":true,"num":0},"<a>",{ "b":1 }]`
	if err != nil || string(payload) != want || len(att) != 1 || att[0][0] != 7 {
		t.Errorf("got %s, %v, %v, want %s", payload, att, err, want)
	}
	if _, _, err := MarshalArgs("e", func() {}); err == nil || !strings.Contains(err.Error(), `argument 1 of event "e"`) {
		t.Errorf("error %v does not name the argument", err)
	}
}

func TestPlaceholders(t *testing.T) {
	const p0, p1 = `{"_placeholder":true,"num":0}`, `{"num":1,"_placeholder":true}`
	for _, tt := range []struct {
		in string
		n  int
		ok bool
	}{
		{`["e"]`, 0, true},
		{`["e",` + p0 + `]`, 1, true},
		{`["e",{"a":[` + p1 + `,{"b":` + p0 + `}]}]`, 2, true},
		{`["e","` + strings.ReplaceAll(p0, `"`, `\"`) + `"]`, 0, true},
		{`["e",{"_placeholder":false,"num":0}]`, 0, true},
		{`["e",` + p0 + `]`, 0, true}, // no binary packet: data
		{`["e",` + p0 + `,{"_\u0070laceholder":true,"num":0}]`, 1, false},
		{`["e",` + p0 + `,{"_placeholder":true,"num":[]}]`, 1, false},
		{`["e",{"_placeholder":true,"NUM":0}]`, 1, false},
		{`["e",` + p0 + `]`, 2, false},
		{`["e",` + p0 + `,` + p0 + `]`, 1, false},
		{`["e",{"_placeholder":true,"num":"splice"}]`, 1, false},
		{`["e",{"_placeholder":true,"num":-1}]`, 1, false},
		{`["e",{"_placeholder":true,"num":0.5}]`, 1, false},
		{`["e",{"_placeholder":true}]`, 1, false},
	} {
		got, err := Placeholders([]byte(tt.in), tt.n)
		if (err == nil) != tt.ok {
			t.Errorf("Placeholders(%s, %d) = %v, %v", tt.in, tt.n, got, err)
		}
	}
}

func FuzzArgs(f *testing.F) {
	f.Add([]byte(`["e",{"_placeholder":true,"num":0},"\u0000]",[[1,{}]]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := SplitArgs(b)
		_, _ = Placeholders(b, 1)
		var want []json.RawMessage
		if !json.Valid(b) || b[skipSpace(b, 0)] != '[' {
			return
		}
		if e := json.Unmarshal(b, &want); e != nil || len(want) > MaxArgs || CheckDepth(b) != nil {
			return
		}
		if err != nil || len(got) != len(want) {
			t.Fatalf("SplitArgs(%q) = %q, %v; encoding/json has %q", b, got, err, want)
		}
		for i := range got {
			if !bytes.Equal(bytes.TrimSpace(want[i]), got[i]) {
				t.Fatalf("SplitArgs(%q)[%d] = %q, want %q", b, i, got[i], want[i])
			}
		}
	})
}

func TestReservedNames(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if !ReservedEvent(name) {
			t.Errorf("ReservedEvent(%q) = false", name)
		}
	}
	for _, name := range []string{"", "message", "Connect", "connection", "disconnected", "connect ", "error"} {
		if ReservedEvent(name) {
			t.Errorf("ReservedEvent(%q) = true", name)
		}
	}
}
