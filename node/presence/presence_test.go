package presence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

var lobby = wire.Topic{Namespace: "/", Room: "lobby"}

// desk is one Machine whose events are written down.
type desk struct {
	t   *testing.T
	m   *Machine
	now time.Duration
}

func newDesk(t *testing.T, cfg Config) *desk {
	cfg.Self, cfg.Name = 1, "one"
	d := &desk{t: t, m: New(cfg), now: 1}
	if err := d.m.Watch(lobby); err != nil {
		t.Fatal(err)
	}
	d.m.Hold(lobby, 1)
	for _, x := range d.m.Unscanned() {
		d.m.Scanned(x)
	}
	d.m.Take()
	return d
}

// after lets time pass and gives the events.
func (d *desk) after(wait time.Duration) (events []string) {
	for end := d.now + wait; ; d.now += min(100*time.Millisecond, end-d.now) {
		d.m.Now(d.now)
		if due := d.m.Due(); due > 0 && due <= d.now {
			d.m.Tick()
		}
		for _, e := range d.m.Take().Events {
			if e.Left {
				events = append(events, fmt.Sprintf("-%s %s@%s %s", e.Member.Key, e.Member.ID, e.Member.Node, e.Reason))
			} else {
				events = append(events, fmt.Sprintf("+%s %s@%s", e.Member.Key, e.Member.ID, e.Member.Node))
			}
		}
		if d.now >= end {
			return events
		}
	}
}

func (d *desk) expect(wait time.Duration, want ...string) {
	d.t.Helper()
	if got := d.after(wait); !slices.Equal(got, want) {
		d.t.Errorf("after %v: events %q, want %q", wait, got, want)
	}
}

func (d *desk) join(id, user string)    { d.m.Join(lobby, Entry{ID: id, User: user}) }
func (d *desk) leave(id, reason string) { d.m.Leave(lobby, id, reason, false) }

func (d *desk) keys() (keys []string) {
	list, _ := d.m.List(lobby, "", 1000)
	for _, x := range list {
		keys = append(keys, x.Key)
	}
	return keys
}

func TestUserWithSeveralSocketsIsOneMember(t *testing.T) {
	d := newDesk(t, Config{})
	d.join("b", "ann")
	d.expect(0, "+u:ann b@one")
	d.join("a", "ann")
	d.join("a", "ann") // to say it twice is to say it once
	d.expect(0)
	list, _ := d.m.List(lobby, "", 10)
	if len(list) != 1 || list[0].ID != "a" || !slices.Equal(list[0].Sockets, []Socket{{"a", "one"}, {"b", "one"}}) {
		t.Errorf("list %+v", list)
	}
	d.leave("a", "left")
	d.expect(5 * time.Second)
	d.leave("b", "left")
	d.expect(0, "-u:ann b@one left")
}

func TestReloadOfAUserIsNoLeaveAndJoin(t *testing.T) {
	d := newDesk(t, Config{})
	d.join("a", "ann")
	d.join("z", "")
	d.expect(0, "+u:ann a@one", "+i:z z@one")
	d.leave("a", "transport close")
	d.leave("z", "transport close")
	d.expect(time.Second, "-i:z z@one transport close")
	if got := d.keys(); !slices.Equal(got, []string{"u:ann"}) {
		t.Errorf("in the grace the list has %q: who is not told as left is in it", got)
	}
	d.join("b", "ann")
	d.expect(500 * time.Millisecond)
	d.leave("b", "ping timeout") // a grace of its own: that of before is over soon
	d.expect(1900 * time.Millisecond)
	d.expect(200*time.Millisecond, "-u:ann b@one ping timeout")
	if s := d.m.Stats(); s.Returned != 1 || s.Joined != 2 || s.Left != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestSocketThatMayReturnHasTheGraceToo(t *testing.T) {
	d := newDesk(t, Config{Grace: 3 * time.Second})
	d.join("a", "")
	d.m.Leave(lobby, "a", "moved", true)
	d.expect(2900*time.Millisecond, "+i:a a@one")
	d.join("a", "")
	d.expect(9 * time.Second)
	d.m.Leave(lobby, "a", "moved", true)
	d.expect(2900 * time.Millisecond)
	d.expect(200*time.Millisecond, "-i:a a@one moved")
}

// tell is a frame of node 2.
func (d *desk) tell(f frame) {
	d.t.Helper()
	if err := d.m.Receive(2, "/", f.encode()); err != nil {
		d.t.Fatal(err)
	}
}

func part(version uint64, ids ...string) frame {
	f := frame{Kind: kindPart, Room: lobby.Room, Version: version, First: true, Last: true}
	for _, id := range ids {
		e := Entry{ID: id}
		f.Entries = append(f.Entries, e)
		f.Sum ^= e.sum()
	}
	return f
}

func TestNodeThatIsDownTakesItsMembersAlongOnce(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	d.join("ann1", "ann")
	d.tell(part(5, "a", "b", "c"))
	d.m.Join(lobby, Entry{ID: "bob1", User: "bob"})
	if got := d.after(0); len(got) != 5 {
		t.Fatalf("events %q", got)
	}
	d.m.Follow([]Peer{{2, "two", false, 1}}) // cut off, and no more
	d.expect(time.Minute)
	d.m.Follow(nil)
	d.expect(1900 * time.Millisecond)
	d.join("b", "") // recovered, here
	got := d.after(10 * time.Second)
	slices.Sort(got)
	if want := []string{"-i:a a@two node_down", "-i:c c@two node_down"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if got := d.keys(); !slices.Equal(got, []string{"i:b", "u:ann", "u:bob"}) {
		t.Errorf("list %q", got)
	}
}

// wants are the rooms that are wanted of others, with the version.
func (d *desk) wants() (wants []string) {
	for _, s := range d.m.Take().Send {
		if f, _ := decode(s.Payload); f.Kind == kindWant {
			wants = append(wants, fmt.Sprint(s.To, f.Rooms[0].Room, f.Rooms[0].Version))
		}
	}
	return wants
}

func TestMissingChangeHasTheSetWantedAnewAtOnceAndOnce(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	if got := d.wants(); !slices.Equal(got, []string{"[0000000000008]lobby0"}) && len(got) != 1 {
		t.Fatalf("wants %q", got)
	}
	d.tell(part(5, "a"))
	delta := func(base, version uint64, id string) {
		d.tell(frame{Kind: kindDelta, Room: lobby.Room, Base: base, Version: version, Changes: []change{{Entry: Entry{ID: id}}}})
	}
	delta(5, 6, "b")
	delta(5, 6, "b") // told already
	if got := d.wants(); len(got) != 0 || len(d.keys()) != 2 {
		t.Fatalf("wants %q, has %q", got, d.keys())
	}
	delta(7, 9, "d")
	delta(9, 10, "e")
	if got := d.wants(); len(got) != 1 || len(d.keys()) != 2 {
		t.Fatalf("wants %q, want one; has %q", got, d.keys())
	}
	first := part(10, "a", "c", "d")
	first.Last = false
	d.tell(first)
	delta(10, 12, "f")
	last := part(12, "e")
	last.First = false
	last.Sum = part(0, "a", "c", "d", "e", "f").Sum
	d.tell(last)
	if got := d.keys(); !slices.Equal(got, []string{"i:a", "i:c", "i:d", "i:e", "i:f"}) || len(d.wants()) != 0 {
		t.Errorf("has %q", got)
	}
	lost := part(13, "a")
	lost.Last = false
	d.tell(lost)
	lost.First, lost.Version = false, 15
	d.tell(lost)
	if got := d.wants(); len(got) != 1 || d.m.Stats().Repairs != 2 {
		t.Errorf("wants %q after a part that does not follow, want one", got)
	}
}

func TestStateComesBehindTheChangesThatItHas(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	d.tell(frame{Kind: kindWant, Rooms: []state{{Room: lobby.Room}}})
	d.m.Take()
	d.now += digestEvery + slowEvery
	d.m.Now(d.now)
	d.join("a", "")
	d.m.Tick()
	var kinds []kind
	for _, s := range d.m.Take().Send {
		if f, _ := decode(s.Payload); f.Kind == kindDelta || f.Kind == kindState {
			kinds = append(kinds, f.Kind)
		}
	}
	if want := []kind{kindDelta, kindState}; !slices.Equal(kinds, want) {
		t.Errorf("sent kinds %v, want %v", kinds, want)
	}
}

func TestListIsPaged(t *testing.T) {
	d := newDesk(t, Config{})
	for i := range 25 {
		d.join(fmt.Sprintf("s%02d", i), "")
	}
	var got []string
	pages := 0
	for after := ""; ; pages++ {
		list, next := d.m.List(lobby, after, 10)
		for _, x := range list {
			got = append(got, x.ID)
		}
		if after = next; after == "" {
			break
		}
	}
	if len(got) != 25 || pages != 2 || !slices.IsSorted(got) {
		t.Errorf("%d pages of %q", pages+1, got)
	}
}

func TestLimits(t *testing.T) {
	d := newDesk(t, Config{MaxRooms: 2, MaxBytes: 2000})
	if err := d.m.Watch(wire.Topic{Namespace: "/", Room: "b"}); err != nil {
		t.Error(err)
	}
	if err := d.m.Watch(wire.Topic{Namespace: "/", Room: "c"}); !errors.Is(err, ErrFull) {
		t.Errorf("third room: %v", err)
	}
	d.after(evictAfter)
	if err := d.m.Watch(wire.Topic{Namespace: "/", Room: "c"}); err != nil || d.m.Follows(wire.Topic{Namespace: "/", Room: "b"}) {
		t.Errorf("third room, in place of one that nobody watches: %v", err)
	}
	d.after(2 * slowEvery)
	d.m.Follow([]Peer{{2, "two", true, 1}})
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprint("s", i))
	}
	d.tell(part(1, ids...))
	if got := d.m.Missing(lobby); len(d.keys()) != 0 || len(got) != 1 || got[0].Reason != ErrFull.Error() {
		t.Errorf("a set that is too large: %q, missing %v", d.keys(), got)
	}
	d.tell(part(1, ids[:3]...))
	if len(d.keys()) != 3 || len(d.m.Missing(lobby)) != 0 {
		t.Errorf("a smaller one: %q, missing %v", d.keys(), d.m.Missing(lobby))
	}
	for i := range 4 {
		d.tell(frame{Kind: kindWant, Rooms: []state{{Room: fmt.Sprint("r", i)}}})
	}
	if got := d.m.Stats(); got.Refused != 3 || got.Dropped != 1 || got.Told != 2 {
		t.Errorf("stats %+v, want 2 rooms told and 3 refused", got)
	}
	d.m.Join(lobby, Entry{ID: "x", User: strings.Repeat("u", MaxUser+1)})
	d.m.Join(lobby, Entry{ID: "x", Info: bytes.Repeat([]byte("1"), MaxInfo+1)})
	d.m.Join(lobby, Entry{ID: "x", Info: []byte("{")})
	if got := len(d.keys()); got != 3 {
		t.Errorf("%d members, want 3: the others' entries are no entries", got)
	}
}

func TestChangesThatNobodySendsAreToldAnew(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	d.tell(frame{Kind: kindWant, Rooms: []state{{Room: lobby.Room}}})
	d.m.Take()
	for range maxPending/2 + 1 {
		d.join("a", "")
		d.leave("a", "left")
	}
	parts := 0
	for _, s := range d.m.Take().Send {
		if f, _ := decode(s.Payload); f.Kind == kindPart {
			parts++
		}
	}
	if got := d.m.Stats().Dropped; got != maxPending || parts != 1 {
		t.Errorf("%d dropped, %d parts", got, parts)
	}
}

func TestFramesThatMakeNoSenseAreRefused(t *testing.T) {
	long := strings.Repeat("r", maxRoom+1)
	for name, f := range map[string]frame{
		"no kind":     {},
		"long room":   {Kind: kindPart, Room: long},
		"no id":       {Kind: kindPart, Room: "r", Entries: []Entry{{}}},
		"long id":     {Kind: kindPart, Room: "r", Entries: []Entry{{ID: strings.Repeat("i", maxID+1)}}},
		"info":        {Kind: kindPart, Room: "r", Entries: []Entry{{ID: "i", Info: []byte("{")}}},
		"many":        {Kind: kindPart, Room: "r", Entries: make([]Entry, partEntries+1)},
		"many rooms":  {Kind: kindWant, Rooms: make([]state, frameRooms+1)},
		"no room":     {Kind: kindWant, Rooms: []state{{}}},
		"long reason": {Kind: kindDelta, Room: "r", Changes: []change{{Entry: Entry{ID: "i"}, Left: true, Reason: strings.Repeat("x", maxReason+1)}}},
	} {
		if err := New(Config{}).Receive(2, "/", f.encode()); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(part(1, "a", "b").encode())
	f.Add(frame{Kind: kindDelta, Room: lobby.Room, Base: 1, Version: 2, Changes: []change{{Entry: Entry{ID: "a"}, Left: true, Reason: "left", Returns: true}}}.encode())
	f.Add(frame{Kind: kindWant, Rooms: []state{{Room: lobby.Room, Version: 3}}}.encode())
	f.Add(frame{Kind: kindState, Rooms: []state{{Room: lobby.Room, Version: 3, Sum: 4}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDesk(t, Config{})
		d.m.Follow([]Peer{{2, "two", true, 1}})
		d.m.Join(lobby, Entry{ID: "mine"})
		d.tell(part(1, "a", "b"))
		d.m.Receive(2, "/", b)
		d.m.Receive(3, "/", b)
		d.after(3 * time.Second)
		if x, err := decode(b); err == nil {
			if y, err := decode(x.encode()); err != nil || fmt.Sprint(y) != fmt.Sprint(x) {
				t.Errorf("%+v encodes to %+v, %v", x, y, err)
			}
		}
		d.keys()
	})
}
