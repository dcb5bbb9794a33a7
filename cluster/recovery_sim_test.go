package cluster

import (
	"maps"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// recoverySettings are those of a seed: most have room for everything.
func recoverySettings(seed uint64, broken recovery.Rule) recovery.Config {
	cfg := recovery.Config{Window: 20 * time.Second, Slack: 10 * time.Second, Patience: 9 * time.Second, FrameEntries: 3, Broken: broken}
	if seed%7 == 6 {
		cfg.LogBytes = 3000 // some thirty messages
	}
	if seed%11 == 10 {
		cfg.Window, cfg.Slack = 3*time.Second, 8*time.Second
	}
	if seed%4 == 3 {
		cfg.UnsentBytes = 1000 // two messages or three at a time
	}
	if seed%3 == 1 {
		cfg.PartBytes = 300 // two or three messages
	}
	if seed%13 == 12 {
		cfg.Recoveries, cfg.Waiting = 2, 3
	}
	if seed%19 == 18 {
		cfg.OrderEntries = 100
	}
	if seed%7 == 5 {
		cfg.Mirrors = 2
	}
	if seed%17 == 16 {
		cfg.HoldBytes = 2000
	}
	if seed%5 == 4 {
		cfg.Copies = 3
	}
	return cfg
}

// The kinds of great faults beside the kill: some rules are only needed in one of them.
const (
	byFreezing  = 0
	byCrash     = 3
	byBereaving = 4
	byCrowd     = 5
	byAmbush    = 6
	byStranger  = 7
	byRejoin    = 8
	anyKind     = 99
)

// simulateRecovery runs one seed: a kill -9 in each, another great fault before or behind it in most.
func simulateRecovery(seed uint64, broken recovery.Rule, kind uint64) *world {
	if kind == byReplacing {
		return simulateReplacement(seed, broken)
	}
	w := newWorld(seed, recoverySettings(seed, broken))
	if kind == anyKind {
		kind = seed / 2 % 9
	}
	w.steady = kind == byAmbush
	for range 4 + seed%2 {
		w.start(1 << 20)
	}
	for i := range 10 {
		c := &simClient{id: i}
		w.clients = append(w.clients, c)
		w.after(w.between(500*time.Millisecond, 1500*time.Millisecond), func() { w.connect(c) })
	}
	w.runFor(2 * time.Second)
	first, second := w.crash, func() {}
	switch kind {
	case byFreezing:
		second = func() { w.freeze(w.living()[0]) }
	case 1:
		second = w.partition
	case 2:
		second = w.retire
	case byCrash:
		second = w.crash
	case byBereaving:
		second = w.bereave
	case byCrowd:
		second = w.crowd
	case byAmbush:
		second = w.ambush
	case byStranger:
		second = w.stranger
	case byRejoin:
		second = w.rejoin
	}
	if seed%2 == 1 && kind != byAmbush {
		first, second = second, first
	}
	w.after(w.between(time.Second, 5*time.Second), func() { w.strike(first) })
	w.after(w.between(18*time.Second, 20*time.Second), func() { w.strike(second) })
	for end := w.now + 24*time.Second; w.now < end; {
		w.clientAct(w.clients[w.r.IntN(len(w.clients))])
		if w.r.IntN(150) == 0 {
			w.smallFault()
		}
		w.runFor(w.between(time.Millisecond, 30*time.Millisecond))
	}
	w.calmDown()
	return w
}

// strike waits for a moment at which hardly anybody sleeps.
func (w *world) strike(fault func()) {
	if len(w.living()) < 3 || len(w.sortedLinks()) == 0 {
		w.after(100*time.Millisecond, func() { w.strike(fault) })
		return
	}
	fault()
}

// calmDown heals everything: then all clients must have a session, and get a last message of each node.
func (w *world) calmDown() {
	w.calm = true
	w.runFor(11 * time.Second)
	w.oneOwner()
	w.runFor(11 * time.Second)
	for _, n := range w.living() {
		for _, p := range priorities {
			w.publish(w.recs[n.id], &wire.Message{Envelope: &wire.Envelope{Flags: p}, Payload: []byte(`["last"]`)})
		}
	}
	w.runFor(3 * time.Second)
	w.p.finish(w)
	w.p.problems = append(w.p.problems, w.h.problems...)
}

// recoveryRules are the rules of recovery, each of which must be needed.
var recoveryRules = map[string]recovery.Rule{
	"what a dead node published is completed":                           recovery.BreakTail,
	"an ack waits for the mirrors":                                      recovery.BreakAck,
	"the order is mirrored":                                             recovery.BreakOrder,
	"a mirror closes the stream first":                                  recovery.BreakClose,
	"a replay is filtered":                                              recovery.BreakFilter,
	"a session waits for barriers":                                      recovery.BreakLive,
	"what is replayed does not come live":                               recovery.BreakGate,
	"an owner is asked before a mirror":                                 recovery.BreakOwner | recovery.BreakClose,
	"claims are compared when a peer is back":                           recovery.BreakHeal,
	"a join waits for the mirrors":                                      recovery.BreakJoin,
	"a join waits for barriers":                                         recovery.BreakFence,
	"a mirror of an old generation is not heard":                        recovery.BreakGen,
	"old and new buddies must have it":                                  recovery.BreakJoint,
	"a client is answered when mirrors know":                            recovery.BreakAnswer,
	"what has come of a replay counts":                                  recovery.BreakReplayCursors,
	"a mirror gives a session once":                                     recovery.BreakHeld | recovery.BreakHeal,
	"every origin must answer":                                          recovery.BreakSections,
	"what has left the log is missing":                                  recovery.BreakShort,
	"nothing is replayed of before a join":                              recovery.BreakSince,
	"what was published before a false death is not acknowledged after": recovery.BreakDoubt,
	"a new buddy counts when it has everything":                         recovery.BreakHandover,
	"what a node published before it met another is not for that one":   recovery.BreakMet,
	"a replay has all its parts":                                        recovery.BreakParts,
	"what a dead node published has all its parts":                      recovery.BreakTailParts,
	"who is quiet has its last message":                                 recovery.BreakQuiet,
	"nobody is recovered while a node has no recovery":                  recovery.BreakUnable,
	"who is linked again says where a room begins":                      recovery.BreakRelink,
	"what a cursor says beyond its mirror counts":                       recovery.BreakLag,
	"who drains hands on what it mirrors of dead nodes":                 recovery.BreakHandOn,
	"whoever is handed that has all its parts":                          recovery.BreakHandOnParts,
	"a session of which mirrors do not know how it began is not theirs": recovery.BreakBegin,
}

// kindFor is the kind of fault in which a rule is needed most. Where claims are compared that mends what a mirror gives twice, so
// there both are broken, in seeds that do not need the comparison.
func kindFor(broken recovery.Rule) uint64 {
	switch broken {
	case recovery.BreakHeld | recovery.BreakHeal:
		return byCrash
	case recovery.BreakGen:
		return byBereaving
	case recovery.BreakJoint, recovery.BreakHandover:
		return byCrowd
	case recovery.BreakAnswer:
		return byAmbush
	case recovery.BreakDoubt, recovery.BreakClose:
		return byFreezing
	case recovery.BreakTailParts:
		return byCrash
	case recovery.BreakUnable:
		return byStranger
	case recovery.BreakRelink:
		return byRejoin
	case recovery.BreakHandOn, recovery.BreakHandOnParts:
		return byReplacing
	}
	return anyKind
}

// recoveryTotals are sums over seeds.
type recoveryTotals struct {
	pairs, acks, fresh, begun, recovered, replayed, early, unacked, excused int
	cursors, saying, vague, vaguely, woken, crossed                         int
	refusals                                                                map[string]int
	failed                                                                  string
	seed                                                                    uint64 // that failed
}

// runRecovery simulates seeds on all cores until one breaks a promise.
func runRecovery(seeds uint64, broken recovery.Rule, kind uint64) recoveryTotals {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		next atomic.Uint64
		t    = recoveryTotals{refusals: map[string]int{}}
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				mu.Lock()
				over := seed >= seeds || t.failed != ""
				mu.Unlock()
				if over {
					return
				}
				p := simulateRecovery(seed, broken, kind).p
				mu.Lock()
				t.add(p)
				if len(p.problems) > 0 {
					t.seed = seed
					t.failed = "seed " + strconv.FormatUint(seed, 10) + ": " + p.problems[0]
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return t
}

func (t *recoveryTotals) add(p *clientPromises) {
	t.pairs += p.promises.Kept
	t.acks += p.acks
	t.fresh += p.fresh
	t.begun += p.begun
	t.recovered += p.recovered
	t.replayed += p.replayed
	t.vaguely += p.vaguely
	t.woken += p.woken
	t.crossed += p.crossed
	t.early += p.early
	t.unacked += p.unacked
	t.excused += p.excused
	t.cursors += p.cursors
	t.saying += p.saying
	t.vague += len(p.vague)
	for reason, n := range p.refusals {
		t.refusals[reason] += n
	}
}

// TestSimulationOfRecovery: G1, G3, G4 and G6 of MESH §6 for clients that lose their connection or
// their node. A message that was acknowledged with a copy comes to every member once and in order, and whoever
// is told that he is recovered has missed nothing.
func TestSimulationOfRecovery(t *testing.T) {
	seeds := simSeeds(t)
	s := runRecovery(seeds, 0, anyKind)
	if s.failed != "" {
		t.Fatal(s.failed)
	}
	t.Logf("%d seeds with a kill each: %d messages of members, 0 acknowledged ones lost, reordered or for others; %d publishes acknowledged; %d recoveries, 0 false, with %d messages replayed; %d new sessions, %d of which began before mirrors had them; refused: %v; %d cursors, %d of them say what mirrors lack and %d not all of it; %d messages twice for that, %d of who was not dead, %d of who crossed a partition; %d of before a join, %d unacknowledged of dead nodes lost, %d in partitions",
		seeds, s.pairs, s.acks, s.recovered, s.replayed, s.fresh, s.begun, s.refusals, s.cursors, s.saying, s.vague, s.vaguely, s.woken, s.crossed, s.early, s.unacked, s.excused)
	if uint64(s.pairs) < seeds*500 || uint64(s.recovered) < seeds*10 || uint64(s.replayed) < seeds || uint64(s.saying) < 100*seeds {
		t.Error("that tests nothing")
	}
}

// TestSimulationNoticesEveryBrokenRuleOfRecovery: see TestSimulationNoticesEveryBrokenRule.
func TestSimulationNoticesEveryBrokenRuleOfRecovery(t *testing.T) {
	if os.Getenv("MESHRT_SIM") == "" {
		t.Skip("make sim does")
	}
	for name, broken := range maps.All(recoveryRules) {
		t.Run(name, func(t *testing.T) {
			s := runRecovery(300, broken, kindFor(broken))
			if s.failed == "" {
				t.Fatal("nobody noticed")
			}
			t.Log(s.failed)
			if p := simulateRecovery(s.seed, 0, kindFor(broken)).p; len(p.problems) > 0 {
				t.Errorf("that seed fails with the rule too: %s", p.problems[0])
			}
		})
	}
}
