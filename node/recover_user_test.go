package node_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// named has a user who is what the client's query says, and refuses the one that is named in revoked.
func named(revoked *string) func(*node.Node) {
	return func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			user := s.Handshake().Query.Get("user")
			if revoked != nil && user == *revoked {
				return errors.New("revoked")
			}
			if user == "" {
				return nil
			}
			return s.SetUser(user, nil)
		})
	}
}

// as is a client that comes as a user, with the session of old if there is one.
func as(t *testing.T, n *node.Node, user string, old *client) (*client, error) {
	t.Helper()
	c := &client{t: t}
	cfg := node.SessionConfig{Namespace: "/", Sink: c, Affinity: n.NewAffinity(), Handshake: node.Handshake{Query: url.Values{"user": {user}}}}
	if old != nil {
		cfg.Resume = node.Resume{PID: old.session.PID(), Cursor: old.cursor}
		c.cursor = old.cursor
	}
	s, err := n.Open(context.Background(), cfg)
	c.session = s
	if err == nil && s.PID() == "" {
		t.Error("it has no PID")
	}
	return c, err
}

func TestSecretOfAnotherUserIsOfNoUse(t *testing.T) {
	for _, tt := range []struct{ owner, thief string }{{"ann", "bob"}, {"ann", ""}, {"", "bob"}} {
		for _, dead := range []bool{false, true} { // the node of the owner
			togetherWith(t, 3, recovering, both(root, named(nil)), func(t *testing.T, b *lab) {
				a, err := as(t, b.nodes[0], tt.owner, nil) // the client knows its secret from here on
				if err != nil {
					t.Fatal(err)
				}
				if dead {
					b.hosts[0].Kill()
					time.Sleep(10 * time.Second)
				} else {
					expect(t, a, "connect")
					a.join("room")
				}
				emit(t, b.nodes[1].In("/").To("room"), "e", 0, 2)
				if !dead {
					time.Sleep(time.Second)
					expect(t, a, numbered("e", 0, 2)...)
				}
				thief, err := as(t, b.nodes[1], tt.thief, a)
				if err != nil || thief.session.Recovered() || thief.session.ID() == a.session.ID() || thief.session.PID() == a.session.PID() {
					t.Fatalf("%+v: %v, recovered %v", tt, err, thief.session.Recovered())
				}
				emit(t, b.nodes[1].In("/").To("room"), "e", 2, 4)
				expect(t, thief, "connect")
				if got := b.nodes[1].Stats().Recovery.Refused; len(got) != 1 || got["of another user"] != 1 {
					t.Errorf("%+v: refused %v", tt, got)
				}
				c, err := as(t, b.nodes[2], tt.owner, a)
				if err != nil || !c.session.Recovered() || c.session.ID() != a.session.ID() {
					t.Fatalf("%+v: the owner came back: %v, refused %v", tt, err, b.nodes[2].Stats().Recovery.Refused)
				}
				if user, _ := c.session.User(); user != tt.owner {
					t.Errorf("user %q", user)
				}
				if !dead {
					expect(t, c, append([]string{"connect"}, numbered("e", 2, 4)...)...)
				}
			})
		}
	}
}

// Who is refused by a handler gets its error; the session is there for who is not.
func TestRevokedTokenDoesNotRecover(t *testing.T) {
	var revoked string
	togetherWith(t, 2, recovering, both(root, named(&revoked)), func(t *testing.T, b *lab) {
		revoked = "nobody"
		a, err := as(t, b.nodes[0], "ann", nil)
		if err != nil {
			t.Fatal(err)
		}
		a.join("room")
		a.session.Lost("transport close")
		revoked = "ann"
		for range 2 {
			if _, err := as(t, b.nodes[1], "ann", a); err == nil || err.Error() != "revoked" {
				t.Fatalf("error %v, want the handler's", err)
			}
		}
		emit(t, b.nodes[0].In("/").To("room"), "e", 0, 2)
		if s := b.nodes[1].Stats(); s.Sessions != 0 || s.Recovery.Refused["not allowed"] != 2 {
			t.Errorf("%d sessions, refused %v", s.Sessions, s.Recovery.Refused)
		}
		revoked = "nobody"
		c, err := as(t, b.nodes[1], "ann", a)
		if err != nil || !c.session.Recovered() {
			t.Fatalf("%v, refused %v", err, b.nodes[1].Stats().Recovery.Refused)
		}
		expect(t, c, append([]string{"connect"}, numbered("e", 0, 2)...)...)
	})
}

// The rooms and data of before are there when handlers run, and what they say of them counts from then on.
func TestWhatHandlersSayOnTheWayBackCounts(t *testing.T) {
	var handler func(s *node.Session) error
	handle := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			if !s.Recovered() {
				return nil
			}
			return handler(s)
		})
	}
	single(t, handle, func(t *testing.T, n *node.Node) {
		a := connect(t, n, "/")
		a.join("old")
		a.join("lost")
		a.session.SetData("old")
		a.session.Lost("transport close")
		emit(t, n.In("/").To("lost"), "lost", 0, 1)
		emit(t, n.In("/").To("old"), "e", 0, 1)
		handler = func(s *node.Session) error {
			if rooms := s.Rooms(); !slices.Equal(rooms, []string{"lost", "old"}) || string(s.Data()) != `"old"` {
				t.Errorf("the handler saw rooms %v, data %s", rooms, s.Data())
			}
			s.Leave("lost")
			s.SetData("new")
			return s.Join(context.Background(), "new")
		}
		c := recovered(t, n, a)
		emit(t, n.In("/").To("lost"), "lost", 1, 2)
		expect(t, c, "connect", `["lost",0]`, `["e",0]`) // what was missed before
		c.session.Lost("transport close")
		handler = func(*node.Session) error { return nil }
		c = recovered(t, n, c)
		if rooms := c.session.Rooms(); !slices.Equal(rooms, []string{"new", "old"}) || string(c.session.Data()) != `"new"` {
			t.Errorf("rooms %v, data %s", rooms, c.session.Data())
		}
	})
}

// Whose mirrors are late can come back all the same, as the same user.
func TestUserOfAClientThatDidNotWaitForMirrors(t *testing.T) {
	togetherWith(t, 3, recovering, both(root, named(nil)), func(t *testing.T, b *lab) {
		for i := 1; i < 3; i++ {
			b.net.SetDelay(b.hosts[0], b.hosts[i], 3*time.Second)
		}
		a, err := as(t, b.nodes[0], "ann", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 3; i++ {
			b.net.SetDelay(b.hosts[0], b.hosts[i], 0)
		}
		time.Sleep(10 * time.Second)
		emit(t, b.nodes[0].In("/").To(a.session.ID()), "e", 0, 1)
		time.Sleep(time.Second)
		expect(t, a, "connect", `["e",0]`)
		a.session.Lost("transport close")
		emit(t, b.nodes[0].In("/").To(a.session.ID()), "e", 1, 2)
		if c, err := as(t, b.nodes[1], "bob", a); err != nil || c.session.Recovered() {
			t.Errorf("another user: %v, recovered %v", err, c.session.Recovered())
		}
		c, err := as(t, b.nodes[1], "ann", a)
		if err != nil || !c.session.Recovered() {
			t.Fatalf("%v, refused %v", err, b.nodes[1].Stats().Recovery.Refused)
		}
		expect(t, c, "connect", `["e",1]`)
	})
}

// While the handlers run nobody knows whose a session is, and nobody gets it should its node die.
func TestSessionOfNobodyKnownYet(t *testing.T) {
	pids := make(chan string, 1)
	slow := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(s *node.Session) error {
			select {
			case pids <- s.PID():
				time.Sleep(2 * time.Second)
			default: // the second
			}
			return nil
		})
	}
	togetherWith(t, 3, recovering, both(root, slow), func(t *testing.T, b *lab) {
		go b.nodes[0].Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}})
		time.Sleep(time.Second)
		b.hosts[0].Kill()
		time.Sleep(noticed)
		pid := <-pids
		pids <- "" // the handlers of who comes now do not wait
		s, err := b.nodes[1].Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}, Resume: node.Resume{PID: pid}})
		if got := b.nodes[1].Stats().Recovery.Refused["of another user"]; err != nil || s.Recovered() || got != 1 {
			t.Errorf("%v, recovered %v, refused %d", err, s.Recovered(), got)
		}
	})
}
