package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

func root(n *node.Node) { n.Namespace("/") }

func TestRoomMembersGetAMessageOnceAndNobodyElse(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a, b, c, d := connect(t, n, "/"), connect(t, n, "/"), connect(t, n, "/"), connect(t, n, "/")
		a.join("x")
		b.join("x")
		b.join("y")
		c.join("y")
		n.In("/").To("x", "y").Emit("e", 1)
		for _, m := range []*client{a, b, c} {
			expect(t, m, `["e",1]`)
		}
		expect(t, d)
	})
}

func TestSenderAndExceptedMembersGetNothing(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a, b, c, d := connect(t, n, "/"), connect(t, n, "/"), connect(t, n, "/"), connect(t, n, "/")
		for _, m := range []*client{a, b, c, d} {
			m.join("x")
		}
		c.join("quiet")
		a.session.To("x").Except("quiet", d.session.ID()).Emit("e")
		expect(t, b, `["e"]`)
		for _, m := range []*client{a, c, d} {
			expect(t, m)
		}
		a.session.Broadcast().Emit("all")
		expect(t, a)
		for _, m := range []*client{b, c, d} {
			expect(t, m, `["all"]`)
		}
	})
}

func TestSessionIDIsARoomOfItsOwn(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/")
		b.join("x")
		n.In("/").To(b.session.ID(), "x").Emit("once")
		expect(t, b, `["once"]`)
		expect(t, a)
		var e *node.Error
		if err := a.session.Join(t.Context(), b.session.ID()); !errors.As(err, &e) || e.Code != node.CodeForbidden {
			t.Errorf("joining another session's room: %v, want forbidden", err)
		}
		if err := a.session.Join(t.Context(), a.session.ID()); err != nil {
			t.Errorf("joining the own room: %v", err)
		}
		if got := a.session.Rooms(); len(got) != 0 {
			t.Errorf("rooms %q", got)
		}
	})
}

func TestNamespacesAreApart(t *testing.T) {
	alone(t, func(n *node.Node) { n.Namespace("/"); n.Namespace("/b") }, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/b")
		a.join("x")
		b.join("x")
		n.In("/b").To("x").Emit("e")
		n.In("/").To(b.session.ID()).Emit("e") // an id of another namespace
		expect(t, a)
		expect(t, b, `["e"]`)
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/c", Sink: &client{t: t}}); err == nil || err.Error() != "Invalid namespace" {
			t.Errorf("unknown namespace: %v", err)
		}
	})
}

func TestDynamicNamespaceGoesWithItsLastSession(t *testing.T) {
	made := 0
	setup := func(n *node.Node) {
		n.NamespaceFunc(func(name string) bool { return strings.HasPrefix(name, "/game-") }, func(ns *node.Namespace) {
			made++
			ns.On("ping", func(e *node.Event) { e.Ack("pong") })
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/game-1"), connect(t, n, "/game-1")
		a.emit(1, "ping")
		expect(t, a, `ack 1 ["pong"]`)
		if made != 1 {
			t.Errorf("made %d times, want once", made)
		}
		a.session.Close("x")
		b.session.Close("x")
		connect(t, n, "/game-1").session.Close("x")
		if made != 2 {
			t.Errorf("made %d times, want twice", made)
		}
		if s := n.Stats(); s.Sessions != 0 || s.Rooms != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

// TestLeaveAckOvertakesNothing: what was published before the leave comes before its ack, and nothing after.
func TestLeaveAckOvertakesNothing(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").On("leave", func(e *node.Event) { e.Session.Leave("x"); e.Ack("left") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("x")
		for i := range 100 {
			n.In("/").To("x").Emit("e", i)
		}
		a.emit(7, "leave")
		synctest.Wait() // its handler has run
		for i := range 100 {
			n.In("/").To("x").Emit("e", 100+i)
		}
		expect(t, a, append(numbered("e", 0, 100), `ack 7 ["left"]`)...)
	})
}

func TestWhatIsEmittedOnConnectFollowsTheConnect(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			s.Emit("welcome", string(s.Handshake().Auth))
			err := s.Join(context.Background(), "lobby")
			s.Namespace().To("lobby").Emit("joined") // the joiner too, as in Socket.IO's connection handler
			return err
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := &client{t: t}
		s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c, Handshake: node.Handshake{Auth: []byte(`{"a":1}`)}})
		if err != nil {
			t.Fatal(err)
		}
		n.In("/").To("lobby").Emit("hi")
		expect(t, c, "connect", `["welcome","{\"a\":1}"]`, `["joined"]`, `["hi"]`)
		if got := s.Rooms(); !slices.Equal(got, []string{"lobby"}) {
			t.Errorf("rooms %q", got)
		}
	})
}

func TestRefusedConnectLeavesNothingBehind(t *testing.T) {
	refusal := &node.Error{Code: node.CodeForbidden, Message: "go away", Data: map[string]int{"retry": 5}}
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			s.Join(context.Background(), "x")
			return refusal
		})
		n.Namespace("/panic").OnConnect(func(*node.Session) error { panic("boom") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		c := &client{t: t}
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c}); !errors.Is(err, refusal) {
			t.Errorf("error %v, want the handler's", err)
		}
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/panic", Sink: c}); err == nil || strings.Contains(err.Error(), "boom") {
			t.Errorf("panic: error %v, want one that tells nothing", err)
		}
		expect(t, c)
		if s := n.Stats(); s.Sessions != 0 || s.Rooms != 0 || s.Panics != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestUnhandledAndReservedEventsAreAnswered(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").On("boom", func(*node.Event) { panic("boom") })
		n.Namespace("/").OnAny(func(e *node.Event) bool {
			if e.Name == "any" {
				if err := e.Ack(func() {}); err == nil { // no JSON; the answer is still to be had
					t.Error("a func is taken for an answer")
				}
				e.Ack(len(e.Args))
				e.Ack("second answers do not count")
			}
			return e.Name == "any"
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.emit(1, "nobody")
		a.emit(2, "connect")
		a.emit(3, "any", 1, 2)
		a.emit(4, "boom")
		a.emit(0, "nobody")
		expect(t, a,
			`ack 1 [{"ok":false,"error":"no handler for event \"nobody\"","code":"invalid"}]`,
			`ack 2 [{"ok":false,"error":"event name \"connect\" is reserved","code":"invalid"}]`,
			`ack 3 [2]`,
			`ack 4 [{"ok":false,"error":"internal error","code":"unavailable"}]`)
	})
}

func TestOperatorsRefuseWhatCannotBeSent(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		for _, tt := range []struct {
			err  error
			code node.Code
		}{
			{n.In("/").Emit(""), node.CodeInvalid},
			{n.In("/").Emit("disconnect"), node.CodeInvalid},
			{n.In("x").Emit("e"), node.CodeInvalid},
			{n.In("/").To("").Emit("e"), node.CodeInvalid},
			{n.In("/").To(strings.Repeat("r", node.MaxRoomName+1)).Emit("e"), node.CodeInvalid},
			{n.In("/").To("\xff").Emit("e"), node.CodeInvalid},
			{n.In("/").Emit("e", func() {}), node.CodeInvalid},
			{n.In("/").Emit("e", json.RawMessage("\"\xff\"")), node.CodeInvalid},
			{n.In("/").EmitArgs("e", wire.Args{[]byte(`1],["x"`)}, nil), node.CodeInvalid},
			{n.In("/").EmitArgs("e", make(wire.Args, wire.MaxArgs), nil), node.CodeLimit},
			{n.In("/").Emit("e", make([]byte, wire.MaxMessage+1)), node.CodeLimit},
			{n.In("/").Direct("nobody", "e", nil, nil), node.CodeInvalid},
			{n.In("/").Direct(string(wire.NewSessionID(n.ID())), "e", nil, nil), node.CodeUnavailable},
			{n.In("/").Direct(string(wire.NewSessionID(99)), "e", nil, nil), node.CodeUnavailable},
		} {
			if tt.err == nil || node.CodeOf(tt.err) != tt.code {
				t.Errorf("error %v, want code %s", tt.err, tt.code)
			}
		}
		if err := n.In("/").To(strings.Repeat("r", node.MaxRoomName)).Emit("e"); err != nil {
			t.Error(err)
		}
	})
}

func TestRoomLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := node.New(node.Config{MaxRooms: 2})
		n.Namespace("/")
		ctx, cancel := context.WithCancel(t.Context())
		go n.Run(ctx)
		a := connect(t, n, "/")
		a.join("1")
		if err := a.session.Join(ctx, "2", "3"); node.CodeOf(err) != node.CodeLimit {
			t.Errorf("third room: %v, want limit", err)
		}
		a.join("2")
		a.join("2")
		if got := a.session.Rooms(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("rooms %q: a refused join must change nothing", got)
		}
		cancel()
	})
}

func TestClosedSessionIsGoneEverywhere(t *testing.T) {
	var left []string
	setup := func(n *node.Node) {
		n.Namespace("/").OnDisconnect(func(s *node.Session, reason string) {
			left = append(left, reason, fmt.Sprint(s.Rooms()))
			s.To("x").Emit("bye", s.ID())
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/")
		a.join("x")
		b.join("x")
		a.session.Close("transport close")
		a.session.Close("again")
		if want := []string{"transport close", "[x]"}; !slices.Equal(left, want) {
			t.Errorf("handler saw %q, want %q", left, want)
		}
		expect(t, b, fmt.Sprintf(`["bye",%q]`, a.session.ID()))
		expect(t, a)
		if err := a.session.Join(t.Context(), "y"); !errors.Is(err, node.ErrClosed) {
			t.Errorf("join after close: %v", err)
		}
		if s := n.Stats(); s.Sessions != 1 || s.Rooms != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDisconnectComesAfterWhatWasEmittedAndBeforeTheRest(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("x")
		a.session.Emit("last")
		a.session.Disconnect(true)
		a.session.Emit("late")
		n.In("/").To("x").Emit("late")
		n.In("/").Emit("late")
		expect(t, a, `["last"]`, "close true")
	})
}

// TestG2HoldsWhileASessionOpens: "join, then load the history" loses nothing.
func TestG2HoldsWhileASessionOpens(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			if err := s.Join(context.Background(), "lobby"); err != nil {
				return err
			}
			time.Sleep(time.Second) // loads something
			return nil
		})
		n.Namespace("/kick").OnConnect(func(s *node.Session) error { s.Disconnect(false); return nil })
		n.Namespace("/flood").OnConnect(func(s *node.Session) error {
			for i := range 5000 {
				s.Emit("e", i)
			}
			return nil
		})
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		go func() {
			for i := range 20 {
				time.Sleep(100 * time.Millisecond)
				n.In("/").To("lobby").Emit("e", i)
			}
		}()
		c := &client{t: t}
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		expect(t, c, append([]string{"connect"}, numbered("e", 0, 20)...)...)

		c = &client{t: t}
		n.Open(t.Context(), node.SessionConfig{Namespace: "/kick", Sink: c})
		expect(t, c, "connect", "close false")

		c = &client{t: t} // more than may wait: ended, not left with a hole
		n.Open(t.Context(), node.SessionConfig{Namespace: "/flood", Sink: c})
		synctest.Wait()
		if got := c.take(); len(got) != 1+4096+1 || got[len(got)-1] != "close true" {
			t.Errorf("%d deliveries, the last %q", len(got), got[len(got)-1])
		}
	})
}

func TestPanicsOfTheApplicationEndNothingElse(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/")
		n.NamespaceFunc(func(name string) bool { return strings.Split(name, "-")[1] == "x" }, func(*node.Namespace) {})
		n.NamespaceFunc(func(name string) bool { return true }, func(*node.Namespace) { panic("boom") })
	}
	alone(t, setup, func(t *testing.T, n *node.Node) {
		for _, name := range []string{"/a", "/a-y"} {
			if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: name, Sink: &client{t: t}}); err == nil {
				t.Errorf("%s is open", name)
			}
		}
		a := connect(t, n, "/")
		a.session.JoinFunc([]string{"x"}, func(error) { panic("boom") })
		n.In("/").To("x").Emit("e")
		expect(t, a, `["e"]`)
		if got := n.Stats().Panics; got != 3 {
			t.Errorf("%d panics counted, want 3", got)
		}
	})
}

func TestNamespaceThatIsNamedStays(t *testing.T) {
	alone(t, func(n *node.Node) {
		n.NamespaceFunc(func(string) bool { return true }, func(*node.Namespace) {})
	}, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/later")
		n.Namespace("/later").On("ping", func(e *node.Event) { e.Ack("pong") })
		a.session.Close("x")
		a = connect(t, n, "/later")
		a.emit(1, "ping")
		expect(t, a, `ack 1 ["pong"]`)
	})
}

// TestJoinsThatWaitAreLimited: a client cannot fill the memory while another
// node is silent; its reader waits instead.
func TestJoinsThatWaitAreLimited(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Second)
		start := time.Now()
		var acked sync.WaitGroup
		acked.Add(65)
		for i := range 65 {
			if took := time.Since(start); i <= 64 && took != 0 {
				t.Errorf("join %d waited %v", i, took)
			}
			a.session.JoinFunc([]string{fmt.Sprint(i)}, func(error) { acked.Done() })
		}
		if took := time.Since(start); took < time.Second {
			t.Errorf("the 65th join did not wait: %v", took)
		}
		acked.Wait()
	})
}

func TestNobodyWaitsForANodeThatHasStopped(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Hour)
		errs := make(chan error, 2)
		go func() { errs <- a.session.Join(context.Background(), "x") }()
		go func() {
			_, err := b.nodes[0].Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}})
			errs <- err
		}()
		synctest.Wait()
		b.stops[0]()
		if err := <-errs; err != nil && !errors.Is(err, node.ErrNotNow) {
			t.Errorf("join: %v", err)
		}
		<-errs
	})
}

// TestStartingNodeIsNotHeldUpByEarlyClients: it settles when it is in step, not
// after its patience.
func TestStartingNodeIsNotHeldUpByEarlyClients(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		for range 5 {
			n := b.start(root)
			for _, h := range b.hosts[:len(b.hosts)-1] {
				b.net.SetDelay(h, b.hosts[len(b.hosts)-1], 5*time.Millisecond)
				b.net.SetDelay(b.hosts[len(b.hosts)-1], h, 5*time.Millisecond)
			}
			start := time.Now()
			s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("open took %v", took)
			}
			s.Close("done")
		}
	})
}

// TestSlowClientStopsNobody: a queue that is full loses its own messages only.
func TestSlowClientStopsNobody(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/")
		a.full = true
		for i := range 10 {
			n.In("/").Emit("e", i)
		}
		expect(t, b, numbered("e", 0, 10)...)
		expect(t, a)
		if got := n.Stats().Refused; got != 10 {
			t.Errorf("%d refused, want 10", got)
		}
	})
}

func TestMembersLeaveInAnyOrder(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		members := map[int]*client{}
		for i := range 20 {
			members[i] = connect(t, n, "/")
			members[i].join("x")
		}
		for i, c := range members { // in random order
			c.session.Leave("x")
			delete(members, i)
			n.In("/").To("x").Emit("e", i)
			expect(t, c)
			for _, m := range members {
				expect(t, m, fmt.Sprintf(`["e",%d]`, i))
			}
		}
	})
}
