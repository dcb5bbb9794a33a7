package bench

import (
	"math/rand/v2"
	"testing"
)

func TestTally(t *testing.T) {
	for _, tt := range []struct {
		name    string
		numbers []uint32
		want    map[verdict]int
		unique  uint32
	}{
		{"in order", []uint32{0, 1, 2, 3}, map[verdict]int{fresh: 4}, 4},
		{"nothing", nil, map[verdict]int{}, 0},
		{"one lost", []uint32{0, 2, 3}, map[verdict]int{fresh: 3}, 3},
		{"first lost", []uint32{1, 2}, map[verdict]int{fresh: 2}, 2},
		{"doubled", []uint32{0, 0, 1, 0, 1}, map[verdict]int{fresh: 2, doubled: 3}, 2},
		{"swapped", []uint32{1, 0, 2}, map[verdict]int{fresh: 2, late: 1}, 3},
		{"swapped, then doubled", []uint32{1, 0, 0}, map[verdict]int{fresh: 1, late: 1, doubled: 1}, 2},
		{"a gap filled from its middle", []uint32{9, 5, 5, 0, 8, 1, 3, 9}, map[verdict]int{fresh: 1, late: 5, doubled: 2}, 6},
	} {
		var y tally
		got := map[verdict]int{}
		for _, n := range tt.numbers {
			got[y.add(n)]++
		}
		for v := fresh; v <= stray; v++ {
			if got[v] != tt.want[v] {
				t.Errorf("%s: verdict %d %d times, want %d", tt.name, v, got[v], tt.want[v])
			}
		}
		if y.unique != tt.unique {
			t.Errorf("%s: %d different ones, want %d", tt.name, y.unique, tt.unique)
		}
	}
}

// TestTallyAgreesWithASet: any mix of lost, doubled and late ones is counted as a
// set of all numbers would.
func TestTallyAgreesWithASet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var y tally
		seen, highest := map[uint32]bool{}, -1
		for range 400 {
			n := uint32(r.IntN(200))
			want := fresh
			switch {
			case seen[n]:
				want = doubled
			case int(n) < highest:
				want = late
			}
			if got := y.add(n); got != want {
				t.Fatalf("%d after %d: %d, want %d", n, highest, got, want)
			}
			seen[n], highest = true, max(highest, int(n))
		}
		if int(y.unique) != len(seen) {
			t.Fatalf("%d different ones, want %d", y.unique, len(seen))
		}
	}
}

func TestGapsOverTheLimitAreGivenUpFromTheOldest(t *testing.T) {
	var y tally
	for n := uint32(1); n <= 2*(maxSpans+1); n += 2 { // all even ones are missing
		y.add(n)
	}
	if len(y.missing) != maxSpans {
		t.Fatalf("%d gaps are remembered, want %d", len(y.missing), maxSpans)
	}
	if got := y.add(0); got != doubled {
		t.Errorf("the oldest gap: verdict %d, want %d", got, doubled)
	}
	if got := y.add(2); got != late {
		t.Errorf("the oldest that is remembered: verdict %d, want %d", got, late)
	}
	y.add(y.next + 100) // the table is full again
	if got := y.add(y.next - 50); got != late || len(y.missing) != maxSpans {
		t.Errorf("the middle of a gap in a full table: verdict %d with %d gaps, want %d with %d", got, len(y.missing), late, maxSpans)
	}
}
