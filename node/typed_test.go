package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

type move struct {
	X, Y int
	Note string `json:"note"`
}

func typed(n *node.Node) {
	ns := n.Namespace("/")
	node.Handle(ns, "move", func(s *node.Session, m move) (int, error) {
		switch {
		case m.X < 0:
			return 0, node.Errorf(node.CodeForbidden, "off the board")
		case m.Y < 0:
			return 0, errors.New("broken")
		}
		return m.X + m.Y, nil
	})
	node.Handle(ns, "raw", func(s *node.Session, text json.RawMessage) (json.RawMessage, error) { return text, nil })
	node.Handle(ns, "file", func(s *node.Session, b []byte) ([]byte, error) { return append(b, '!'), nil })
	node.Handle(ns, "ping", func(s *node.Session, _ node.None) (node.None, error) { return node.None{}, nil })
	node.Handle(ns, "bad answer", func(s *node.Session, _ node.None) (func(), error) { return func() {}, nil })
	node.Handle2(ns, "say", func(s *node.Session, room string, m move) (string, error) { return room + m.Note, nil })
}

func TestTypedHandlersAnswer(t *testing.T) {
	alone(t, typed, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		for i, tt := range []struct {
			event string
			args  []any
			want  string
		}{
			{"move", []any{move{X: 2, Y: 3}, "ignored"}, `[5]`},
			{"move", []any{map[string]any{"x": 1, "other": true}}, `[1]`},
			{"move", []any{map[string]any{"x": "one"}}, `[{"ok":false,"error":"argument 1 of event \"move\": json: cannot unmarshal string into Go struct field move.X of type int","code":"invalid"}]`},
			{"move", nil, `[{"ok":false,"error":"event \"move\" has 0 arguments, want 1","code":"invalid"}]`},
			{"move", []any{move{X: -1}}, `[{"ok":false,"error":"off the board","code":"forbidden"}]`},
			{"move", []any{move{Y: -1}}, `[{"ok":false,"error":"broken","code":"unavailable"}]`},
			{"raw", []any{json.RawMessage(`{"b": 12345678901234567890, "a":1.0}`)}, `[{"b": 12345678901234567890, "a":1.0}]`},
			{"file", []any{[]byte("abc")}, `[{"_placeholder":true,"num":0}] [abc!]`},
			{"file", []any{"YWJj"}, `[{"_placeholder":true,"num":0}] [abc!]`},
			{"file", []any{json.RawMessage(`{"_placeholder":true,"num":0}`)}, `[{"ok":false,"error":"argument 1 of event \"file\": json: cannot unmarshal object into Go value of type []uint8","code":"invalid"}]`},
			{"ping", nil, `[{"ok":true}]`},
			{"ping", []any{1, 2}, `[{"ok":true}]`},
			{"bad answer", nil, `[{"ok":false,"error":"internal error","code":"unavailable"}]`},
			{"say", []any{"lobby", move{Note: "!"}}, `["lobby!"]`},
			{"say", []any{"lobby"}, `[{"ok":false,"error":"event \"say\" has 1 arguments, want 2","code":"invalid"}]`},
			{"say", []any{5, move{}}, `[{"ok":false,"error":"argument 1 of event \"say\": json: cannot unmarshal number into Go value of type string","code":"invalid"}]`},
		} {
			c.emit(uint64(i+1), tt.event, tt.args...)
			expect(t, c, fmt.Sprintf("ack %d %s", i+1, tt.want))
			c.emit(0, tt.event, tt.args...) // nobody wants to know
			expect(t, c)
		}
	})
}

func TestChecksRunBeforeHandlers(t *testing.T) {
	var heard notes
	setup := func(n *node.Node) {
		ns := n.Namespace("/")
		ns.Use(func(e *node.Event) error { heard.add("1 " + e.Name); return nil })
		ns.Use(func(e *node.Event) error {
			switch e.Name {
			case "secret":
				return &node.Error{Code: node.CodeForbidden, Message: "not for you"}
			case "panic":
				panic("a bug of the application")
			}
			return nil
		})
		ns.Use(func(e *node.Event) error { heard.add("3 " + e.Name); return nil })
		ns.On("e", func(e *node.Event) { e.Ack("e") })
		ns.On("secret", func(e *node.Event) { e.Ack("told") })
		ns.OnAny(func(e *node.Event) bool { e.Ack("any"); return true })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		for i, event := range []string{"e", "secret", "other", "panic"} {
			c.emit(uint64(i+1), event)
		}
		expect(t, c, `ack 1 ["e"]`, `ack 2 [{"ok":false,"error":"not for you","code":"forbidden"}]`, `ack 3 ["any"]`,
			`ack 4 [{"ok":false,"error":"internal error","code":"unavailable"}]`)
		if got := heard.take(); !slices.Equal(got, []string{"1 e", "3 e", "1 secret", "1 other", "3 other", "1 panic"}) {
			t.Errorf("checks %q", got)
		}
	})
}

func TestRoomsAreLeftBetweenDisconnectingAndDisconnect(t *testing.T) {
	var heard notes
	var n *node.Node
	report := func(what string) func(*node.Session, string) {
		return func(s *node.Session, reason string) {
			rooms, _, _ := n.Rooms(node.Query{})
			heard.add(fmt.Sprint(what, " ", reason, s.Rooms(), rooms, s.Context().Err()))
		}
	}
	setup := func(made *node.Node) {
		n = made
		n.Namespace("/").OnDisconnecting(report("disconnecting"))
		n.Namespace("/").OnDisconnecting(func(*node.Session, string) { panic("a bug of the application") })
		n.Namespace("/").OnDisconnect(report("disconnect"))
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.join("x")
		early := c.session.Context()
		if early.Err() != nil {
			t.Error("the context has ended before the session")
		}
		c.session.Close("transport close")
		c.session.Close("twice")
		want := []string{"disconnecting transport close[x] [{x 1 []}] context canceled", "disconnect transport close[x] [] context canceled"}
		if got := heard.take(); !slices.Equal(got, want) || early.Err() == nil {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

// A session that ends takes with it what runs for it alone.
func TestContextOfASessionEndsItsWork(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").On("subscribe", func(e *node.Event) {
			for i := 0; e.Session.Context().Err() == nil; i++ {
				e.Session.Emit("tick", i)
				select {
				case <-time.After(time.Second):
				case <-e.Session.Context().Done():
				}
			}
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		c.emit(0, "subscribe")
		time.Sleep(1500 * time.Millisecond)
		expect(t, c, `["tick",0]`, `["tick",1]`)
		start := time.Now()
		c.session.Close("transport close")
		if took := time.Since(start); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}
