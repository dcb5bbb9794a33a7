package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

var jsonTexts = []string{
	``, ` `, `null`, `nul`, `nulll`, `true`, `false`, `t`, `-`, `-0`, `0`, `00`, `01`, `-1`, `1.`, `1.5`, `.5`, `1e`, `1e5`, `1E+5`, `1e-`, `0e0`, `-a`, `+1`,
	`"`, `""`, `"a`, `"a"`, `"\"`, `"\""`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u12aF"`, `"\ud800"`, `"12345678"`, `"1234567\"8"`, "\"1234567\n\"", "\"\x1f\"", "\"\x7f\"", "\"\xff\"", `"é"`,
	`[`, `]`, `[]`, `[ ]`, `[,]`, `[1,]`, `[1 2]`, `[1,2]`, ` [ 1 , 2 ] `, `[1]]`, `[[[]]]`, `[[[]]`,
	`{`, `{}`, `{ }`, `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":1,}`, `{"a":1,"b":[{}]}`, `{a:1}`, `{"a" : 1 , "b" : "c"}`, `{1:1}`, `{"a":1]`, "\x00", "\ufeff[]", `[1] x`,
	`["publish","room","m","mb1.0000.................................................."]`,
}

// nested is n arrays and objects in one another.
func nested(n int) string {
	return strings.Repeat(`[{"a":`, n/2) + `1` + strings.Repeat(`}]`, n/2)
}

func TestValidJSONIsJSONValid(t *testing.T) {
	texts := append([]string{nested(wire.MaxDepth), nested(wire.MaxDepth + 2), nested(9_998), nested(20_000), nested(wire.MaxDepth+2) + "]"}, jsonTexts...)
	for _, text := range texts {
		if got, want := wire.ValidJSON([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%.60q of %d bytes: %v, want %v", text, len(text), got, want)
		}
	}
}

// Each byte at each place of a string, so that the look at eight at a time is the same
// as at one.
func TestValidJSONLooksAtEachByteOfAString(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				text := []byte(`"` + strings.Repeat("x", size) + `"`)
				text[1+at] = byte(c)
				if got, want := wire.ValidJSON(text), json.Valid(text); got != want {
					t.Fatalf("%q: %v, want %v", text, got, want)
				}
			}
		}
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := wire.ValidJSON(text), json.Valid(text); got != want {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	text := []byte(`["publish","bench-0123abcd-0","m","` + strings.Repeat("x", 128) + `"]`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		wire.ValidJSON(text)
	}
}

func BenchmarkSplitArgs(b *testing.B) {
	text := []byte(`["publish","bench-0123abcd-0","m","` + strings.Repeat("x", 128) + `"]`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		wire.SplitArgs(text)
	}
}
