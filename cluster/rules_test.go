package cluster

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The rules of the protocol, each of which must be needed.
var rules = map[string]rule{
	"joins wait":                            breakJoinAtOnce,
	"trust is leased":                       breakTrustForever,
	"a lease counts from the question":      breakLeaseFromReceipt,
	"joins wait for promises to cut peers":  breakPromiseOfCut,
	"joins wait for the SYNC of a new link": breakConfirm,
	"what was on the way is sent again":     breakResend,
	"no data before SYNC":                   breakDataBeforeSync,
	"nothing overtakes what waits":          breakOrder,
	"a renewed lease sends what waits":      breakRenewal,
	"numbers outlive a false death":         breakFrontier,
	"a gap is told":                         breakGap,
	"promises end when a peer is silent":    breakWithhold,
	"each priority has numbers of its own":  breakNumbers,
	"a gap is in a stream":                  breakGapStream,
	"a gap keeps its place in its lane":     breakGapLane,
	"low messages keep their order":         breakLow,
	"a new link resumes every stream":       breakFrontiers,
}

// run simulates seeds on all cores until one breaks a promise, and tells it.
func run(seeds uint64, broken rule) (pairs, lost, joins int, slowest time.Duration, failed string) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		next atomic.Uint64
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				mu.Lock()
				over := seed >= seeds || failed != ""
				mu.Unlock()
				if over {
					return
				}
				h := simulate(seed, broken)
				mu.Lock()
				pairs, lost, joins, slowest = pairs+h.pairs, lost+h.lost, joins+h.joins, max(slowest, h.slowest)
				if len(h.problems) > 0 {
					failed = "seed " + strconv.FormatUint(seed, 10) + ": " + h.problems[0]
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return pairs, lost, joins, slowest, failed
}

// simSeeds is how many seeds are tried; make sim tries more.
func simSeeds(t *testing.T) uint64 {
	seeds, err := strconv.ParseUint(os.Getenv("MESHRT_SIM"), 10, 64)
	if err != nil {
		return 20
	}
	return seeds
}

// TestSimulation: G1, G2, G3 and G5 of MESH §6. Whatever happens to links and nodes,
// what was published after a join was acknowledged arrives once and in order; where that
// cannot be, the receiver is told.
func TestSimulation(t *testing.T) {
	seeds := simSeeds(t)
	pairs, lost, joins, slowest, failed := run(seeds, 0)
	if failed != "" {
		t.Fatal(failed)
	}
	t.Logf("%d seeds: %d messages of members, 0 lost, doubled or out of order; %d in gaps that were told; %d joins, the slowest took %v", seeds, pairs, lost, joins, slowest)
	if uint64(pairs) < seeds*1000 || lost == 0 {
		t.Error("that tests nothing")
	}
}

// TestSimulationNoticesEveryBrokenRule: a rule that can be broken unseen is not needed, or
// not tested.
func TestSimulationNoticesEveryBrokenRule(t *testing.T) {
	if os.Getenv("MESHRT_SIM") == "" {
		t.Skip("make sim does")
	}
	for name, broken := range rules {
		t.Run(name, func(t *testing.T) {
			_, _, _, _, failed := run(200, broken)
			if failed == "" {
				t.Error("nobody noticed")
			}
			t.Log(failed)
		})
	}
}
