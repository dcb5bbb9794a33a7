//go:build linux

package torture

import (
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
)

// seen is what one process has said of the others; guarded by world.mu.
type seen struct {
	boot     string // its id
	isKilled bool
	over     time.Time // when it ended
	links    map[string]int
	met      map[string]time.Time // when there was a link first
	ids      map[string]string    // member id to name
	left     map[string]string    // name to the id that left last
	downs    []about              // over when it was back
	gaps     []about
}

// about is something that was said of a node.
type about struct {
	name string
	at   time.Time
	over time.Time // zero: not yet
}

// gapMessage begins the log line of a GAP.
const gapMessage = "messages of a peer are lost: its log did not reach back to the break"

// wasDown tells whether the process took a node for dead at a time, or later:
// either way it dropped what it had for it.
func (s *seen) wasDown(name string, at time.Time) bool {
	return slices.ContainsFunc(s.downs, func(a about) bool {
		return a.name == name && (a.over.IsZero() || a.over.After(at))
	})
}

// knewNot tells whether the process had no link to a node yet.
func (s *seen) knewNot(name string, at time.Time) bool {
	return s.met[name].IsZero() || s.met[name].After(at)
}

// toldSince tells whether the process was told of a gap in what a node published.
func (s *seen) toldSince(name string, at time.Time) bool {
	return slices.ContainsFunc(s.gaps, func(a about) bool { return a.name == name && a.at.After(at) })
}

// back ends a death of a node.
func (s *seen) back(name string) {
	for i := range s.downs {
		if a := &s.downs[i]; a.name == name && a.over.IsZero() {
			a.over = time.Now()
		}
	}
}

func (w *world) started(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.seen = seen{links: map[string]int{}, met: map[string]time.Time{}, ids: map[string]string{}, left: map[string]string{}}
}

func (w *world) killed(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.isKilled = true
}

func (w *world) ended(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.over = time.Now()
	if !r.ending.Load() {
		r.isKilled = true
		w.problemLocked("%s ended by itself: %v", r.n.name, r.tail.lines)
	}
}

// logged takes in a line of a node's log. A node is down for another when that
// one has neither a link to it nor has it as a member.
func (w *world) logged(r *run, l logLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch l.Msg {
	case "serving":
		r.boot = l.Boot
	case "linked":
		r.links[l.Peer]++
		if r.met[l.Peer].IsZero() {
			r.met[l.Peer] = time.Now()
		}
		r.back(l.Peer)
	case "link ended", "link lost":
		r.links[l.Peer]--
		if !strings.Contains(l.Reason, mesh.ErrReplaced.Error()) { // the newer connection's "linked" is the next line of it
			w.lookDownLocked(r, l.Peer)
		}
	case "member joined":
		r.ids[l.ID] = l.Member
		r.back(l.Member)
	case "member left":
		delete(r.ids, l.ID)
		r.left[l.Member] = l.ID
		w.lookDownLocked(r, l.Member)
	case gapMessage:
		r.gaps = append(r.gaps, about{name: l.Peer, at: time.Now()})
		w.trial.row.gaps++
		if w.trial.deadly == nil && w.trial.starved < time.Second {
			w.problemLocked("%s has a gap in the messages of %s", r.n.name, l.Peer)
		}
	}
}

// detection is the least time after which a node that is cut off may be taken
// for dead: two probes and the suspicion that follows (MESH §2).
const detection = 2500 * time.Millisecond

// lookDownLocked judges a death, unless it is that of an earlier process.
func (w *world) lookDownLocked(r *run, name string) {
	for _, member := range r.ids {
		if member == name {
			return
		}
	}
	if r.links[name] > 0 || r.ending.Load() {
		return
	}
	r.downs = append(r.downs, about{name: name, at: time.Now()})
	peer := w.byName(name)
	if p := peer.run.Load(); p.ending.Load() || r.left[name] != p.boot {
		return
	}
	t := w.trial
	switch {
	case t.deadly != nil && t.deadly(r.n.i, peer.i) && time.Since(t.began) >= detection:
	case t.starved > time.Second:
		t.row.excused++
		w.t.Logf("%s took %s for dead; this machine stood still for %v", r.n.name, name, t.starved)
	default:
		t.row.early++
		w.problemLocked("%s took %s for dead", r.n.name, name)
	}
}

func (w *world) byName(name string) *node {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.name == name })
	return w.nodes[i]
}

// whole tells whether all nodes run, each has exactly the others as members and
// a link to each.
func (w *world) whole() bool {
	for _, n := range w.nodes {
		r := n.run.Load()
		if r.boot == "" || !r.over.IsZero() || len(r.ids) != len(w.nodes)-1 {
			return false
		}
		for _, other := range w.nodes {
			if other != n && (r.links[other.name] < 1 || r.ids[other.run.Load().boot] != other.name) {
				return false
			}
		}
	}
	return true
}

// knowsNot tells whether every other running node has dropped a process's id.
func (w *world) knowsNot(gone *run) bool {
	for _, n := range w.nodes {
		if _, ok := n.run.Load().ids[gone.boot]; ok && n != gone.n {
			return false
		}
	}
	return true
}
