package node_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

const window = time.Minute // for which clients may be away, in tests

func recovering(cfg *node.Config) { cfg.Recovery = window }

// single runs f with a running node that has no others, with recovery.
func single(t *testing.T, setup func(*node.Node), f func(t *testing.T, n *node.Node)) {
	togetherWith(t, 1, recovering, both(root, setup), func(t *testing.T, b *lab) { f(t, b.nodes[0]) })
}

func both(setups ...func(*node.Node)) func(*node.Node) {
	return func(n *node.Node) {
		for _, f := range setups {
			if f != nil {
				f(n)
			}
		}
	}
}

// back is the client of old with a new connection.
func back(t *testing.T, n *node.Node, old *client) *client {
	t.Helper()
	c := &client{t: t, cursor: old.cursor}
	s, err := n.Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: c, Affinity: n.NewAffinity(),
		Resume: node.Resume{PID: old.session.PID(), Cursor: old.cursor}})
	if err != nil {
		t.Fatal(err)
	}
	c.session = s
	synctest.Wait()
	return c
}

// recovered is back for a client that must be recovered.
func recovered(t *testing.T, n *node.Node, old *client) *client {
	t.Helper()
	c := back(t, n, old)
	if s := c.session; !s.Recovered() || s.ID() != old.session.ID() || s.PID() != old.session.PID() {
		t.Fatalf("recovered %v, id %s, was %s; refused: %v", s.Recovered(), s.ID(), old.session.ID(), n.Stats().Recovery.Refused)
	}
	return c
}

// refused is back for a client that must get a new session, for the reason.
func refused(t *testing.T, n *node.Node, old *client, reason string) *client {
	t.Helper()
	before := n.Stats().Recovery.Refused[reason]
	c := back(t, n, old)
	if s := c.session; s.Recovered() || s.ID() == old.session.ID() {
		t.Fatalf("recovered %v, id %s, was %s, want a new session", s.Recovered(), s.ID(), old.session.ID())
	}
	if after := n.Stats().Recovery.Refused; after[reason] != before+1 {
		t.Errorf("refused %v, want one of %q more than %d", after, reason, before)
	}
	expect(t, c, "connect")
	return c
}

func emit(t *testing.T, o node.Operator, prefix string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := o.Emit(prefix, i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecoveredClientGetsWhatItMissedAndGoesOn(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("room")
		a.session.SetData("mine")
		room := n.In("/").To("room")
		emit(t, room, "e", 0, 3)
		expect(t, a, numbered("e", 0, 3)...)
		a.session.Lost("transport close")
		emit(t, room, "e", 3, 6)
		emit(t, n.In("/"), "all", 0, 1)
		b := recovered(t, n, a)
		emit(t, room, "e", 6, 8)
		expect(t, b, append(append([]string{"connect"}, numbered("e", 3, 6)...), `["all",0]`, `["e",6]`, `["e",7]`)...)
		if rooms, data := b.session.Rooms(), string(b.session.Data()); !slices.Equal(rooms, []string{"room"}) || data != `"mine"` {
			t.Errorf("rooms %v, data %s", rooms, data)
		}
		if s := n.Stats(); s.Sessions != 1 || s.Recovery.Recovered != 1 || s.Recovery.Replayed != 4 {
			t.Errorf("stats %+v", s)
		}
		b.session.Lost("transport close") // what has come of a replay counts
		c := recovered(t, n, b)
		expect(t, c, "connect")
	})
}

func TestThousandMissedMessagesComeOnceInOrder(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("room")
		a.session.Lost("transport close")
		emit(t, n.In("/").To("room"), "e", 0, 1000)
		expect(t, recovered(t, n, a), append([]string{"connect"}, numbered("e", 0, 1000)...)...)
	})
}

func TestClientIsNotRecovered(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		gone := connect(t, n, "/")
		gone.session.Lost("transport close")
		time.Sleep(window + 2*time.Second)
		refused(t, n, gone, "nobody knows the session")

		left := connect(t, n, "/")
		left.session.Close("client namespace disconnect")
		refused(t, n, left, "nobody knows the session")

		kicked := connect(t, n, "/")
		kicked.session.Disconnect(true)
		kicked.session.Lost("transport close") // the protocol has not heard of it
		refused(t, n, kicked, "nobody knows the session")
	})
}

// Official clients keep the place that they had in the session before, until they get an event: refused once, they are not again, whichever
// node that place was of; and to be refused fetches nothing.
func TestPlaceOfASessionBeforeIsNone(t *testing.T) {
	togetherWith(t, 2, recovering, root, func(t *testing.T, b *lab) {
		for _, home := range []int{0, 1} {
			old := connect(t, b.nodes[home], "/")
			emit(t, b.nodes[0].In("/"), "e", 0, 3)
			time.Sleep(time.Second)
			old.session.Lost("transport close")
			time.Sleep(window + 2*time.Second)
			before := b.nodes[0].Stats().Recovery.Gathers
			c := refused(t, b.nodes[0], old, "nobody knows the session")
			if got := b.nodes[0].Stats().Recovery.Gathers; c.cursor == "" || got != before {
				t.Fatalf("cursor %q, gathered %d times", c.cursor, got-before)
			}
			for _, n := range b.nodes { // and there has its next connection
				c.session.Lost("transport close")
				emit(t, b.nodes[1].In("/").Volatile(), "volatile", 0, 1)
				next := recovered(t, n, c)
				expect(t, next, "connect")
				c = next
			}
			c.session.Lost("transport close")
			emit(t, b.nodes[1].In("/"), "e", 3, 5)
			expect(t, recovered(t, b.nodes[1], c), append([]string{"connect"}, numbered("e", 3, 5)...)...)
		}
	})
}

func TestMadeUpSecretIsANewSession(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		victim := connect(t, n, "/")
		pid := victim.session.PID()
		for made, reason := range map[node.Resume]string{
			{PID: "AAAAAAAAAAAAAAAAAAAAAA"}: "nobody knows the session",
			{PID: pid[1:]}:                  "malformed",
			{PID: pid + "A"}:                "malformed",
			{PID: strings.Repeat("\n", 22)}: "malformed",
			{PID: pid, Cursor: "offset"}:    "malformed",
			{PID: "AAAAAAAAAAAAAAAAAAAAAA", Cursor: "what a user said last"}: "malformed",
		} {
			c := &client{t: t}
			s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c, Resume: made})
			if err != nil || s.Recovered() || s.ID() == victim.session.ID() {
				t.Errorf("%v: %v, recovered %v", made, err, s.Recovered())
			}
			if got := n.Stats().Recovery.Refused[reason]; got == 0 {
				t.Errorf("%v: refused for %v, want %s", made, n.Stats().Recovery.Refused, reason)
			}
			s.Close("over")
		}
		n.In("/").Emit("e", 0)
		expect(t, victim, `["e",0]`)
	})
}

// A client is back before the server has noticed that its connection is broken.
func TestOldConnectionIsClosedWhenItsClientIsBack(t *testing.T) {
	var ends []string
	watch := func(n *node.Node) {
		n.Namespace("/").OnDisconnect(func(s *node.Session, reason string) { ends = append(ends, s.ID()+" "+reason) })
	}
	single(t, watch, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("room")
		emit(t, n.In("/").To("room"), "e", 0, 2)
		expect(t, a, numbered("e", 0, 2)...)
		cursor := a.cursor
		emit(t, n.In("/").To("room"), "e", 2, 4)
		expect(t, a, numbered("e", 2, 4)...)
		a.cursor = cursor // the last ones were lost on the way
		b := recovered(t, n, a)
		emit(t, n.In("/").To("room"), "e", 4, 5)
		expect(t, b, append([]string{"connect"}, numbered("e", 2, 5)...)...)
		expect(t, a, "cut")
		a.session.Lost("ping timeout")
		synctest.Wait()
		if want := []string{a.session.ID() + " taken over"}; !slices.Equal(ends, want) {
			t.Errorf("ends %q, want %q", ends, want)
		}
		if s := n.Stats(); s.Sessions != 1 || s.Rooms != 2 || s.Recovery.Taken != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOnlyRoomsOfTheClientAreReplayed(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("kept")
		a.join("left")
		a.join("muted")
		n.In("/").To("new").Emit("before", 0)
		a.join("new")
		a.session.Leave("left")
		a.session.Lost("transport close")
		for _, room := range []string{"kept", "left", "new", "other", "muted"} {
			n.In("/").To(room).Except("muted").Emit("excepted", room)
		}
		n.In("/").To("kept").Except(a.session.ID()).Emit("excepted", "id")
		for _, room := range []string{"kept", "left", "new", "other"} {
			n.In("/").To(room).Emit("e", room)
		}
		n.In("/").To("kept").Volatile().Emit("volatile")
		n.In("/").To("kept", "new").Emit("once")
		n.In("/").To(a.session.ID()).Emit("direct")
		a.session.Emit("own")
		expect(t, recovered(t, n, a), "connect", `["e","kept"]`, `["e","new"]`, `["once"]`, `["direct"]`, `["own"]`)
	})
}

func TestQuestionsAreNotReplayed(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		n.In("/").Timeout(time.Second).EmitWithAck(t.Context(), "question")
		synctest.Wait()
		a.take()
		a.session.Lost("transport close")
		expect(t, recovered(t, n, a), "connect")
	})
}

func TestLogThatIsOverrunRefuses(t *testing.T) {
	small := func(cfg *node.Config) { cfg.Recovery, cfg.RecoveryBytes = window, 4000 }
	togetherWith(t, 1, small, root, func(t *testing.T, b *lab) {
		n := b.nodes[0]
		a, c := connect(t, n, "/"), connect(t, n, "/")
		a.session.Lost("transport close")
		emit(t, n.In("/"), "e", 0, 5)
		expect(t, recovered(t, n, a), append([]string{"connect"}, numbered("e", 0, 5)...)...)
		c.session.Lost("transport close")
		emit(t, n.In("/"), "e", 5, 105)
		refused(t, n, c, "messages have left the log")
		if n.Stats().Recovery.Short == 0 {
			t.Error("nothing counted as short")
		}
	})
}

func TestHandlersRunAgainAndMayRefuse(t *testing.T) {
	var allow error
	var seen []bool
	handle := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			seen = append(seen, s.Recovered())
			if allow == nil {
				s.Join(context.Background(), "handlers")
				s.Emit("hello", s.Recovered())
			}
			return allow
		})
	}
	single(t, handle, func(t *testing.T, n *node.Node) {
		c := &client{t: t}
		s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c})
		if err != nil {
			t.Fatal(err)
		}
		c.session = s
		expect(t, c, "connect", `["hello",false]`)
		s.Leave("handlers") // it has to be added again
		s.Lost("transport close")
		emit(t, n.In("/"), "e", 0, 1)
		b := recovered(t, n, c)
		expect(t, b, "connect", `["e",0]`, `["hello",true]`)
		b.session.Lost("transport close")
		emit(t, n.In("/").To("handlers"), "e", 1, 2)
		allow = errors.New("no")
		if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}, Resume: node.Resume{PID: s.PID(), Cursor: b.cursor}}); err == nil || err.Error() != "no" {
			t.Errorf("error %v, want the handler's", err)
		}
		if got := n.Stats().Sessions; got != 0 {
			t.Errorf("%d sessions", got)
		}
		allow = nil
		expect(t, recovered(t, n, b), "connect", `["e",1]`, `["hello",true]`)
		if want := []bool{false, true, true, true}; !slices.Equal(seen, want) {
			t.Errorf("handlers saw recovered %v, want %v", seen, want)
		}
	})
}

// A room that a handler joins when a client is back has from then on all that is published to it, in order and once,
// with what the client has missed.
func TestRoomThatAHandlerAddsOnTheWayBackLosesNothing(t *testing.T) {
	var publish func(s *node.Session)
	handle := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			if s.Recovered() {
				s.Join(context.Background(), "new")
				publish(s)
			}
			return nil
		})
	}
	single(t, handle, func(t *testing.T, n *node.Node) {
		publish = func(*node.Session) {
			emit(t, n.In("/").To("new"), "e", 2, 4)
			emit(t, n.In("/").To("new", "old"), "e", 4, 6)
			emit(t, n.In("/").To("old"), "e", 6, 8)
			emit(t, n.In("/").To("new"), "e", 8, 10)
		}
		a := connect(t, n, "/")
		a.join("old")
		a.session.Lost("transport close")
		emit(t, n.In("/").To("new"), "before", 0, 1)
		emit(t, n.In("/").To("old"), "e", 0, 2)
		c := recovered(t, n, a)
		emit(t, n.In("/").To("new"), "e", 10, 11)
		expect(t, c, append([]string{"connect"}, numbered("e", 0, 11)...)...)
		c.session.Lost("transport close")
		emit(t, n.In("/").To("new"), "e", 11, 12)
		publish = func(*node.Session) {}
		expect(t, recovered(t, n, c), "connect", `["e",11]`)
	})
}

func TestSecondComebackOfASecretEndsTheFirst(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.session.Lost("transport close")
		var sessions []*node.Session
		done := make(chan *node.Session)
		for range 2 {
			go func() {
				s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}, Resume: node.Resume{PID: a.session.PID()}})
				if err != nil {
					t.Error(err)
				}
				done <- s
			}()
		}
		for range 2 {
			sessions = append(sessions, <-done)
		}
		synctest.Wait()
		list, _, _ := n.Sockets(t.Context(), node.Query{})
		count := 0
		for _, s := range list {
			if s.ID == a.session.ID() {
				count++
			}
		}
		if count != 1 || len(list) > 2 {
			t.Errorf("%d sessions of the id in %v; opened %v", count, list, sessions)
		}
	})
}

func TestEmitSafeAndAcksWithoutOtherNodes(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		for name, o := range map[string]node.Operator{"all": n.In("/"), "local": n.In("/").Local(), "volatile": n.In("/").Volatile(), "room": n.In("/").To("nobody")} {
			if err := o.EmitSafe(t.Context(), "e", name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		synctest.Wait()
		if got := a.take(); len(got) != 3 {
			t.Errorf("got %q", got)
		}
		left := make(chan error, 2)
		a.session.LeaveFunc([]string{"never", "joined"}, func(err error) { left <- err })
		if err := <-left; err != nil {
			t.Error(err)
		}
		a.join("room")
		changed, err := n.In("/").Join(t.Context(), "others")
		if err != nil || changed.Sockets != 1 || len(changed.Missing) > 0 {
			t.Errorf("join of others: %+v, %v", changed, err)
		}
		changed, err = n.In("/").Leave(t.Context(), "others", "room")
		if err != nil || changed.Sockets != 1 || len(changed.Missing) > 0 {
			t.Errorf("leave of others: %+v, %v", changed, err)
		}
		a.session.Lost("transport close")
		if rooms := recovered(t, n, a).session.Rooms(); len(rooms) > 0 {
			t.Errorf("rooms %v", rooms)
		}
	})
}

func TestSessionWithoutUseForItHasNoSecret(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		c := &client{t: t}
		s, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: c, NoRecovery: true})
		if err != nil || s.PID() != "" || s.Recovered() {
			t.Errorf("error %v, secret %q", err, s.PID())
		}
		c.session = s
		s.Join(t.Context(), "room")
		s.Emit("e")
		s.Leave("room")
		expect(t, c, "connect", `["e"]`)
		s.Lost("transport close")
	})
	alone(t, root, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		n.In("/").Emit("e")
		synctest.Wait()
		if c.session.PID() != "" || c.cursor != "" {
			t.Errorf("secret %q, cursor %q without recovery", c.session.PID(), c.cursor)
		}
		c.session.Lost("transport close")
		if n.Stats().Sessions != 0 {
			t.Error("a session that was lost is there")
		}
	})
}

func TestCursorsAreThoseOfTheNode(t *testing.T) {
	single(t, nil, func(t *testing.T, n *node.Node) {
		a, b := connect(t, n, "/"), connect(t, n, "/")
		n.In("/").Emit("e")
		synctest.Wait()
		if a.cursor != b.cursor || len(a.cursor) != 22 {
			t.Errorf("cursors %q and %q", a.cursor, b.cursor)
		}
		last := a.cursor
		n.In("/").Volatile().Emit("e")
		n.In("/").Local().Emit("e")
		synctest.Wait()
		if a.cursor != last {
			t.Errorf("cursor %q of what is not recovered", a.cursor)
		}
	})
}
