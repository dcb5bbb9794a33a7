package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreExactToAHundredth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(r.ExpFloat64() * float64(3*time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	c := Sum(&h)
	for _, q := range []float64{0.0001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(q*float64(len(all))+0.999999)-1)]
		got, ok := c.Quantile(q, 0)
		if !ok || got < want || got > want+want/100 {
			t.Errorf("quantile %v is %v, %v, want %v to 1 %%", q, got, ok, want)
		}
	}
	if c.Max != all[len(all)-1] || c.N != uint64(len(all)) {
		t.Errorf("%d values to %v, want %d to %v", c.N, c.Max, len(all), all[len(all)-1])
	}
}

func TestEveryDurationIsInItsBucket(t *testing.T) {
	for d := time.Duration(1); d < 1<<40; d += d/100 + 1 {
		i := bucket(d)
		if top(i) < d || i > 0 && top(i-1) >= d {
			t.Fatalf("%d ns is in bucket %d, (%d, %d]", d, i, top(i-1), top(i))
		}
	}
	for _, tt := range []struct {
		d    time.Duration
		want int
	}{{-1, 0}, {0, 0}, {1 << 41, buckets - 1}, {1<<63 - 1, buckets - 1}} {
		if got := bucket(tt.d); got != tt.want {
			t.Errorf("bucket(%d) = %d, want %d", tt.d, got, tt.want)
		}
	}
}

func TestMissingValuesCountAsTheHighest(t *testing.T) {
	var h Histogram
	before := Sum(&h)
	if d, ok := before.Quantile(0.99, 0); d != 0 || !ok {
		t.Errorf("quantile of nothing is %v, %v", d, ok)
	}
	for range 99 {
		h.Record(time.Millisecond)
	}
	c := Sum(&h).Minus(before)
	for _, tt := range []struct {
		missing uint64
		want    bool
	}{{0, true}, {1, true}, {2, false}} {
		if _, ok := c.Quantile(0.99, tt.missing); ok != tt.want {
			t.Errorf("with %d missing of %d, p99 is known: %v, want %v", tt.missing, 99+tt.missing, ok, tt.want)
		}
	}
	if c.Max != time.Millisecond {
		t.Errorf("max %v, want 1ms", c.Max)
	}
}
