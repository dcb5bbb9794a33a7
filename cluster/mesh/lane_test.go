package mesh

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// numbered is a frame of size bytes, and frameOf reads it back.
func numbered(lane Lane, n uint64, size int) []byte {
	return wire.AppendReply(nil, wire.Reply{ID: uint64(lane)<<32 | n, Body: make([]byte, size)})
}

// sent reads the frames of a write.
func sent(t *testing.T, b []byte) (ids []uint64, sizes [Lanes]int) {
	t.Helper()
	for len(b) > 0 {
		size := 4 + int(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]))
		r, err := wire.DecodeReply(wire.Frame(b[4:size]))
		if err != nil {
			t.Fatalf("a write cuts a frame: %v", err)
		}
		ids = append(ids, r.ID)
		sizes[r.ID>>32] += size
		b = b[size:]
	}
	return ids, sizes
}

func TestLanesShareALinkThatIsAlwaysFull(t *testing.T) {
	var q lanes
	var n [Lanes]uint64
	fill := func() {
		for lane := range Lane(Lanes) {
			for q.of[lane].bytes < 256<<10 {
				q.put(lane, numbered(lane, n[lane], 1000))
				n[lane]++
			}
		}
	}
	var got [Lanes]int
	var last [Lanes]uint64
	for range 1500 {
		fill()
		b := q.take()
		if len(b.bytes) > writeBytes {
			t.Fatalf("a write of %d bytes", len(b.bytes))
		}
		ids, sizes := sent(t, b.bytes)
		for _, id := range ids {
			if lane := id >> 32; id&(1<<32-1) != last[lane] {
				t.Fatalf("frame %d of lane %d came for %d", id&(1<<32-1), lane, last[lane])
			} else {
				last[lane]++
			}
		}
		for lane := range got {
			got[lane] += sizes[lane]
		}
		q.give(b)
	}
	for lane, weight := range weights {
		if share := got[lane] * 15 / (got[0] + got[1] + got[2] + got[3]); share < weight-1 || share > weight {
			t.Errorf("lane %d has %d/15 of the link, want %d", lane, share, weight)
		}
	}
	for q.take().bytes != nil {
	}
	if q.bytes != 0 || q.of[LaneLow].bytes != 0 {
		t.Errorf("nothing waits, and %d bytes do", q.bytes)
	}
}

// What has waited for nothing is next, however long the others have waited.
func TestALaneThatWasEmptyIsNext(t *testing.T) {
	for _, busy := range []Lane{LaneHigh, LaneNormal, LaneLow} {
		var q lanes
		for n := range uint64(2000) {
			q.put(busy, numbered(busy, n, 1000))
		}
		for range 10 {
			q.take()
			q.put(LaneControl, numbered(LaneControl, 1, 10))
			if ids, _ := sent(t, q.take().bytes); ids[0]>>32 != uint64(LaneControl) {
				t.Fatalf("after lane %d: %x is before control", busy, ids[0])
			}
		}
	}
}

// A frame that is larger than a write goes whole, and alone.
func TestLargeFramesGoWhole(t *testing.T) {
	var q lanes
	for n := range uint64(5) {
		q.put(LaneNormal, numbered(LaneNormal, n, int(n)*50_000))
		q.put(LaneLow, numbered(LaneLow, n, 10))
	}
	var ids []uint64
	for b := q.take(); b.bytes != nil; b = q.take() {
		got, _ := sent(t, b.bytes)
		if len(got) > 1 && len(b.bytes) > writeBytes {
			t.Errorf("%d frames in %d bytes", len(got), len(b.bytes))
		}
		ids = append(ids, got...)
		q.give(b)
	}
	if len(ids) != 10 {
		t.Errorf("%d frames came out, want 10", len(ids))
	}
	for _, b := range q.free {
		if cap(b) > 2*writeBytes {
			t.Errorf("a block of %d bytes is kept", cap(b))
		}
	}
}

// What is lent goes as it is, in its order, and is given back.
func TestLentSpansAreNotCopied(t *testing.T) {
	var q lanes
	var lent atomic.Int32
	var n uint64
	var large []byte
	for _, size := range []int{10, lendBytes, 10, lendBytes, lendBytes - 1000} {
		s := Span{Bytes: numbered(LaneNormal, n, size), Frames: 1, Lent: &lent}
		if n == 1 {
			large = append(make([]byte, 0, 2*size), s.Bytes...) // behind it are other frames of its owner
			s.Bytes = large
		}
		q.putSpan(LaneNormal, s)
		n++
	}
	q.putSpan(LaneNormal, Span{Bytes: numbered(LaneNormal, n, lendBytes), Frames: 1})
	if got := lent.Load(); got != 2 {
		t.Errorf("%d spans are lent, want 2", got)
	}
	var ids []uint64
	for b := q.take(); b.bytes != nil; b = q.take() {
		got, _ := sent(t, b.bytes)
		if ids = append(ids, got...); got[0]&7 == 1 && &b.bytes[0] != &large[0] {
			t.Error("a large span was copied")
		}
		q.give(b)
	}
	for i, id := range ids {
		if id&(1<<32-1) != uint64(i) {
			t.Fatalf("frame %d came for %d", id&(1<<32-1), i)
		}
	}
	if behind := large[len(large):cap(large)]; slices.Max(behind) != 0 {
		t.Error("the memory behind a lent span was written to")
	}
	if len(ids) != 6 || q.bytes != 0 || lent.Load() != 0 {
		t.Errorf("%d frames came, want 6; %d bytes wait, %d spans are lent", len(ids), q.bytes, lent.Load())
	}
}

// stuck are two nodes of which y reads nothing, until its block is closed: each lane of data of
// the link from x is full.
func stuck(t *testing.T, b *lab) (x, y *node, count [Lanes]int) {
	x, y = b.start(1, nil), b.start(2, nil)
	y.block = make(chan struct{})
	x.mesh.SetPeers([]Peer{y.peer()})
	pass(time.Second)
	for lane := LaneLow; lane > LaneControl; lane-- {
		for {
			taken, err := x.link(2).SendAll(lane, []Span{{Bytes: numbered(lane, uint64(count[lane]), 1000), Frames: 1}}, false)
			if count[lane] += taken; errors.Is(err, ErrFull) {
				break
			}
			if count[lane]%1000 == 0 {
				pass(time.Millisecond) // what the connection takes is gone
			}
		}
	}
	return x, y, count
}

// A heartbeat, or the answer to a question of the lease, does not wait behind a megabyte of
// messages of each priority.
func TestControlPassesFullLanes(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y, count := stuck(t, b)
		l := x.link(2)
		for lane := LaneHigh; lane <= LaneLow; lane++ {
			if got := l.lanes.of[lane].bytes; got < 900_000 || got > 1<<20 {
				t.Fatalf("%d bytes wait in lane %d, want about a megabyte", got, lane)
			}
		}
		l.SendIn(LaneControl, numbered(LaneControl, 0, 10))
		waiting := l.Queued()
		close(y.block)
		pass(5 * time.Second)
		got := y.got(1)
		if want := 1 + count[1] + count[2] + count[3]; len(got) != want {
			t.Fatalf("%d frames came, want %d", len(got), want)
		}
		behind := (len(got) - slices.Index(got, 0)) * 1000
		if behind < waiting-2*writeBytes {
			t.Errorf("control was before %d of %d bytes that waited", behind, waiting)
		}
		var next [Lanes]uint64
		for _, id := range got {
			if lane := id >> 32; id&(1<<32-1) != next[lane] {
				t.Fatalf("lane %d: frame %d for %d", lane, id&(1<<32-1), next[lane])
			} else {
				next[lane]++
			}
		}
		if ready := x.ready.Load(); ready != 3 {
			t.Errorf("LinkReady came %d times, want once for each lane", ready)
		}
	})
}

// BYE is the last word, behind the lowest lane.
func TestByeIsBehindAllLanes(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y, count := stuck(t, b)
		time.AfterFunc(100*time.Millisecond, func() { close(y.block) })
		x.stop()
		<-x.done
		pass(time.Second)
		if got, want := len(y.got(1)), count[1]+count[2]+count[3]; got != want {
			t.Errorf("%d frames came before the goodbye, want %d", got, want)
		}
		if last := y.log[len(y.log)-1]; last != "down 1: peer says: node is leaving" {
			t.Errorf("last event %q", last)
		}
	})
}
