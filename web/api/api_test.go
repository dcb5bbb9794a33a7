package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

// listener is a Sink that collects payloads.
type listener struct {
	mu  sync.Mutex
	got []string
}

func (l *listener) Deliver(d *node.Delivery) bool {
	if d.Kind == node.KindEvent {
		l.mu.Lock()
		defer l.mu.Unlock()
		payload := string(d.Message.Payload)
		if p := node.PriorityOf(d.Message); p != node.Normal {
			payload = p.String() + payload
		}
		l.got = append(l.got, payload)
	}
	return true
}
func (*listener) Flush()     {}
func (*listener) Close(bool) {}

func (l *listener) take() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// serve runs f in a bubble with an API on a node that has two sessions, the
// first of which is in the room "x".
func serve(t *testing.T, cfg api.Config, f func(t *testing.T, s *webtest.Server, a, b *listener, ids []string)) {
	serveWith(t, node.Config{}, cfg, f)
}

// serveWith is serve on a node of another Config.
func serveWith(t *testing.T, nc node.Config, cfg api.Config, f func(t *testing.T, s *webtest.Server, a, b *listener, ids []string)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		n.Namespace("/")
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		a, b := &listener{}, &listener{}
		var ids []string
		for _, l := range []*listener{a, b} {
			s, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: l})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.ID())
			if l == a {
				s.Join(ctx, "x")
			}
		}
		s := webtest.Serve(t, api.NewHandler(cfg, n))
		f(t, s, a, b, ids)
		s.Stop()
		stop()
		<-done
		time.Sleep(time.Second) // http.Server lingers after a body that was too large
	})
}

func TestPublishBroadcastAndDirect(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, a, b *listener, ids []string) {
		for _, tt := range []struct{ path, body, a, b string }{
			{"/api/publish", `{"room":"x","event":"e","data":{"b":1, "a":12345678901234567890}}`, `["e",{"b":1, "a":12345678901234567890}]`, ""},
			{"/api/publish", `{"rooms":["x","y"],"event":"e","args":[1,"2"]}`, `["e",1,"2"]`, ""},
			{"/api/publish", `{"rooms":["x"],"except":["x"],"event":"e"}`, "", ""},
			{"/api/publish", `{"room":"x","event":"e","volatile":true}`, `["e"]`, ""},
			{"/api/publish", `{"room":"x","event":"e","priority":"high"}`, `high["e"]`, ""},
			{"/api/publish", `{"room":"x","event":"e","priority":"normal","volatile":true}`, `["e"]`, ""},
			{"/api/publish", `{"room":"x","event":"e","priority":null}`, `["e"]`, ""},
			{"/api/broadcast", `{"event":"e","priority":"low"}`, `low["e"]`, `low["e"]`},
			{"/api/direct", fmt.Sprintf(`{"to":%q,"event":"e","priority":"high"}`, ids[1]), "", `high["e"]`},
			{"/api/publish", `{"room":"x","namespace":"/other","event":"e"}`, "", ""},
			{"/api/broadcast", `{"event":"e","data":null}`, `["e",null]`, `["e",null]`},
			{"/broadcast", `{"event":"e"}`, `["e"]`, `["e"]`},
			{"/api/direct", fmt.Sprintf(`{"to":%q,"event":"e","data":1}`, ids[1]), "", `["e",1]`},
		} {
			status, answer := s.Post(tt.path, tt.body)
			if status != 200 || answer != `{"ok":true}` {
				t.Errorf("%s %s: %d %s", tt.path, tt.body, status, answer)
			}
			for l, want := range map[*listener]string{a: tt.a, b: tt.b} {
				if got := strings.Join(l.take(), " "); got != want {
					t.Errorf("%s %s: got %q, want %q", tt.path, tt.body, got, want)
				}
			}
		}
	})
}

func TestARequestWithAKeyIsMadeOnce(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, a, b *listener, ids []string) {
		for i, tt := range []struct{ path, body, got string }{
			{"/api/publish", `{"room":"x","event":"e","data":1,"idempotency_key":"k1"}`, `["e",1]`},
			{"/api/broadcast", `{"event":"e","data":2,"idempotency_key":"k2"}`, `["e",2] ["e",2]`},
			{"/api/direct", fmt.Sprintf(`{"to":%q,"event":"e","data":3,"idempotency_key":"k3"}`, ids[0]), `["e",3]`},
			{"/api/publish", `{"room":"x","event":"e","data":1,"idempotency_key":null}`, `["e",1]`},
		} {
			for try, want := range []string{tt.got, ""} {
				if i == 3 {
					want = tt.got // no key
				}
				if status, answer := s.Post(tt.path, tt.body); status != 200 || answer != `{"ok":true}` {
					t.Errorf("%s, try %d: %d %s", tt.body, try, status, answer)
				}
				if got := strings.Join(append(a.take(), b.take()...), " "); got != want {
					t.Errorf("%s, try %d: got %q, want %q", tt.body, try, got, want)
				}
			}
		}
		for _, body := range []string{
			`{"room":"x","event":"e","data":2,"idempotency_key":"k1"}`, `{"room":"y","event":"e","data":1,"idempotency_key":"k1"}`,
			`{"room":"x","event":"e","data":1,"idempotency_key":""}`, `{"room":"x","event":"e","idempotency_key":7}`,
			`{"room":"x","event":"e","idempotency_key":"` + strings.Repeat("k", 129) + `"}`,
		} {
			if status, answer := s.Post("/api/publish", body); status != 400 || !strings.Contains(answer, `"invalid"`) || !strings.Contains(answer, "idempotency_key") {
				t.Errorf("%.80s: %d %s", body, status, answer)
			}
		}
	})
}

func TestMistakesAreNamed(t *testing.T) {
	serve(t, api.Config{MaxBody: 1000}, func(t *testing.T, s *webtest.Server, a, b *listener, ids []string) {
		gone := string(wire.NewSessionID(99))
		for _, tt := range []struct {
			path, body string
			status     int
			code, want string
		}{
			{"/api/publish", `{`, 400, "invalid", "body"},
			{"/api/publish", `{"room":"x","event":"e"} {}`, 400, "invalid", "more than one"},
			{"/api/publish", `[]`, 400, "invalid", "body"},
			{"/api/publish", `{"room":"x","event":"e","idempotency_kye":"1"}`, 400, "invalid", "idempotency_kye"},
			{"/api/publish", `{"event":"e"}`, 400, "invalid", "room is missing"},
			{"/api/publish", `{"room":"x"}`, 400, "invalid", "event name is empty"},
			{"/api/publish", `{"room":"x","event":"connect"}`, 400, "invalid", "reserved"},
			{"/api/publish", `{"room":"x","event":"e","data":1,"args":[]}`, 400, "invalid", "not both"},
			{"/api/publish", `{"room":"x","event":"e","args":{}}`, 400, "invalid", "args"},
			{"/api/publish", `{"room":"x","event":"e","namespace":"nope"}`, 400, "invalid", "nope"},
			{"/api/publish", `{"room":"x","event":"e","to":"y"}`, 400, "invalid", "to is for"},
			{"/api/publish", "{\"room\":\"x\",\"event\":\"e\",\"data\":\"\xff\"}", 400, "invalid", "UTF-8"},
			{"/api/publish", `{"room":"x","event":"e","data":"` + strings.Repeat("x", 1000) + `"}`, 413, "limit", "1000"},
			{"/api/publish", `{"room":"x","event":"e","priority":"urgent"}`, 400, "invalid", `priority must be high, normal or low, not "urgent"`},
			{"/api/broadcast", `{"event":"e","priority":""}`, 400, "invalid", `priority must be high, normal or low, not ""`},
			{"/api/direct", `{"to":"` + ids[0] + `","event":"e","priority":"HIGH"}`, 400, "invalid", `priority must be high, normal or low, not "HIGH"`},
			{"/api/publish", `{"room":"x","event":"e","priority":1}`, 400, "invalid", "priority"},
			{"/api/broadcast", `{"room":"x","event":"e"}`, 400, "invalid", "/api/publish"},
			{"/api/direct", `{"event":"e"}`, 400, "invalid", "to is missing"},
			{"/api/direct", `{"to":"me","event":"e"}`, 400, "invalid", "no socket id"},
			{"/api/direct", `{"to":"` + gone + `","event":"e"}`, 404, "unavailable", "no socket"},
			{"/api/nothing", `{}`, 404, "invalid", "/api/nothing"},
			{"/api/nodes", `{}`, 405, "invalid", "takes GET"},
		} {
			status, answer := s.Post(tt.path, tt.body)
			var body struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal([]byte(answer), &body); err != nil {
				t.Errorf("%s: answer %q is no JSON", tt.path, answer)
			}
			if status != tt.status || body.Error.Code != tt.code || !strings.Contains(body.Error.Message, tt.want) {
				t.Errorf("%s %.60s: %d %s, want %d %s with %q", tt.path, tt.body, status, answer, tt.status, tt.code, tt.want)
			}
		}
		if got := append(a.take(), b.take()...); len(got) != 0 {
			t.Errorf("clients got %q", got)
		}
		if status, _ := s.Get("/api/publish"); status != 405 {
			t.Errorf("GET of a POST route: %d", status)
		}
	})
}

func TestRoomLimitOfARequest(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, _, _ *listener, _ []string) {
		rooms := slices.Repeat([]string{"x"}, 1000)
		body := func(rooms []string) string {
			text, _ := json.Marshal(map[string]any{"rooms": rooms, "event": "e"})
			return string(text)
		}
		if status, answer := s.Post("/api/publish", body(rooms)); status != 200 {
			t.Errorf("1000 rooms: %d %s", status, answer)
		}
		if status, answer := s.Post("/api/publish", body(append(rooms, "x"))); status != 413 {
			t.Errorf("1001 rooms: %d %s", status, answer)
		}
	})
}

func TestKeysAreAskedFor(t *testing.T) {
	serve(t, api.Config{Keys: []string{"one", "two"}}, func(t *testing.T, s *webtest.Server, _, _ *listener, _ []string) {
		for _, tt := range []struct {
			headers []string
			want    int
		}{
			{nil, 401},
			{[]string{"X-API-Key", "three"}, 401},
			{[]string{"Authorization", "Basic one"}, 401},
			{[]string{"X-API-Key", "one"}, 200},
			{[]string{"Authorization", "Bearer two"}, 200},
			{[]string{"Authorization", "bearer two"}, 200},
		} {
			if got, _ := s.Get("/api/nodes", tt.headers...); got != tt.want {
				t.Errorf("%q: %d, want %d", tt.headers, got, tt.want)
			}
		}
	})
}

// TestPagesOfOtherSitesCannotCall: on loopback no key is needed, and every
// page that a browser on this machine has open can reach loopback.
func TestPagesOfOtherSitesCannotCall(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, a, _ *listener, _ []string) {
		for _, headers := range [][]string{
			{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Content-Type", "text/plain"},
			{"Content-Type", "application/x-www-form-urlencoded"},
			{"Host", "evil.example:7980", "Origin", "http://evil.example:7980", "Sec-Fetch-Site", "same-origin"}, // DNS rebinding
		} {
			if status, _ := s.Post("/broadcast", `{"event":"e"}`, headers...); status != 403 && status != 415 {
				t.Errorf("%q: %d", headers, status)
			}
		}
		if got := a.take(); len(got) != 0 {
			t.Errorf("clients got %q", got)
		}
	})
}

func TestNodesAndDescription(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, _, _ *listener, _ []string) {
		_, answer := s.Get("/api/nodes")
		var body struct {
			Nodes []struct {
				Name, Boot, State string
				Sockets           int
			}
		}
		if err := json.Unmarshal([]byte(answer), &body); err != nil || len(body.Nodes) != 1 || body.Nodes[0].State != "self" ||
			body.Nodes[0].Sockets != 2 || len(body.Nodes[0].Boot) != 13 {
			t.Errorf("nodes %s, %v", answer, err)
		}
		_, answer = s.Get("/api/openapi.json")
		var doc struct {
			Paths map[string]map[string]any
		}
		if err := json.Unmarshal([]byte(answer), &doc); err != nil {
			t.Fatal(err)
		}
		for path, methods := range doc.Paths {
			for method := range methods {
				status, _ := s.Get(path)
				if method == "post" {
					status, _ = s.Post(path, `{}`)
				}
				if status == 404 || status == 405 {
					t.Errorf("%s %s is described and not there", method, path)
				}
			}
		}
	})
}

func TestListsArePagedAndStrict(t *testing.T) {
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, _, _ *listener, ids []string) {
		slices.Sort(ids)
		for path, want := range map[string]string{
			"/api/rooms":                  `{"rooms":[{"room":"x","sockets":1,"nodes":[""]}],"missing":[]}`,
			"/api/rooms?namespace=/other": `{"rooms":[],"missing":[]}`,
			"/api/rooms?after=x":          `{"rooms":[],"missing":[]}`,
			"/api/sockets?room=nobody":    `{"sockets":[],"missing":[]}`,
			"/api/presence?room=nobody":   `{"members":[],"missing":[]}`,
		} {
			if status, got := s.Get(path); status != 200 || got != want {
				t.Errorf("%s: %d %s, want %s", path, status, got, want)
			}
		}
		var body struct {
			Sockets []struct {
				ID    string
				Rooms []string
			}
			Next string
		}
		_, got := s.Get("/api/sockets?limit=1")
		if err := json.Unmarshal([]byte(got), &body); err != nil || len(body.Sockets) != 1 || body.Sockets[0].ID != ids[0] || body.Next != ids[0] {
			t.Errorf("first page %s, %v", got, err)
		}
		_, got = s.Get("/api/presence?room=x")
		if !strings.HasPrefix(got, `{"members":[{"id":"`) || !strings.HasSuffix(got, `","user":"","info":null,"node":""}],"missing":[]}`) {
			t.Errorf("presence: %s", got)
		}
		if status, got := s.Get("/api/presence"); status != 400 {
			t.Errorf("presence of no room: %d %s", status, got)
		}
		for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "rooms=x", "after=a&after=b", "%zz"} {
			if status, got := s.Get("/api/sockets?" + bad); status != 400 {
				t.Errorf("%s: %d %s", bad, status, got)
			}
		}
	})
}
