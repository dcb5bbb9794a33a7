package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// fillPresence follows as many rooms as a node may, of which room 0 was asked for first.
func fillPresence(t *testing.T, p *presences) {
	t.Helper()
	for i := range 10_000 {
		if _, err := p.follow(wire.Topic{Namespace: "/", Room: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			time.Sleep(time.Second)
		}
	}
	time.Sleep(6 * time.Second)
}

// A room that made way for another, and is asked for again before the others have heard of the one or
// the other, is followed anew: whoever watches it is told, and may end.
func TestARoomThatMadeWayIsFollowedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		p, room := &n.presences, wire.Topic{Namespace: "/", Room: "0"}
		fillPresence(t, p)
		n.stepPresence(t.Context())
		old := p.follows[room]
		for _, r := range []string{"new", "0"} {
			if _, err := p.follow(wire.Topic{Namespace: "/", Room: r}); err != nil {
				t.Fatal(err)
			}
		}
		n.stepPresence(t.Context())
		if f := p.follows[room]; f == nil || f == old {
			t.Errorf("room 0 is followed as %v, was %v, want another", f, old)
		}
		if got := len(p.follows); got != 10_000 {
			t.Errorf("%d rooms are followed, want 10,000", got)
		}
	})
}

// A room that makes way between its listing and its watching is not watched.
func TestARoomThatHasMadeWayIsNotWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		defer func() { cancel(); <-done }()
		n.Namespace("/")
		synctest.Wait()
		s, err := n.Open(ctx, SessionConfig{Namespace: "/", Sink: deaf{}})
		if err != nil {
			t.Fatal(err)
		}
		p := &n.presences
		fillPresence(t, p)
		synctest.Wait()
		p.lock() // as if the goroutine did not come by
		if err := p.m.Watch(wire.Topic{Namespace: "/", Room: "new"}); err != nil {
			t.Fatal(err)
		}
		p.mu.Unlock()
		if _, err := s.prime(wire.Topic{Namespace: "/", Room: "0"}); err == nil {
			t.Error("a room that is not followed is watched")
		}
	})
}

// A session that watches before it is open, and is refused, watches no more.
func TestWhoIsRefusedWatchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		n.Namespace("/").OnConnect(func(s *Session) error {
			if err := s.WatchPresence(t.Context(), "lobby", func(PresenceList) {}); err != nil {
				t.Error(err)
			}
			return Errorf(CodeForbidden, "not you")
		})
		if _, err := n.Open(t.Context(), SessionConfig{Namespace: "/", Sink: deaf{}}); err == nil {
			t.Error("it is open")
		}
		if got := n.Stats().Watchers; got != 0 {
			t.Errorf("%d watch, want nobody", got)
		}
	})
}

// A list of long infos is not made for each client that asks: it would wait in memory until that has read it.
func TestAListOfTooManyBytesIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, info := running(t, 1), strings.Repeat("x", MaxUserInfo-2)
		n.Namespace("/").OnConnect(func(s *Session) error { return s.SetUser("u"+s.ID(), info) })
		last := member(t, n, deaf{}, 0, "lobby")
		listed := 0
		watch := func() error {
			return last.WatchPresence(t.Context(), "lobby", func(l PresenceList) { listed = len(l.Members) })
		}
		const few = maxListBytes / (MaxUserInfo + 120)
		for range few - 1 {
			last = member(t, n, deaf{}, 0, "lobby")
		}
		if err := watch(); err != nil || listed != few {
			t.Errorf("%d members: listed %d, %v", few, listed, err)
		}
		for range maxListBytes/MaxUserInfo + 1 - few {
			last = member(t, n, deaf{}, 0, "lobby")
		}
		if err := watch(); CodeOf(err) != CodeLimit || n.Stats().Watchers != 1 {
			t.Errorf("one too many: %v, %d watch, want the one of before", err, n.Stats().Watchers)
		}
	})
}
