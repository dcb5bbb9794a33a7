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

// past is the history of "room" as n tells it, which must be complete.
func past(t *testing.T, n *node.Node, opt node.HistoryOptions) (payloads []string, h node.History) {
	t.Helper()
	h, err := n.History(context.Background(), "/", "room", opt)
	if err != nil || len(h.Missing) > 0 {
		t.Fatalf("missing %v, %v", h.Missing, err)
	}
	return payloadsOf(h), h
}

func payloadsOf(h node.History) (payloads []string) {
	for _, m := range h.Messages {
		payloads = append(payloads, string(m.Message.Payload))
	}
	return payloads
}

func TestHistoryIsOfAllNodesOldestFirst(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		var want []string
		for i := range 30 {
			room := b.nodes[i%3].In("/").To("room").Priority(node.Priority(i % 2))
			if err := room.EmitSafe(t.Context(), "e", i); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf(`["e",%d]`, i))
			time.Sleep(100 * time.Millisecond)
		}
		other := b.nodes[0].In("/")
		other.To("elsewhere").Emit("other", 0)
		other.To("room").Volatile().Emit("volatile", 0)
		other.Emit("all", 0)
		b.nodes[1].In("/chat").To("room").Emit("other namespace", 0)
		other.To("room", "elsewhere", "room").Emit("both", 0)
		want = append(want, `["both",0]`)
		for i, n := range b.nodes {
			if got, h := past(t, n, node.HistoryOptions{}); !slices.Equal(got, want) || h.More {
				t.Errorf("node %d: got %q, more %v, want %q", i, got, h.More, want)
			}
			got, h := past(t, n, node.HistoryOptions{Limit: 7})
			if !slices.Equal(got, want[24:]) || !h.More {
				t.Errorf("node %d: got %q, more %v, want the last 7", i, got, h.More)
			}
			if age := h.Messages[1].Age; age < 500*time.Millisecond || age > 600*time.Millisecond {
				t.Errorf("node %d: age %v, want about 600 ms", i, age)
			}
			if got, h := past(t, n, node.HistoryOptions{Within: 350 * time.Millisecond}); !slices.Equal(got, want[27:]) || h.More {
				t.Errorf("node %d: got %q, more %v, want those of 350 ms", i, got, h.More)
			}
		}
		time.Sleep(window + time.Minute)
		if got, h := past(t, b.nodes[0], node.HistoryOptions{}); len(got) > 0 || h.More {
			t.Errorf("got %q, more %v after the window", got, h.More)
		}
	})
}

func TestHistoryGoesOnBehindAnID(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		for i := range 20 {
			for k, n := range b.nodes {
				if err := n.In("/").To("room").EmitSafe(t.Context(), fmt.Sprint("p", k), i); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(500 * time.Millisecond)
		}
		_, h := past(t, b.nodes[0], node.HistoryOptions{})
		at := slices.IndexFunc(h.Messages, func(m node.HistoryMessage) bool { return string(m.Message.Payload) == `["p1",9]` })
		got, more := past(t, b.nodes[1], node.HistoryOptions{After: h.Messages[at].ID})
		if !slices.Equal(only(got, "p1"), numbered("p1", 10, 20)) || more.More {
			t.Errorf("got %q, more %v, want those behind the id", got, more.More)
		}
		// Two more of the other one, of a second before, come again, and none is left out.
		if p0 := only(got, "p0"); len(p0) < 10 || len(p0) > 13 || !slices.Equal(p0[len(p0)-10:], numbered("p0", 10, 20)) {
			t.Errorf("got %q, want all of the other publisher", p0)
		}
		if got, h := past(t, b.nodes[0], node.HistoryOptions{After: h.Messages[at].ID, Limit: 4}); len(got) != 4 || !h.More {
			t.Errorf("got %q, more %v, want the last 4 and to hear of others", got, h.More)
		}
		for _, id := range []string{"x", "1-2-3", h.Messages[0].ID + "-", strings.Repeat("-", 70), b.nodes[0].ID().String() + "-3-1"} {
			if _, err := b.nodes[0].History(t.Context(), "/", "room", node.HistoryOptions{After: id}); node.CodeOf(err) != node.CodeInvalid {
				t.Errorf("%q: %v, want that it is invalid", id, err)
			}
		}
	})
}

func TestHistoryHasWhatAKilledNodeHasPublished(t *testing.T) {
	recoveringTogether(t, 4, func(t *testing.T, b *lab) {
		for i := range 10 {
			if err := b.nodes[0].In("/").To("room").EmitSafe(t.Context(), "e", i); err != nil {
				t.Fatal(err)
			}
		}
		b.kill(0)
		time.Sleep(time.Second) // an age is as exact as the link was fast
		b.nodes[1].In("/").To("room").Emit("e", 10)
		h, err := b.nodes[2].History(t.Context(), "/", "room", node.HistoryOptions{})
		if err != nil || len(h.Messages) > 0 && !slices.Equal(only(payloadsOf(h), "e"), numbered("e", 11-len(h.Messages), 11)) {
			t.Errorf("before it is noticed: %q, %v", payloadsOf(h), err)
		}
		time.Sleep(noticed)
		for _, n := range b.nodes[1:] {
			if got, _ := past(t, n, node.HistoryOptions{}); !slices.Equal(got, numbered("e", 0, 11)) {
				t.Errorf("got %q, want each once", got)
			}
		}
	})
}

func TestHistoryNamesTheDeadThatNobodyHas(t *testing.T) {
	recoveringTogether(t, 3, func(t *testing.T, b *lab) {
		if err := b.nodes[0].In("/").To("room").EmitSafe(t.Context(), "e", 0); err != nil {
			t.Fatal(err)
		}
		b.kill(0)
		b.kill(1)
		time.Sleep(2 * noticed)
		h, err := b.nodes[2].History(t.Context(), "/", "room", node.HistoryOptions{})
		lost := slices.ContainsFunc(h.Missing, func(m node.Missing) bool { return m.Node == b.nodes[0].ID().String() })
		if err != nil || lost == (len(h.Messages) == 1) {
			t.Errorf("got %q, missing %v, %v: a message is there, or its node is named", payloadsOf(h), h.Missing, err)
		}
	})
}

func TestHistoryIsForMembersAndWithoutWhatIsNotForThem(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		a, c := connect(t, b.nodes[0], "/"), connect(t, b.nodes[1], "/")
		a.join("room")
		a.join("quiet")
		a.session.To("room").Emit("own")
		b.nodes[1].In("/").To("room").Except(a.session.ID()).Emit("excepted")
		b.nodes[1].In("/").To("room").Except("quiet").Emit("not the quiet")
		b.nodes[1].In("/").To("room").Emit("e")
		time.Sleep(time.Second)
		h, err := a.session.History(t.Context(), "room", node.HistoryOptions{})
		if got := payloadsOf(h); err != nil || !slices.Equal(got, []string{`["e"]`}) {
			t.Errorf("a: got %q, %v", got, err)
		}
		if _, err := c.session.History(t.Context(), "room", node.HistoryOptions{}); node.CodeOf(err) != node.CodeForbidden {
			t.Errorf("who is no member: %v, want that it is forbidden", err)
		}
		c.join("room")
		if h, err := c.session.History(t.Context(), "room", node.HistoryOptions{}); err != nil || len(h.Messages) != 4 {
			t.Errorf("c: got %q, %v, want all four", payloadsOf(h), err)
		}
	})
}

func TestHistoryHasLimits(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		big := strings.Repeat("x", 100_000)
		for i := range 10 {
			b.nodes[i%2].In("/").To("room").Emit("e", big)
			time.Sleep(20 * time.Millisecond)
		}
		if got, h := past(t, b.nodes[0], node.HistoryOptions{}); len(got) != node.MaxHistoryBytes/100_000 || !h.More {
			t.Errorf("got %d of 100 kB, more %v", len(got), h.More)
		}
		b.nodes[1].In("/").To("room").Emit("e", strings.Repeat(big, 6))
		if got, h := past(t, b.nodes[0], node.HistoryOptions{}); len(got) != 1 || !h.More {
			t.Errorf("got %d, more %v, want one that is larger than the limit", len(got), h.More)
		}
		for i := range node.MaxHistory + 1 {
			b.nodes[0].In("/").To("room").Emit("e", i)
		}
		if got, h := past(t, b.nodes[1], node.HistoryOptions{Limit: node.MaxHistory}); !slices.Equal(got, numbered("e", 1, 1+node.MaxHistory)) || !h.More {
			t.Errorf("got %d, more %v, want the last %d", len(got), h.More, node.MaxHistory)
		}
		for _, opt := range []node.HistoryOptions{{Limit: -1}, {Limit: node.MaxHistory + 1}, {Within: -1}} {
			if _, err := b.nodes[0].History(t.Context(), "/", "room", opt); node.CodeOf(err) != node.CodeInvalid {
				t.Errorf("%+v: %v, want that it is invalid", opt, err)
			}
		}
	})
}

func TestUnseenIsKnownOfASessionOnly(t *testing.T) {
	recoveringTogether(t, 1, func(t *testing.T, b *lab) {
		n, unseen := b.nodes[0], node.HistoryOptions{Unseen: true}
		_, byNode := n.History(t.Context(), "/", "room", unseen)
		_, byNamespace := n.Namespace("/").History(t.Context(), "room", unseen)
		for who, err := range map[string]error{"Node": byNode, "Namespace": byNamespace} {
			if node.CodeOf(err) != node.CodeInvalid || !strings.Contains(err.Error(), "Session.History") {
				t.Errorf("%s.History: %v, want that it is invalid, and whom to ask", who, err)
			}
		}
	})
}

func TestHistoryNeedsRecovery(t *testing.T) {
	alone(t, nil, func(t *testing.T, n *node.Node) {
		_, err := n.Namespace("/").History(t.Context(), "room", node.HistoryOptions{})
		if node.CodeOf(err) != node.CodeUnavailable || !strings.Contains(err.Error(), "-recovery") {
			t.Errorf("%v, want that it is unavailable without -recovery", err)
		}
	})
}

// A client that asks without a pause gets all that it asks for, slowly.
func TestHistoryOfOneClientIsPaced(t *testing.T) {
	recoveringTogether(t, 2, func(t *testing.T, b *lab) {
		a := connect(t, b.nodes[0], "/")
		a.join("room")
		ask := func(times int) time.Duration {
			start := time.Now()
			for range times {
				if _, err := a.session.History(t.Context(), "room", node.HistoryOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		if took := ask(100); took > 500*time.Millisecond {
			t.Errorf("100 at once took %v", took)
		}
		if took := ask(60); took < 2*time.Second || took > 3500*time.Millisecond {
			t.Errorf("60 more took %v, want 20 a second", took)
		}
		if s := b.nodes[0].Stats().History; s.Answered != 160 || s.Waited < 40 || s.Waited > 60 {
			t.Errorf("%+v", s)
		}
		time.Sleep(10 * time.Second)
		if took := ask(100); took > 500*time.Millisecond {
			t.Errorf("100 after a pause took %v", took)
		}
	})
}
