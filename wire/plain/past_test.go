package plain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

func TestPastEvent(t *testing.T) {
	deep := func(n int) string { return `["e",` + strings.Repeat("[", n) + strings.Repeat("]", n) + `]` }
	for _, tt := range []struct {
		payload     string
		from        wire.SessionID
		attachments [][]byte
		want        string
	}{
		{`["e"]`, "", nil, `{"age_ms":1500,"id":"i","event":"e"}`},
		{`["e",12345678901234567890]`, "sid", nil, `{"age_ms":1500,"id":"i","event":"e","data":12345678901234567890,"from":"sid"}`},
		{`["e",1,{"_placeholder":true,"num":0}]`, "", [][]byte{{1}}, `{"age_ms":1500,"id":"i","event":"e","data":1,"args":[1,{"$binary":"AQ=="}]}`},
		{`["e",{"_placeholder":true,"num":1}]`, "", [][]byte{{1}}, ""},
		{`[]`, "", nil, ""},
		{`["e","` + "\xff" + `"]`, "", nil, ""},
		{`["e",x]`, "", nil, ""},
		{deep(wire.MaxDepth - 1), "", nil, ""},
		{deep(wire.MaxDepth - 4), "", nil, `{"age_ms":1500,"id":"i","event":"e","data":` + strings.TrimSuffix(deep(wire.MaxDepth - 4)[5:], "]") + `}`},
		{deep(wire.MaxDepth - 3), "", nil, ""},
	} {
		m := wire.NewMessage(wire.Envelope{From: tt.from, Attachments: tt.attachments}, []byte(tt.payload))
		got, err := plain.AppendPast([]byte(">"), m, "i", 1500*time.Millisecond)
		if string(got) != ">"+tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("AppendPast(%.40s) = %.80s, %v, want %.80s", tt.payload, got, err, tt.want)
		}
	}
}
