package relay_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/wire"
)

// sink keeps the last answer.
type sink struct {
	mu  sync.Mutex
	ack string
}

func (s *sink) Deliver(d *node.Delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Kind == node.KindAck {
		s.ack = string(d.Args)
	}
	return true
}
func (*sink) Flush()     {}
func (*sink) Close(bool) {}

// history runs f with a function that asks as a client in the room "r", and gives its answer.
func history(t *testing.T, recovery time.Duration, f func(n *node.Node, ask func(args ...string) string)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{Recovery: recovery})
		if err != nil {
			t.Fatal(err)
		}
		relay.Attach(n.Namespace("/"))
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		defer func() { stop(); <-done }()
		synctest.Wait()
		s := &sink{}
		session, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: s, Affinity: n.NewAffinity()})
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Join(ctx, "r"); err != nil {
			t.Fatal(err)
		}
		f(n, func(args ...string) string {
			var list wire.Args
			for _, a := range args {
				list = append(list, json.RawMessage(a))
			}
			session.Receive(&node.Event{Name: "history", Args: list, AckID: 1, HasAck: true})
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.ack
		})
	})
}

func TestHistoryAnswersMembers(t *testing.T) {
	history(t, time.Minute, func(n *node.Node, ask func(...string) string) {
		room := n.In("/").To("r")
		if got, want := ask(`"r"`), `[{"ok":true,"messages":[],"missing":[]}]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		room.Emit("first", 1)
		time.Sleep(2 * time.Second)
		room.Emit("second", json.RawMessage("12345678901234567890"), []byte{1})
		room.EmitArgs("deep", wire.Args{json.RawMessage(strings.Repeat("[", 511) + strings.Repeat("]", 511))}, nil) // is left out
		room.Emit("third")
		for _, tt := range []struct{ options, want string }{
			{`null`, `[{"ok":true,"messages":[{"age_ms":2000,"id":"ID","event":"first","data":1},` +
				`{"age_ms":0,"id":"ID","event":"second","data":12345678901234567890,"args":[12345678901234567890,{"$binary":"AQ=="}]},` +
				`{"age_ms":0,"id":"ID","event":"third"}],"missing":[]}]`},
			{`{"limit":1,"since":null}`, `[{"ok":true,"messages":[{"age_ms":0,"id":"ID","event":"third"}],"more":true,"missing":[]}]`},
			{`{"since":1000,"limit":1}`, `[{"ok":true,"messages":[{"age_ms":0,"id":"ID","event":"third"}],"more":true,"missing":[]}]`},
		} {
			if got := ids.ReplaceAllString(ask(`"r"`, tt.options), `"id":"ID"`); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.options, got, tt.want)
			}
		}
		id := ids.FindStringSubmatch(ask(`"r"`))[1]
		got := ids.ReplaceAllString(ask(`"r"`, `{"since":"`+id+`"}`), `"id":"ID"`)
		if strings.Contains(got, "first") || !strings.Contains(got, "second") || strings.Contains(got, "more") {
			t.Errorf("since an id: %s", got)
		}
	})
}

var ids = regexp.MustCompile(`"id":"([^"]*)"`)

func TestHistoryRefuses(t *testing.T) {
	history(t, time.Minute, func(n *node.Node, ask func(...string) string) {
		for args, want := range map[string][2]string{
			`"elsewhere"`:               {"forbidden", "join it first"},
			`""`:                        {"invalid", "room"},
			`7`:                         {"invalid", "room"},
			`"r" 7`:                     {"invalid", "object"},
			`"r" {"limit":0}`:           {"invalid", "limit"},
			`"r" {"limit":1001}`:        {"invalid", "limit"},
			`"r" {"limit":"x"}`:         {"invalid", "limit"},
			`"r" {"since":0}`:           {"invalid", "since"},
			`"r" {"since":-1}`:          {"invalid", "since"},
			`"r" {"since":1e300}`:       {"invalid", "since"},
			`"r" {"since":"x"}`:         {"invalid", "since"},
			`"r" {"since":""}`:          {"invalid", "since"},
			`"r" {"before":"x"}`:        {"invalid", "before"},
			`"` + n.ID().String() + `"`: {"forbidden", "join it first"},
		} {
			if got := ask(strings.Fields(args)...); !strings.Contains(got, `"code":"`+want[0]+`"`) || !strings.Contains(got, want[1]) {
				t.Errorf("%s: got %s, want %s and to hear of %s", args, got, want[0], want[1])
			}
		}
	})
	history(t, 0, func(_ *node.Node, ask func(...string) string) {
		if got := ask(`"r"`); !strings.Contains(got, `"code":"unavailable"`) || !strings.Contains(got, "-recovery") {
			t.Errorf("without recovery: %s", got)
		}
	})
}
