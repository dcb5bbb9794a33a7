package once

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// round is what the other nodes have said to one question of a try. Two nodes that claim a key at once
// ask each other, and the weaker gives way; so of any two that are linked one at most publishes. What
// others say of claims counts only for nodes that do not answer themselves.
type round struct {
	answered []wire.NodeID
	done     bool
	hash     Hash
	at       Place
	mine     bool
	silent   bool // a node said nothing
	unheard  bool // a node is not to be waited for
	cut      bool // a node was not waited for, though it may answer
	held     []wire.NodeID
}

// Round begins to ask the other nodes for the try of k.
func (t *Table) Round(k Key) {
	x := t.tries[k]
	x.round, x.yielded = round{}, false
}

// Answered is what a node said.
func (t *Table) Answered(k Key, from wire.NodeID, r Reply) {
	y := t.tries[k]
	x := &y.round
	x.answered = append(x.answered, from)
	if delete(y.others, from); r.Mine {
		y.others[from] = true
	}
	if r.Done {
		x.done, x.hash, x.at = true, r.Hash, r.At
	}
	x.mine = x.mine || r.Mine
	if t.broken&breakHeld == 0 {
		x.held = append(x.held, r.Held...)
	}
}

// Silent is a node that said nothing, and may be waited for. What it has said before counts.
func (t *Table) Silent(k Key, from wire.NodeID) {
	x := t.tries[k]
	x.round.silent = t.broken&breakSilent == 0
	x.round.mine = x.round.mine || x.others[from] && t.broken&breakWord == 0
}

// Gone is a node that has died, for all that can be told.
func (t *Table) Gone(k Key, from wire.NodeID) { delete(t.tries[k].others, from) }

// Unheard is a node that is not to be waited for: it was silent before.
func (t *Table) Unheard(k Key) { t.tries[k].round.unheard = true }

// Cut is a node that was asked and whose answer was not waited for, as there was news: it is asked again.
func (t *Table) Cut(k Key) { t.tries[k].round.cut = true }

// Decide is what comes of a round, when all asked nodes have been told of: Publish, Unsure, Repeated, Other or
// Again. Patient says that silent nodes are waited for still.
func (t *Table) Decide(k Key, patient bool, now time.Duration) Verdict {
	x := t.tries[k]
	if v, done := t.ended(k, x.hash, now); done {
		return v
	}
	if r := &x.round; r.done {
		t.done(k, r.hash, r.at, now)
		v, _ := t.ended(k, x.hash, now)
		return v
	}
	sure, wait := x.round.judge(t.cfg.ID)
	switch {
	case x.yielded || x.round.cut || wait || !sure && patient:
		return Again
	}
	x.committed = true
	if !sure || x.round.unheard {
		return Unsure
	}
	return Publish
}

// judge tells whether all is known that others know, and whether one of them publishes for sure.
func (r *round) judge(self wire.NodeID) (sure, wait bool) {
	sure, wait = !r.silent, r.mine
	for _, by := range r.held {
		switch {
		case r.has(by): // said for itself what it is about
		case stronger(by, self):
			wait = true
		default: // waits for this node perhaps
			sure = false
		}
	}
	return sure, wait
}

func (r *round) has(id wire.NodeID) bool {
	for _, a := range r.answered {
		if a == id {
			return true
		}
	}
	return false
}
