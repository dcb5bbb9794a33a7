package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

func ids(sockets []node.SocketInfo) (list []string) {
	for _, s := range sockets {
		list = append(list, s.ID)
	}
	return list
}

func sortedIDs(clients ...*client) (list []string) {
	for _, c := range clients {
		list = append(list, c.session.ID())
	}
	slices.Sort(list)
	return list
}

func TestSocketsOfATarget(t *testing.T) {
	together(t, 3, func(n *node.Node) { root(n); n.Namespace("/other") }, func(t *testing.T, b *lab) {
		var c []*client
		for i := range 6 {
			c = append(c, connect(t, b.nodes[i%3], "/"))
			c[i].join(fmt.Sprint("mod2-", i%2))
		}
		c[4].join("muted")
		stranger := connect(t, b.nodes[1], "/other")
		stranger.join("mod2-0")
		if err := c[1].session.SetData(map[string]any{"name": "ann"}); err != nil {
			t.Fatal(err)
		}
		all := b.nodes[0].In("/")
		for _, tt := range []struct {
			o    node.Operator
			want []string
		}{
			{all, sortedIDs(c...)},
			{all.To("mod2-0"), sortedIDs(c[0], c[2], c[4])},
			{all.In("mod2-0").Except("muted"), sortedIDs(c[0], c[2])},
			{all.To("mod2-0", "mod2-1", c[5].session.ID()).Except(c[0].session.ID()), sortedIDs(c[1:]...)},
			{all.To(c[5].session.ID(), c[5].session.ID()), sortedIDs(c[5])},
			{all.To(stranger.session.ID()), nil},
			{all.Local(), sortedIDs(c[0], c[3])},
			{all.To("nobody"), nil},
			{c[0].session.To("mod2-0"), sortedIDs(c[2], c[4])},
		} {
			got, missing, err := tt.o.Sockets(t.Context())
			if !slices.Equal(ids(got), tt.want) || missing != nil || err != nil {
				t.Errorf("%+v: %q, %v, %v, want %q", tt.o, ids(got), missing, err, tt.want)
			}
		}
		got, _, _ := all.To(c[1].session.ID()).Sockets(t.Context())
		if x := got[0]; string(x.Data) != `{"name":"ann"}` || x.Node != "n1" || !slices.Equal(x.Rooms, []string{"mod2-1"}) || x.Namespace != "/" {
			t.Errorf("socket %+v", x)
		}
		if _, _, err := all.To("").Sockets(t.Context()); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("empty room: %v", err)
		}
	})
}

func TestSocketsAreListedWhollyWhateverTheirSize(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		var want []string
		for i := range 2400 {
			s, err := b.nodes[i%2].Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: &client{t: t}})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, s.ID())
			if i%7 == 0 {
				s.SetData(strings.Repeat("x", node.MaxData-2))
			}
		}
		slices.Sort(want)
		got, missing, err := b.nodes[0].In("/").Sockets(t.Context())
		if !slices.Equal(ids(got), want) || missing != nil || err != nil {
			t.Errorf("%d sockets, %v, %v, want %d", len(got), missing, err, len(want))
		}
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Hour)
		got, missing, err = b.nodes[0].In("/").Timeout(time.Second).Sockets(t.Context())
		if len(got) == 0 || len(got) > 1200 || !slices.Equal(missing, []node.Missing{{Node: "n1", Reason: "timeout"}}) || err != nil {
			t.Errorf("%d sockets, %v, %v", len(got), missing, err)
		}
	})
}

func TestDataOfASessionIsLimited(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		s := connect(t, n, "/").session
		if err := s.SetData(strings.Repeat("x", node.MaxData-2)); err != nil || len(s.Data()) != node.MaxData {
			t.Errorf("at the limit: %v, %d bytes", err, len(s.Data()))
		}
		if err := s.SetData(strings.Repeat("x", node.MaxData-1)); node.CodeOf(err) != node.CodeLimit || len(s.Data()) != node.MaxData {
			t.Errorf("beyond the limit: %v", err)
		}
		if err := s.SetData(make(chan int)); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("no JSON: %v", err)
		}
		if err := s.SetData(nil); err != nil || s.Data() != nil {
			t.Errorf("none: %v, %s", err, s.Data())
		}
	})
}

// change compares what a call came to.
func change(t *testing.T, got node.Changed, err error, sockets int, missing ...node.Missing) {
	t.Helper()
	if err != nil || got.Sockets != sockets || got.Refused != 0 || !slices.Equal(got.Missing, missing) {
		t.Errorf("%+v, %v, want %d sockets, missing %v", got, err, sockets, missing)
	}
}

func TestJoinOfATargetIsInForceWhenItReturns(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		var c []*client
		for i := range 6 {
			c = append(c, connect(t, b.nodes[i%3], "/"))
		}
		c[3].join("left out")
		for i := range b.hosts {
			b.net.SetDelay(b.hosts[i], b.hosts[(i+1)%3], 50*time.Millisecond)
		}
		got, err := b.nodes[0].In("/").Except("left out").Join(t.Context(), "x", "y")
		change(t, got, err, 5)
		for i, n := range b.nodes {
			n.In("/").To("x").Emit("e", i)
		}
		time.Sleep(time.Second)
		for i, x := range c {
			got := x.take()
			slices.Sort(got)
			want := []string{`["e",0]`, `["e",1]`, `["e",2]`}
			if i == 3 {
				want = nil
			}
			if !slices.Equal(got, want) {
				t.Errorf("client %d got %q, want %q", i, got, want)
			}
		}
		got, err = b.nodes[2].In("/").To("y").Leave(t.Context(), "x", "never joined")
		change(t, got, err, 5)
		for i, n := range b.nodes {
			n.In("/").To("x").Emit("e", i)
			n.In("/").To("y").Local().Emit("f", i)
		}
		time.Sleep(time.Second)
		for i, x := range c {
			if i == 3 {
				expect(t, x)
			} else {
				expect(t, x, fmt.Sprintf(`["f",%d]`, i%3))
			}
		}
	})
}

func TestDisconnectOfATargetEndsItsSessions(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		a, c, d := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/"), connect(t, b.nodes[1], "/")
		d.join("vip")
		got, err := a.session.Broadcast().Except("vip").Disconnect(t.Context(), true)
		change(t, got, err, 1)
		b.nodes[0].In("/").Emit("e")
		b.nodes[1].In("/").Emit("e")
		time.Sleep(100 * time.Millisecond)
		expect(t, c, "close true")
		expect(t, d, `["e"]`, `["e"]`)
		expect(t, a, `["e"]`, `["e"]`)
		got, err = b.nodes[0].In("/").To(d.session.ID()).Disconnect(t.Context(), false)
		change(t, got, err, 1)
		expect(t, d, "close false")
	})
}

// A join may wait for what the dead node was promised, a second, and for nothing else.
func TestNodeThatDiesDelaysNoChange(t *testing.T) {
	together(t, 3, root, func(t *testing.T, b *lab) {
		for _, n := range b.nodes {
			connect(t, n, "/")
		}
		b.net.SetDelay(b.hosts[0], b.hosts[2], time.Minute)
		go func() {
			time.Sleep(300 * time.Millisecond)
			b.net.SetDelay(b.hosts[0], b.hosts[2], time.Millisecond)
			b.hosts[2].Kill()
		}()
		start := time.Now()
		got, err := b.nodes[0].In("/").Join(t.Context(), "x")
		change(t, got, err, 2, node.Missing{Node: "n2", Reason: "node went away"})
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// The own node is missing when its change is not known to be in force.
func TestChangeThatIsNotInForceSaysSo(t *testing.T) {
	together(t, 2, root, func(t *testing.T, b *lab) {
		connect(t, b.nodes[0], "/")
		b.net.SetDelay(b.hosts[0], b.hosts[1], time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := b.nodes[0].In("/").Local().Join(ctx, "x")
		change(t, got, err, 1, node.Missing{Node: "n0", Reason: "the other nodes did not answer in time"})
	})
}

func TestInvalidChangesAreRefused(t *testing.T) {
	alone(t, root, func(t *testing.T, n *node.Node) {
		c := connect(t, n, "/")
		all := n.In("/")
		if _, err := all.Join(t.Context(), ""); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("empty room: %v", err)
		}
		if _, err := all.Join(t.Context(), c.session.ID()); node.CodeOf(err) != node.CodeForbidden {
			t.Errorf("room of a socket: %v", err)
		}
		if _, err := n.In("nowhere").Disconnect(t.Context(), true); node.CodeOf(err) != node.CodeInvalid {
			t.Errorf("no namespace: %v", err)
		}
		var rooms []string
		for i := range 1000 {
			rooms = append(rooms, fmt.Sprint(i))
		}
		got, err := all.Join(t.Context(), rooms...)
		change(t, got, err, 1)
		if got, err := all.Join(t.Context(), "one more"); err != nil || got.Refused != 1 || got.Sockets != 0 {
			t.Errorf("beyond the limit: %+v, %v", got, err)
		}
		expect(t, c)
	})
}
