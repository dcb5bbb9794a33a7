package presence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

const entryCost = 202 // of one with an id of two letters

// newFull has a place for ten such entries.
func newFull(t *testing.T) *desk {
	d := newDesk(t, Config{MaxBytes: 10*entryCost + 1})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	return d
}

func (d *desk) joins(version uint64, ids ...string) {
	f := frame{Kind: kindDelta, Room: lobby.Room, Base: version - 1, Version: version}
	for _, id := range ids {
		f.Changes = append(f.Changes, change{Entry: Entry{ID: id}})
	}
	d.tell(f)
}

// The changes of another node's set are kept up to MaxBytes. From then on its node is missing, who leaves is told, and a
// minute later all is wanted again.
func TestChangesBeyondMaxBytesAreNotKept(t *testing.T) {
	d := newFull(t)
	d.tell(part(1, "a0", "a1", "a2", "a3"))
	d.joins(2, "b0", "b1", "b2", "b3", "b4", "b5")
	if got := d.m.Stats(); got.Members != 10 || got.Bytes != 10*entryCost || got.Dropped != 0 || len(d.m.Missing(lobby)) != 0 {
		t.Fatalf("at the edge: %+v, missing %v", got, d.m.Missing(lobby))
	}
	d.joins(3, "c0", "c1")
	d.joins(4, "c2")
	full := []Missing{{"two", ErrFull.Error()}}
	if got := d.m.Stats(); got.Members != 10 || got.Bytes != 10*entryCost || got.Dropped != 2 || !slices.Equal(d.m.Missing(lobby), full) {
		t.Errorf("beyond it: %+v, missing %v", got, d.m.Missing(lobby))
	}
	d.after(0)
	d.tell(frame{Kind: kindDelta, Room: lobby.Room, Base: 4, Version: 5, Changes: []change{{Entry: Entry{ID: "a0"}, Left: true, Reason: "left"}}})
	d.expect(0, "-i:a0 a0@two left")
	d.tell(frame{Kind: kindState, Rooms: []state{{Room: lobby.Room, Version: 5}}})
	if got := d.wants(); len(got) != 0 {
		t.Errorf("wanted at once: %q", got)
	}
	d.now += retryMost
	d.m.Now(d.now)
	d.m.Tick()
	if got := d.wants(); len(got) != 1 || got[0][len(got[0])-1] != '0' {
		t.Errorf("a minute later %q is wanted, want all", got)
	}
	d.tell(part(6, "a1", "c0"))
	if got := d.keys(); !slices.Equal(got, []string{"i:a1", "i:c0"}) || len(d.m.Missing(lobby)) != 0 {
		t.Errorf("has %q, missing %v", got, d.m.Missing(lobby))
	}
}

// said are the frames to node 2.
func (d *desk) said() (list []string) {
	for _, s := range d.m.Take().Send {
		f, _ := decode(s.Payload)
		switch {
		case f.Kind == kindState:
			list = append(list, fmt.Sprint("state ", f.Rooms[0].Version > 0))
		case f.Kind == kindPart || f.Kind == kindDelta:
			list = append(list, fmt.Sprint(len(f.Entries)+len(f.Changes)))
		}
	}
	return list
}

// A set of one's own that has no place is told to nobody: lists name its node, here and elsewhere. With place
// again it is looked for anew, and told.
func TestOwnSetBeyondMaxBytesIsSaidToBe(t *testing.T) {
	d := newFull(t)
	d.tell(frame{Kind: kindWant, Rooms: []state{{Room: lobby.Room}}})
	for i := range 10 {
		d.join(fmt.Sprint("s", i), "")
	}
	if got := d.said(); !slices.Equal(got, []string{"10", "0"}) && !slices.Equal(got, []string{"10", "10"}) {
		t.Fatalf("said %q", got)
	}
	d.join("x0", "")
	d.join("x1", "")
	if got := d.said(); !slices.Equal(got, []string{"state false"}) {
		t.Errorf("beyond it %q is said", got)
	}
	if got := d.m.Missing(lobby); len(got) == 0 || got[0] != (Missing{"one", ErrFull.Error()}) || d.m.Stats().Dropped != 2 || len(d.keys()) != 10 {
		t.Errorf("missing %v of %q, %+v", got, d.keys(), d.m.Stats())
	}
	d.tell(frame{Kind: kindWant, Rooms: []state{{Room: lobby.Room}}})
	if got := d.said(); !slices.Equal(got, []string{"state false"}) {
		t.Errorf("who asks then is told %q", got)
	}
	for i := range 3 {
		d.leave(fmt.Sprint("s", i), "left")
	}
	d.after(2 * slowEvery)
	if got := d.m.Unscanned(); !slices.Equal(got, []wire.Topic{lobby}) {
		t.Fatalf("with place again %v is looked for", got)
	}
	d.join("x0", "")
	d.m.Scanned(lobby)
	if got := d.said(); !slices.Equal(got, []string{"8"}) || len(d.m.Missing(lobby)) != 1 {
		t.Errorf("told %q then, missing %v", got, d.m.Missing(lobby))
	}
}

// One who hears that of another lists it as missing at once.
func TestSetThatItsNodeHasNoPlaceForIsMissing(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{2, "two", true, 1}})
	d.tell(part(1, "a0"))
	d.tell(frame{Kind: kindState, Rooms: []state{{Room: lobby.Room}}})
	if got := d.m.Missing(lobby); !slices.Equal(got, []Missing{{"two", ErrFull.Error()}}) || len(d.keys()) != 1 {
		t.Errorf("missing %v, has %q", got, d.keys())
	}
	d.tell(part(9, "a0", "a1"))
	if got := d.m.Missing(lobby); len(got) != 0 || len(d.keys()) != 2 {
		t.Errorf("missing %v, has %q", got, d.keys())
	}
}

// Many who come or go at once do not each move the others in the order of the room.
func TestManyAtOnceDoNotKeepTheOrder(t *testing.T) {
	const many = 3 * maxMoves
	d := newDesk(t, Config{})
	d.m.Follow([]Peer{{ID: 2, Name: "two", Up: true, Link: 1}})
	d.join("m", "")
	d.keys() // in order from now on
	f, sum := frame{Kind: kindPart, Room: lobby.Room, Version: 7, First: true, Last: true}, uint64(0)
	for i := range many {
		e := Entry{ID: fmt.Sprintf("z%03d", (i*7)%many)}
		f.Entries, sum = append(f.Entries, e), sum^e.sum()
	}
	f.Sum = sum
	if err := d.m.Receive(2, lobby.Namespace, f.encode()); err != nil {
		t.Fatal(err)
	}
	if d.m.rooms[lobby].sorted != nil {
		t.Error("many who came have moved the others")
	}
	if got := d.keys(); len(got) != 1+many || !slices.IsSorted(got) {
		t.Errorf("the list has %d in the order %.200q", len(got), got)
	}
	d.m.Follow(nil)
	if d.after(5 * time.Second); d.m.rooms[lobby].sorted != nil {
		t.Error("many who have gone have moved the others")
	}
	if got := d.keys(); !slices.Equal(got, []string{"i:m"}) {
		t.Errorf("the list has %q", got)
	}
}

// Thousands of members that leave one by one, as when their clients are cut, are told together: a few frames of each room, and
// none later than deltaEvery. Few changes wait for nobody.
func TestChangesOfAStormAreToldTogether(t *testing.T) {
	const members, rooms = 1000, 20
	d := newDesk(t, Config{})
	topic := func(r int) wire.Topic { return wire.Topic{Namespace: "/", Room: fmt.Sprint("room", r)} }
	for r := range rooms {
		d.m.Watch(topic(r))
		d.m.wanted(2, topic(r), 0)
	}
	for _, x := range d.m.Unscanned() {
		d.m.Scanned(x)
	}
	d.after(0)
	step := func() (deltas int) {
		before := d.m.Stats().Deltas
		d.after(0)
		return int(d.m.Stats().Deltas - before)
	}
	for i := range freeDeltas {
		d.m.Join(topic(i%rooms), Entry{ID: fmt.Sprint(i)})
		if got := step(); got != 1 {
			t.Fatalf("change %d is told in %d frames at once, want 1", i, got)
		}
	}
	d.now += deltaEvery
	deltas, told := 0, d.now
	for i := range members {
		for r := range rooms {
			d.m.Join(topic(r), Entry{ID: fmt.Sprint("m", i)})
		}
		if got := step(); got > 0 {
			deltas, told = deltas+got, d.now
		} else if due := d.m.Due(); due <= d.now || due > told+deltaEvery {
			t.Fatalf("at %v, what waits since %v is due at %v", d.now, told, due)
		}
		d.now += 100 * time.Microsecond
	}
	if most := freeDeltas + rooms*(2+members*100/20_000); deltas > most {
		t.Errorf("%d changes in 100 ms were told in %d frames, want %d at most", members*rooms, deltas, most)
	}
	d.m.Join(topic(0), Entry{ID: "now or soon"})
	step()
	d.m.Join(topic(0), Entry{ID: "soon"})
	waits := step() == 0
	d.m.Hurry()
	if got := step(); !waits || got == 0 {
		t.Errorf("a change waits: %v; in a hurry %d frames are told", waits, got)
	}
	d.now += 3 * deltaEvery
	step()
	d.m.Join(topic(0), Entry{ID: "calm"})
	if got := step(); got != 1 {
		t.Errorf("a change in calm is told in %d frames at once, want 1", got)
	}
}

// The order of a room's members is not kept when nobody lists them: each change would move half of it.
func TestOrderIsNotKeptWhenNobodyLists(t *testing.T) {
	d := newDesk(t, Config{})
	for i := range 1000 {
		d.join(fmt.Sprintf("%03d", i), "")
	}
	d.keys()
	for i := range maxMoves {
		if d.leave(fmt.Sprintf("%03d", i), "left"); d.m.rooms[lobby].sorted == nil {
			t.Fatalf("the order is gone after %d changes", i+1)
		}
	}
	if d.leave("999", "left"); d.m.rooms[lobby].sorted != nil {
		t.Errorf("%d changes have moved the order", maxMoves+1)
	}
	keys := d.keys()
	if len(keys) != 1000-maxMoves-1 || !slices.IsSorted(keys) {
		t.Errorf("lists %d members, in order: %v", len(keys), slices.IsSorted(keys))
	}
	if d.leave("998", "left"); d.m.rooms[lobby].sorted == nil || len(d.keys()) != len(keys)-1 {
		t.Error("the order of a list is gone after one change")
	}
}

// What waits to be told is told to those who followed then: a change that nobody followed has no place in a delta, so one with those before
// and behind it would be a hole in the sets of others.
func TestADeltaHasNoHoleOfWhenNobodyFollowed(t *testing.T) {
	d := newDesk(t, Config{})
	d.m.wanted(2, lobby, 0)
	d.after(0)
	d.m.deltas, d.m.deltasAt = d.m.prompt, d.now
	d.join("a", "")
	if e := d.m.Take(); len(e.Send) > 0 {
		t.Fatalf("%d frames are sent at once: that tests nothing", len(e.Send))
	}
	d.m.own[lobby].unwant(2)
	d.join("b", "")
	d.m.wanted(2, lobby, 1)
	d.join("c", "")
	deltas := 0
	for _, s := range d.m.Take().Send {
		f, err := decode(s.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == kindDelta {
			deltas++
			if int(f.Version-f.Base) != len(f.Changes) {
				t.Errorf("%d changes make version %d of %d", len(f.Changes), f.Version, f.Base)
			}
		}
	}
	if deltas != 1 {
		t.Errorf("%d deltas, want 1", deltas)
	}
}
