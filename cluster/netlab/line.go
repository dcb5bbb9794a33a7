package netlab

import (
	"math/rand/v2"
	"time"
)

// maxWait is what a throttled line holds; more is dropped at its end.
const maxWait = 200 * time.Millisecond

// line is one direction between two nodes.
type line struct {
	rule Rule
	r    *rand.Rand
	busy time.Time // when a throttled line has sent what it was given
	held int       // packets on the way
	Stats
}

// Stats counts the packets of one direction.
type Stats struct {
	Passed  uint64 // copies included
	Dropped uint64 // by the rule
	Bytes   uint64 // passed
}

// newLine draws from the seed by itself, so that what happens to the n-th
// packet of a direction does not depend on the others.
func newLine(seed uint64, from, to int) *line {
	return &line{r: rand.New(rand.NewPCG(seed, uint64(from)<<8|uint64(to)))}
}

// pass decides about a packet: how many copies arrive, and when. Each packet
// draws three numbers whatever the rule is, so that a rule that changes earlier
// or later leaves the fate of later packets as it is.
func (l *line) pass(now time.Time, b []byte) (copies int, at time.Time) {
	lost, twice, late := l.r.Float64(), l.r.Float64(), l.r.Float64()
	r := l.rule
	if r.Cut || r.BlockUDP && isUDP(b) || lost < r.Loss {
		l.Dropped++
		return 0, now
	}
	at = now.Add(r.Delay + time.Duration(late*float64(r.Jitter)))
	if r.BytesPerSec > 0 {
		if l.busy.Before(now) {
			l.busy = now
		}
		if l.busy.Sub(now) > maxWait {
			l.Dropped++
			return 0, now
		}
		l.busy = l.busy.Add(time.Duration(len(b)) * time.Second / time.Duration(r.BytesPerSec))
		at = at.Add(l.busy.Sub(now))
	}
	copies = 1
	if twice < r.Duplicate {
		copies = 2
	}
	l.Passed += uint64(copies)
	l.Bytes += uint64(copies * len(b))
	return copies, at
}
