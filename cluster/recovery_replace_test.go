package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
)

// byReplacing is the kind of seed in which nobody fails: all nodes are retired, one after the other, and others started.
const byReplacing = 1000

// replaceSettings have a window in which all nodes can be replaced.
func replaceSettings(seed uint64, broken recovery.Rule) recovery.Config {
	cfg := recovery.Config{Window: 60 * time.Second, Slack: 10 * time.Second, Patience: 9 * time.Second, FrameEntries: 3, Broken: broken}
	if seed%3 == 1 {
		cfg.PartBytes = 300
	}
	if seed%5 == 4 {
		cfg.Copies = 3
	}
	return cfg
}

// simulateReplacement runs one seed. Some clients go away before the first node does, and come back at the end of the window: all that they
// know of has been replaced. Nobody may be refused.
func simulateReplacement(seed uint64, broken recovery.Rule) *world {
	w := newWorld(seed, replaceSettings(seed, broken))
	w.found = true
	for range 3 + seed%2 {
		w.start(1 << 20)
	}
	for i := range 10 {
		c := &simClient{id: i}
		w.clients = append(w.clients, c)
		w.after(w.between(500*time.Millisecond, 1500*time.Millisecond), func() { w.connect(c) })
	}
	w.live(4 * time.Second)
	w.owed = w.clients
	for _, c := range w.clients[:4] {
		if c.up {
			w.hangUp(c, w.between(48*time.Second, 56*time.Second))
		}
	}
	old := w.living()
	w.after(w.between(100*time.Millisecond, 3*time.Second), func() { w.replace(old) })
	w.live(57 * time.Second)
	if n := slices.IndexFunc(old, func(n *simNode) bool { return !n.dead }); n >= 0 {
		w.p.problem("stuck: node %v could not leave", old[n].id)
	}
	w.calmDown()
	return w
}

// live has clients act for a time.
func (w *world) live(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.clientAct(w.clients[w.r.IntN(len(w.clients))])
		w.runFor(w.between(time.Millisecond, 30*time.Millisecond))
	}
}

// replace retires nodes, each some time after the one before has gone.
func (w *world) replace(nodes []*simNode) {
	if len(nodes) == 0 {
		return
	}
	w.retireNode(nodes[0], func() {
		w.after(w.between(2*time.Second, 6*time.Second), func() { w.replace(nodes[1:]) })
	})
}

// TestSimulationOfReplacement: G4 and G6 of MESH §6 when no node stays that clients have known, though none has failed.
func TestSimulationOfReplacement(t *testing.T) {
	seeds := simSeeds(t)/5 + 2 // each takes three times as long as others
	s := runRecovery(seeds, 0, byReplacing)
	if s.failed != "" {
		t.Fatal(s.failed)
	}
	t.Logf("%d seeds in which all nodes were replaced: %d messages of members; %d recoveries with %d messages replayed, %d new sessions; refused: %v",
		seeds, s.pairs, s.recovered, s.replayed, s.fresh, s.refusals)
	if uint64(s.recovered) < seeds*10 || uint64(s.replayed) < seeds*20 {
		t.Error("that tests nothing")
	}
}
