package node

import (
	"encoding/json"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/meshrt/meshrt/wire"
)

// Who asks while a list is made, or when nothing has changed since, has the same, in the same memory.
func TestAStormOfListsMakesFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 500
		n := running(t, 2)
		n.Namespace("/")
		var all []*Session
		for i := range clients {
			all = append(all, member(t, n, deaf{}, i%2, "lobby"))
		}
		if _, err := n.Namespace("/").Presence(t.Context(), "lobby"); err != nil {
			t.Fatal(err)
		}
		p := &n.presences
		storm := func() map[unsafe.Pointer]int {
			var mu sync.Mutex
			texts := map[unsafe.Pointer]int{}
			var wg sync.WaitGroup
			for _, s := range all {
				wg.Go(func() {
					err := s.WatchPresence(t.Context(), "lobby", func(l PresenceList) {
						mu.Lock()
						defer mu.Unlock()
						texts[unsafe.Pointer(&l.Ack().Args()[0])] += len(l.Members)
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return texts
		}
		made := p.lists.Made
		if texts := storm(); len(texts) != 1 || p.lists.Made != made {
			t.Errorf("nothing has changed: %d lists made, %d texts", p.lists.Made-made, len(texts))
		}
		all[0].Leave("lobby")
		all[0].Join(t.Context(), "lobby")
		if texts := storm(); len(texts) != 1 || p.lists.Made != made+1 {
			t.Errorf("one change: %d lists made, %d texts", p.lists.Made-made, len(texts))
		}
		// One that comes and goes between any two lists: those who have asked meanwhile are told the next.
		f := p.follows[watched("lobby")]
		f.turn <- struct{}{}
		var wg sync.WaitGroup
		for _, s := range all {
			wg.Go(func() {
				s.Leave("lobby")
				s.Join(t.Context(), "lobby")
				if err := s.WatchPresence(t.Context(), "lobby", func(PresenceList) {}); err != nil {
					t.Error(err)
				}
			})
		}
		for gathered := 0; gathered < clients; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			if gathered = 0; f.gathering != nil {
				gathered = len(f.gathering.who)
			}
			p.mu.Unlock()
		}
		made = p.lists.Made
		<-f.turn
		wg.Wait()
		if got := p.lists.Made - made; got != 1 {
			t.Errorf("%d lists made for those who had gathered", got)
		}
	})
}

// What is kept for who asks next has a limit, and an end.
func TestKeptListsAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		n.Namespace("/")
		member(t, n, deaf{}, 0, "a", "b")
		p := &n.presences
		kept := func(want int) {
			t.Helper()
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.listed) != want || (p.listBytes > 0) != (want > 0) {
				t.Errorf("%d lists of %d bytes are kept, want %d", len(p.listed), p.listBytes, want)
			}
		}
		list := func(room string) {
			if l, err := n.Namespace("/").Presence(t.Context(), room); err != nil || len(l.Members) != 1 {
				t.Error(l, err)
			}
		}
		list("a")
		p.mu.Lock()
		p.listBytes += maxKeptLists - 2*p.listBytes + 1 // no place for another
		p.mu.Unlock()
		list("b")
		kept(1)
		p.mu.Lock()
		p.listBytes = p.follows[watched("a")].list.size
		p.mu.Unlock()
		list("b")
		kept(2)
		time.Sleep(keptListsLast + 2*time.Second)
		kept(0)
	})
}

func watched(room string) wire.Topic { return wire.Topic{Namespace: "/", Room: room} }

// A client has asked when the room was as it is no more: its session does not keep that list.
func TestSessionKeepsNoAnswerThatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := running(t, 1)
		n.Namespace("/")
		s := member(t, n, deaf{}, 0, "lobby")
		answer := func() weak.Pointer[SharedAck] {
			a := &SharedAck{args: json.RawMessage("[]")}
			(&Event{Session: s, HasAck: true, AckID: 1}).AckShared(a)
			return weak.Make(a)
		}
		old := answer()
		synctest.Wait()
		runtime.GC()
		if old.Value() != nil {
			t.Error("it is kept")
		}
		if err := s.WaitAnswered(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
