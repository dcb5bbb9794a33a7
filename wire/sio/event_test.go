package sio_test

import (
	"testing"

	"github.com/meshrt/meshrt/wire/sio"
)

func TestEventName(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{`["foo"]`, "foo", true},
		{" [\t\"foo\" , 1]", "foo", true},
		{`["","x"]`, "", true},
		{`["a\"b\\",1]`, `a"b\`, true},
		{`["\u0066oo"]`, "foo", true},
		{`["é"]`, "é", true},
		{`["a,]b"]`, "a,]b", true},
		{`[1]`, "1", true},
		{`[1.0,2]`, "1", true},
		{`[-0 ]`, "0", true},
		{`[1e21]`, "1e+21", true},
		{`[0.0000001]`, "1e-7", true},
		{`[1e999]`, "", false},
		{`[]`, "", false},
		{`[ ]`, "", false},
		{`[null]`, "", false},
		{`[true]`, "", false},
		{`[{"toString":"foo"}]`, "", false},
		{`[["foo"]]`, "", false},
		{`{}`, "", false},
		{`"foo"`, "", false},
		{``, "", false},
		{`[`, "", false},
		{`["`, "", false},
		{`["\`, "", false},
		{`["\"`, "", false},
	} {
		if got, ok := sio.EventName([]byte(tt.in)); got != tt.want || ok != tt.ok {
			t.Errorf("EventName(%s) = %q, %v, want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

var reserved = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
