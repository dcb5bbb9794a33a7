package api

import (
	"encoding/json"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node"
)

// Whatever the body is, its arguments are JSON and its limits hold, or it is refused as the client's fault.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"room":"r","event":"e","data":{"a":[1]}}`, `{"rooms":["a","b"],"except":["c"],"event":"e","args":[1,"two",null],"priority":"high"}`,
		`{"to":"x","event":"e","idempotency_key":"k"}`, `{"data":null,"args":null}`, `{"event":"e"} {}`, `{"unknown":1}`, "{\"event\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, args, err := decode(body)
		if err != nil {
			if code := node.CodeOf(err); code != node.CodeInvalid && code != node.CodeLimit {
				t.Errorf("%q: %v has the code of a server's fault", body, err)
			}
			return
		}
		if !utf8.Valid(body) || len(m.Rooms) > maxRooms || len(m.Except) > maxRooms || m.Namespace == "" {
			t.Errorf("%q is taken: %+v", body, m)
		}
		for _, a := range args {
			if !json.Valid(a) {
				t.Errorf("%q has the argument %q", body, a)
			}
		}
	})
}

// Whatever a list is asked for with, it is within the limits or refused as the client's fault.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"namespace=/&room=r&limit=10&after=x", "since=1000", "since=7-0-1&limit=1", "since=1&since=2", "limit=+1", "limit=51", "limit=1001", "limit=99999999999999999999", "%", ";", "room=a&room=b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u := &url.URL{RawQuery: text}
		q, err := query(u, 50, "namespace", "room", "after", "limit")
		if err == nil && (q.Limit < 0 || q.Limit > 50) || err != nil && node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
		q, opt, err := historyQuery(u)
		if err == nil && (q.Namespace == "" || opt.Limit > node.MaxHistory || opt.Within < 0) || err != nil && node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("%q: %+v, %+v, %v", text, q, opt, err)
		}
	})
}
