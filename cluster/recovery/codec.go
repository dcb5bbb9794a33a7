package recovery

import (
	"fmt"
	"math"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Frames are msgpack as those of wire are: an array of the kind and then the fields as they are listed in the code methods, each
// struct an array of its own. Arrays grow at their end only, and what is behind what a reader knows is
// skipped, so that neighbouring versions understand each other.

// kind is the first element of a frame. The values stand in frames.
type kind uint64

const (
	kindMirror kind = 1 + iota
	kindMirrored
	kindReopened
	kindBuddies
	kindBuddiesKnown
	kindDrop
	kindDraining
	kindAskTail
	kindTail
	kindFetchTail
	kindTailEntries
	kindAskBarrier
	kindLookup
	kindFound
	kindTake
	kindGranted
	kindDenied
	kindFetch
	kindFetched
	kindDone
	kindRelease
	kindClaims
	kindHandOn
	kindHandedOn
	// The next is 25.
)

// AppendFrame appends f as another node reads it with DecodeFrame. There is no limit of its size here: frames
// have the limits of what is in them.
func AppendFrame(dst []byte, f Frame) []byte {
	c := coder{writes: true, out: dst}
	c.write(f)
	return c.out
}

// DecodeFrame reads what AppendFrame made; bytes behind it are ignored. It is nil, without an error, for a kind of a newer version. The frame has
// views of b, which must not be written again; sessions of a Mirror and small messages have none, as they are kept
// for long. Errors wrap wire.ErrMalformed. What is allocated is some eighty times b at most.
func DecodeFrame(b []byte) (Frame, error) {
	c := coder{in: wire.ReadValues(b)}
	f := c.read()
	if err := c.in.Err(); err != nil {
		return nil, fmt.Errorf("recovery: frame of %d bytes: %w", len(b), err)
	}
	return f, nil
}

// coder writes values, or reads them: one list of the fields serves both, so that neither has what the other lacks.
type coder struct {
	writes bool
	out    []byte
	in     wire.Values
	left   int // elements of the frame behind its kind
	newer  int // for tests: how many values more a struct has when it is written
}

// fields begins a struct of n fields, and tells, when it is read, how many more a newer version has. These are
// to be skipped at its end.
func (c *coder) fields(n int) (more int) {
	if c.writes {
		c.out = wire.AppendArray(c.out, n+c.newer)
		return c.newer
	}
	if more = c.in.Array() - n; more < 0 {
		c.in.Fail()
	}
	return more
}

func (c *coder) skip(more int) {
	if !c.writes {
		c.in.Skip(more)
		return
	}
	for range more {
		c.out = wire.AppendText(wire.AppendArray(c.out, 1), "newer")
	}
}

// number is for all that counts in as many bits as T has.
func number[T ~uint64 | ~uint8 | ~int64](c *coder, limit uint64, v *T) {
	if c.writes {
		c.out = wire.AppendUint(c.out, uint64(*v))
		return
	}
	n := c.in.Uint()
	if n > limit {
		c.in.Fail()
		return
	}
	*v = T(n)
}

func (c *coder) uint(v *uint64)      { number(c, math.MaxUint64, v) }
func (c *coder) node(v *wire.NodeID) { number(c, math.MaxUint64, v) }

// stream is one of those that there are.
func (c *coder) stream(v *wire.Stream) { number(c, wire.Streams-1, v) }

// span is some time, in nanoseconds. Less than none is none.
func (c *coder) span(v *time.Duration) {
	if c.writes {
		c.out = wire.AppendUint(c.out, uint64(max(*v, 0)))
		return
	}
	number(c, math.MaxInt64, v)
}

func (c *coder) bool(v *bool) {
	if c.writes {
		c.out = wire.AppendBool(c.out, *v)
		return
	}
	*v = c.in.Bool()
}

// text is a string.
func text[S ~string](c *coder, v *S) {
	if c.writes {
		c.out = wire.AppendText(c.out, string(*v))
		return
	}
	*v = S(c.in.Text())
}

// bin is a byte string; none is nil.
func (c *coder) bin(v *[]byte) {
	if c.writes {
		c.out = wire.AppendBin(c.out, *v)
		return
	}
	if b := c.in.Bin(); len(b) > 0 {
		*v = b
	}
}

// isNil writes whether there is nothing, or reads it; then no value follows.
func (c *coder) isNil(nothing bool) bool {
	if !c.writes {
		return c.in.Nil()
	}
	if nothing {
		c.out = wire.AppendNil(c.out)
	}
	return nothing
}

// few is for how many elements there is room from the beginning: what a count says is a lie at times.
const few = 64

// list is an array of what each reads or writes; none is nil.
func list[T any](c *coder, v *[]T, each func(*coder, *T)) {
	if c.writes {
		c.out = wire.AppendArray(c.out, len(*v))
		for i := range *v {
			each(c, &(*v)[i])
		}
		return
	}
	n := c.in.Array()
	if n == 0 {
		return
	}
	read := make([]T, 0, min(n, few))
	for ; n > 0 && !c.in.Failed(); n-- {
		read = append(read, *new(T))
		each(c, &read[len(read)-1])
	}
	*v = read
}
