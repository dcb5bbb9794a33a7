package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// withPresence lets clients list and watch a room, and say who they are by the header User.
func withPresence(n *node.Node) {
	ns := n.Namespace("/")
	ns.OnConnect(func(s *node.Session) error {
		if user := s.Handshake().Header.Get("User"); user != "" {
			return s.SetUser(user, map[string]string{"name": strings.ToUpper(user)})
		}
		return nil
	})
	ns.On("presence", func(e *node.Event) {
		var room string
		e.Arg(0, &room)
		err := e.Session.WatchPresence(context.Background(), room, func(l node.PresenceList) { e.Ack(l) })
		if err != nil {
			e.Ack(node.ResultOf(err))
		}
	})
}

// connectAs is connect for a user.
func connectAs(t *testing.T, n *node.Node, user string) *client {
	t.Helper()
	c := &client{t: t}
	s, err := n.Open(context.Background(), node.SessionConfig{Namespace: "/", Sink: c, Affinity: n.NewAffinity(),
		Handshake: node.Handshake{Header: map[string][]string{"User": {user}}}})
	if err != nil {
		t.Fatal(err)
	}
	c.session = s
	synctest.Wait()
	c.take()
	return c
}

// names are the members as "user" or the number of the client by its id, sorted.
func names(members []node.Member, clients ...*client) (names []string) {
	for _, m := range members {
		names = append(names, nameOf(m.User, m.ID, clients))
	}
	slices.Sort(names)
	return names
}

func nameOf(user, id string, clients []*client) string {
	if user != "" {
		return user
	}
	i := slices.IndexFunc(clients, func(c *client) bool { return c.session.ID() == id })
	return fmt.Sprint("#", i)
}

// lists compares what n lists with what is.
func lists(t *testing.T, n *node.Node, room string, want []string, clients ...*client) {
	t.Helper()
	l, err := n.Namespace("/").Presence(context.Background(), room)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(l.Members, clients...); !slices.Equal(got, want) || len(l.Missing) > 0 {
		t.Errorf("%s lists %q in %s, want %q; missing %v", n.Name(), got, room, want, l.Missing)
	}
}

// told is what a client was told: "list a b", "+a", "-a reason".
func (c *client) told(clients ...*client) (told []string) {
	c.t.Helper()
	for _, text := range c.take() {
		if list, is := strings.CutPrefix(text, "ack 1 "); is {
			var l []node.PresenceList
			if err := json.Unmarshal([]byte(list), &l); err != nil {
				c.t.Fatal(err)
			}
			told = append(told, strings.Join(append([]string{"list"}, names(l[0].Members, clients...)...), " "))
			continue
		}
		var e node.MemberEvent
		args, _ := wire.SplitArgs([]byte(text))
		name, _ := args.String(0)
		if err := json.Unmarshal(args[len(args)-1], &e); err != nil {
			c.t.Fatal(err, text)
		}
		switch who := nameOf(e.User, e.ID, clients); name {
		case node.EventMemberJoined:
			told = append(told, "+"+who)
		case node.EventMemberLeft:
			told = append(told, "-"+who+" "+e.Reason)
		}
	}
	return told
}

func (c *client) expectTold(want []string, clients ...*client) {
	c.t.Helper()
	synctest.Wait()
	if got := c.told(clients...); !slices.Equal(got, want) {
		c.t.Errorf("told %q, want %q", got, want)
	}
}

func TestPresenceIsTheSameOnAllNodes(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		x, y, z := connect(t, n[0], "/"), connect(t, n[1], "/"), connect(t, n[2], "/")
		x.join("lobby")
		y.join("lobby")
		x.emit(1, "presence", "lobby")
		time.Sleep(100 * time.Millisecond)
		x.expectTold([]string{"list #0 #1"}, x, y, z)
		for _, o := range n {
			lists(t, o, "lobby", []string{"#0", "#1"}, x, y, z)
		}
		z.join("lobby")
		z.session.Join(context.Background(), "other")
		time.Sleep(100 * time.Millisecond)
		y.session.Close("client namespace disconnect")
		time.Sleep(100 * time.Millisecond)
		z.session.Leave("lobby")
		time.Sleep(100 * time.Millisecond)
		x.expectTold([]string{"+#2", "-#1 client namespace disconnect", "-#2 left"}, x, y, z)
		for _, o := range n {
			lists(t, o, "lobby", []string{"#0"}, x, y, z)
		}
		x.session.Leave("lobby") // watches no more
		y.session.Close("transport close")
		z.join("lobby")
		time.Sleep(5 * time.Second)
		x.expectTold(nil)
		if s := n[0].Stats(); s.Watchers != 0 || s.Presence.Repairs != 0 || s.Presence.Dropped != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestUserOnSeveralNodesIsOneMember(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		w := connect(t, n[0], "/")
		w.emit(1, "presence", "lobby")
		one, two := connectAs(t, n[1], "ann"), connectAs(t, n[2], "ann")
		one.join("lobby")
		two.join("lobby")
		time.Sleep(100 * time.Millisecond)
		w.expectTold([]string{"list", "+ann"})
		l, err := n[0].Namespace("/").Presence(t.Context(), "lobby")
		if err != nil || len(l.Members) != 1 || len(l.Members[0].Sockets) != 2 || string(l.Members[0].Info) != `{"name":"ANN"}` {
			t.Errorf("list %+v, %v", l, err)
		}
		one.session.Close("transport close")
		time.Sleep(5 * time.Second)
		w.expectTold(nil)
		two.session.Close("transport close") // a reload, that another node gets
		time.Sleep(1500 * time.Millisecond)
		again := connectAs(t, n[0], "ann")
		again.join("lobby")
		time.Sleep(5 * time.Second)
		w.expectTold(nil)
		again.session.Close("ping timeout")
		time.Sleep(1900 * time.Millisecond)
		w.expectTold(nil)
		time.Sleep(200 * time.Millisecond)
		w.expectTold([]string{"-ann ping timeout"})
		sockets, _, _ := n[2].Sockets(t.Context(), node.Query{})
		if len(sockets) != 1 || sockets[0].User != "" {
			t.Errorf("sockets %+v", sockets)
		}
	})
}

// A client that lists and listens while others come and go knows at each time who is there.
func TestListAndEventsContradictNothing(t *testing.T) {
	together(t, 2, withPresence, func(t *testing.T, b *lab) {
		rng := rand.New(rand.NewPCG(1, 2))
		var all, in []*client
		for i := range 40 {
			all = append(all, connect(t, b.nodes[i%2], "/"))
		}
		watchers := []*client{connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/"), connect(t, b.nodes[0], "/")}
		believes := map[*client]map[string]bool{}
		for round := range 400 {
			c := all[rng.IntN(len(all))]
			if i := slices.Index(in, c); i >= 0 {
				c.session.Leave("lobby")
				in = slices.Delete(in, i, i+1)
			} else {
				c.session.Join(t.Context(), "lobby")
				in = append(in, c)
			}
			if round%20 == 0 {
				watchers[rng.IntN(3)].emit(1, "presence", "lobby")
			}
			if round%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, w := range watchers {
			for _, x := range w.told(all...) {
				if list, is := strings.CutPrefix(x, "list"); is {
					believes[w] = map[string]bool{}
					for _, m := range strings.Fields(list) {
						believes[w][m] = true
					}
					continue
				}
				who, _, left := strings.Cut(x[1:], " ")
				if believes[w] == nil || believes[w][who] != left {
					t.Fatalf("watcher %d is told %q and believes %v", i, x, believes[w])
				}
				if believes[w][who] = true; left {
					delete(believes[w], who)
				}
			}
			if len(believes[w]) != len(in) {
				t.Errorf("watcher %d believes %v, %d are there", i, believes[w], len(in))
			}
		}
	})
}

func TestG8MembersOfADeadNodeLeaveInTimeAndOnce(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		w := connect(t, n[0], "/")
		w.emit(1, "presence", "lobby")
		var dying []*client
		var want []string
		for i := range 50 {
			dying = append(dying, connect(t, n[2], "/"))
			dying[i].join("lobby")
			want = append(want, fmt.Sprintf("-#%d node_down", i))
		}
		ann := connectAs(t, n[2], "ann")
		ann.join("lobby")
		time.Sleep(time.Second)
		w.take()
		b.hosts[2].Kill()
		again := connectAs(t, n[1], "ann") // before anybody knows
		again.join("lobby")
		time.Sleep(7 * time.Second)
		synctest.Wait()
		got := w.told(dying...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		lists(t, n[0], "lobby", []string{"ann"})
		lists(t, n[1], "lobby", []string{"ann"})
	})
}

func TestMembersOfACutNodeStay(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		w, x := connect(t, n[0], "/"), connect(t, n[1], "/")
		x.join("lobby")
		w.emit(1, "presence", "lobby")
		time.Sleep(time.Second)
		w.expectTold([]string{"list #0"}, x)
		alone, rest := []*clustertest.Host{b.hosts[1]}, []*clustertest.Host{b.hosts[0], b.hosts[2]}
		b.net.Partition(alone, rest)
		time.Sleep(2 * time.Second)
		y := connect(t, n[1], "/")
		y.session.Join(t.Context(), "lobby")
		b.net.HealAll()
		time.Sleep(3 * time.Second)
		w.expectTold([]string{"+#1"}, x, y)
		b.net.Partition(alone, rest) // longer than detection: each side goes on alone, and both agree at the end
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := w.told(x, y); len(got) != 2 || !strings.HasSuffix(got[0], "node_down") {
			t.Errorf("told %q in a partition", got)
		}
		b.net.HealAll()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := w.told(x, y); len(got) != 2 || !strings.HasPrefix(got[0], "+") {
			t.Errorf("told %q when it was over", got)
		}
		lists(t, n[0], "lobby", []string{"#0", "#1"}, x, y)
	})
}

func TestPresenceRefuses(t *testing.T) {
	alone(t, withPresence, func(t *testing.T, n *node.Node) {
		ns, c := n.Namespace("/"), connect(t, n, "/")
		watch := func(room string) error {
			return c.session.WatchPresence(t.Context(), room, func(node.PresenceList) {})
		}
		for room, code := range map[string]node.Code{"": node.CodeInvalid, c.session.ID(): node.CodeInvalid, strings.Repeat("r", 256): node.CodeInvalid} {
			if _, err := ns.Presence(t.Context(), room); node.CodeOf(err) != code || err == nil {
				t.Errorf("list of %.10q: %v", room, err)
			}
			if err := watch(room); node.CodeOf(err) != code || err == nil {
				t.Errorf("watch of %.10q: %v", room, err)
			}
		}
		for i := range node.MaxWatches {
			if err := watch(fmt.Sprint("room", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := watch("room0"); err != nil {
			t.Error("again:", err)
		}
		if err := watch("one more"); node.CodeOf(err) != node.CodeLimit || err == nil {
			t.Errorf("one room too many: %v", err)
		}
		c.session.Leave("room0")
		if err := watch("one more"); err != nil {
			t.Error("after a leave:", err)
		}
		if _, err := ns.To("a", "b").Presence(t.Context()); err == nil {
			t.Error("presence of two rooms")
		}
		if err := c.session.SetUser("late", nil); err == nil {
			t.Error("user set after connecting")
		}
		c.session.Close("transport close")
		if err := watch("room1"); !errors.Is(err, node.ErrClosed) {
			t.Errorf("watch of a closed session: %v", err)
		}
		if s := n.Stats(); s.Watchers != 0 {
			t.Errorf("%d watchers left", s.Watchers)
		}
	})
}

// A client whose websocket lands elsewhere is the same member, and the same user.
func TestMoveIsNoLeaveAndJoin(t *testing.T) {
	togetherWith(t, 3, movers, withPresence, func(t *testing.T, b *lab) {
		n := b.nodes
		w, c, ann := connect(t, n[2], "/"), connect(t, n[0], "/"), connectAs(t, n[0], "ann")
		c.join("lobby")
		ann.join("lobby")
		w.emit(1, "presence", "lobby")
		time.Sleep(100 * time.Millisecond)
		w.expectTold([]string{"list #0 ann"}, c)
		x, err := takeOver(t, c, n[0], n[1])
		if err != nil {
			t.Fatal(err)
		}
		if ann, err = takeOver(t, ann, n[0], n[1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.expectTold(nil)
		l, err := n[0].Namespace("/").Presence(t.Context(), "lobby")
		if err != nil || len(l.Members) != 2 || l.Members[0].Node != "n1" || l.Members[1].Node != "n1" {
			t.Errorf("list %+v, %v", l, err)
		}
		x.session.Close("transport close")
		ann.session.Leave("lobby")
		time.Sleep(time.Second)
		w.expectTold([]string{"-#0 transport close", "-ann left"}, x)
		if _, err := takeOver(t, w, n[2], n[1]); err == nil {
			t.Error("a session that watches has moved")
		}
	})
}

// What happens between a list and its ack comes behind the ack, and no session that
// loses some of it goes on.
func TestEventsWaitForTheList(t *testing.T) {
	alone(t, withPresence, func(t *testing.T, n *node.Node) {
		w, c := connect(t, n, "/"), connect(t, n, "/")
		flap := func(times int) func(node.PresenceList) {
			return func(l node.PresenceList) {
				for range times {
					c.join("lobby")
					c.session.Leave("lobby")
					synctest.Wait()
				}
				w.session.Emit("listed", len(l.Members))
			}
		}
		if err := w.session.WatchPresence(t.Context(), "lobby", flap(2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := w.take()
		if len(got) != 5 || got[0] != `["listed",0]` || !strings.HasPrefix(got[1], `["member_joined"`) || !strings.HasPrefix(got[4], `["member_left"`) {
			t.Errorf("got %q", got)
		}
		err := w.session.WatchPresence(t.Context(), "lobby", func(node.PresenceList) {
			err := w.session.WatchPresence(t.Context(), "lobby", flap(0))
			if node.CodeOf(err) != node.CodeLimit || err == nil {
				t.Errorf("a list within a list: %v", err)
			}
			c.join("lobby")
			synctest.Wait()
			w.session.Leave("lobby")
		})
		expect(t, w)
		if err != nil {
			t.Error(err)
		}
		c.session.Leave("lobby")
		if err := w.session.WatchPresence(t.Context(), "lobby", flap(2100)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := w.take(); got[len(got)-1] != "close true" {
			t.Errorf("%d deliveries, the last %q, want close", len(got), got[len(got)-1])
		}
	})
}

// A node that does not answer is missing, and delays only the first list.
func TestNodeThatIsSilentIsMissing(t *testing.T) {
	together(t, 3, withPresence, func(t *testing.T, b *lab) {
		b.net.Cut(b.hosts[2], b.hosts[0]) // it hears, and is not heard
		ask := func() (node.PresenceList, time.Duration) {
			start := time.Now()
			l, err := b.nodes[0].Namespace("/").Presence(t.Context(), "lobby")
			if err != nil {
				t.Fatal(err)
			}
			return l, time.Since(start)
		}
		if l, took := ask(); len(l.Missing) != 1 || l.Missing[0].Node != "n2" || took > 3*time.Second {
			t.Errorf("list %+v after %v", l, took)
		}
		if l, took := ask(); len(l.Missing) != 1 || took > 0 {
			t.Errorf("second list %+v after %v", l, took)
		}
		b.net.HealAll()
		time.Sleep(10 * time.Second)
		if l, _ := ask(); len(l.Missing) != 0 {
			t.Errorf("list %+v at the end", l)
		}
	})
}
