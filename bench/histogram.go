package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// precision is the number of bits that a value keeps: each bucket is at most
	// 1/128 (0.8 %) wide.
	precision = 7
	// octaves above the exact values; the last ends at 2^40 ns, 18 minutes.
	octaves = 33
	buckets = (octaves + 1) << precision
)

// Histogram counts durations in log-linear buckets, as HDR histograms do. What is
// below 0 counts as 0, and what is over 18 minutes as that. Record may be called
// from any goroutine while others read. The zero Histogram is empty.
type Histogram struct {
	counts [buckets]atomic.Uint64
	max    atomic.Int64
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(d)].Add(1)
	for {
		old := h.max.Load()
		if int64(d) <= old || h.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// bucket is the index for d.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<precision {
		return int(v)
	}
	shift := bits.Len64(v) - precision - 1 // v>>shift is in [128, 256)
	return min(shift<<precision+int(v>>shift), buckets-1)
}

// top is the highest duration of a bucket.
func top(i int) time.Duration {
	if i < 2<<precision {
		return time.Duration(i)
	}
	shift := i>>precision - 1
	return time.Duration((i-shift<<precision+1)<<shift - 1)
}

// Counts is a copy of histograms at one time, added up.
type Counts struct {
	counts []uint64
	N      uint64
	Max    time.Duration // exact, of the whole time since the histogram was empty
}

// Sum copies histograms.
func Sum(list ...*Histogram) Counts {
	c := Counts{counts: make([]uint64, buckets)}
	for _, h := range list {
		for i := range h.counts {
			n := h.counts[i].Load()
			c.counts[i] += n
			c.N += n
		}
		c.Max = max(c.Max, time.Duration(h.max.Load()))
	}
	return c
}

// Minus is what came since before, an earlier copy of the same histograms. Its Max
// is that of a bucket.
func (c Counts) Minus(before Counts) Counts {
	d := Counts{counts: make([]uint64, buckets), N: c.N - before.N}
	for i := range d.counts {
		d.counts[i] = c.counts[i] - before.counts[i]
		if d.counts[i] > 0 {
			d.Max = min(top(i), c.Max)
		}
	}
	return d
}

// Quantile is the duration that a share q of the values do not exceed, at most
// 0.8 % too high; missing are values that have not come and count as higher than
// all others. It is 0 when there are no values, and ok is false when the quantile
// is a missing one.
func (c Counts) Quantile(q float64, missing uint64) (d time.Duration, ok bool) {
	if c.N+missing == 0 {
		return 0, true
	}
	rank := max(1, uint64(q*float64(c.N+missing)+0.999999))
	seen := uint64(0)
	for i, n := range c.counts {
		if seen += n; seen >= rank {
			return min(top(i), c.Max), true
		}
	}
	return c.Max, false
}
