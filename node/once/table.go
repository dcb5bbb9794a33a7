package once

import (
	"container/list"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

const (
	// Window is how long a publish is remembered at least.
	Window = 2 * time.Minute
	// Limit is how many keys a node remembers, and how many tries it has under way. Beyond it the
	// oldest are forgotten, and further tries refused.
	Limit = 65_536
	// Patience is how long a try waits for nodes that say nothing, and what a round may take; Bound is how long
	// it waits for those that have said they publish.
	Patience = time.Second
	Bound    = 5 * time.Second
	// claimLife is how long the claim of another node counts that it has not told the end of.
	claimLife = Bound + Patience
	// maxClaims limits the claims of one key: nodes claim at once rarely.
	maxClaims = 8
)

// Config is what a Table needs; zero values are the defaults.
type Config struct {
	ID     wire.NodeID
	Window time.Duration // default and minimum Window
	Limit  int           // default Limit
}

// Table is what one node knows of keys. Times are of the node's clock, monotonic. It is not safe for
// use by several goroutines.
type Table struct {
	cfg       Config
	known     map[Key]*list.Element // of *entry
	order     list.List             // of *entry, the longest untouched first
	tries     map[Key]*try          // of this node
	number    uint64                // of the last try
	forgotten uint64
	broken    rule
}

// rule is what a test breaks.
type rule uint8

const (
	breakMine   rule = 1 << iota // a try is not told to those who ask
	breakYield                   // a weaker try goes on beside a stronger one
	breakHeld                    // claims of others are not minded
	breakClaim                   // claims of others are not noted
	breakDone                    // notices are not heard
	breakSilent                  // silent nodes are not waited for
	breakWord                    // a node that fell silent is not taken at its word
	breakCommit                  // a stronger node takes a publish that is being made
)

// entry is what is known of a key from others, and of what was published here.
type entry struct {
	key    Key
	done   bool
	hash   Hash  // with done
	at     Place // ...
	until  time.Duration
	claims []claim
}

type claim struct {
	by    wire.NodeID
	n     uint64 // its number for that
	until time.Duration
}

// try is a publish of this node under way.
type try struct {
	n         uint64 // grows from try to try
	hash      Hash
	yielded   bool // to a stronger one, in this round
	committed bool
	round     round
	others    map[wire.NodeID]bool // that said, as their last word, that they publish
}

// New is an empty table.
func New(cfg Config) *Table {
	cfg.Window = max(cfg.Window, Window)
	if cfg.Limit <= 0 {
		cfg.Limit = Limit
	}
	return &Table{cfg: cfg, known: map[Key]*list.Element{}, tries: map[Key]*try{}}
}

// Len is how many keys are remembered.
func (t *Table) Len() int { return t.order.Len() }

// Forgotten counts the keys that were forgotten before their time.
func (t *Table) Forgotten() uint64 { return t.forgotten }

// Begin is a publish that this node was asked for: Ask, Underway, Full, Repeated or Other.
func (t *Table) Begin(k Key, h Hash, now time.Duration) Verdict {
	if v, done := t.ended(k, h, now); done {
		return v
	}
	switch {
	case t.tries[k] != nil:
		return Underway
	case len(t.tries) >= t.cfg.Limit:
		return Full
	}
	t.number++
	t.tries[k] = &try{n: t.number, hash: h, others: map[wire.NodeID]bool{}}
	return Ask
}

// Claim is what other nodes are to be asked for the try of k.
func (t *Table) Claim(k Key) Claim { return Claim{k, t.tries[k].n} }

// ended is Repeated or Other when the key has been used.
func (t *Table) ended(k Key, h Hash, now time.Duration) (v Verdict, done bool) {
	switch e := t.find(k, now); {
	case e == nil || !e.done:
		return 0, false
	case e.hash != h:
		return Other, true
	}
	return Repeated, true
}

// End is the end of the try that Begin began: with published its message is out, at a place.
func (t *Table) End(k Key, published bool, at Place, now time.Duration) {
	x := t.tries[k]
	delete(t.tries, k)
	if published {
		t.done(k, x.hash, at, now)
	}
}

// Where is the place of what was published with a key; zero when that is not known.
func (t *Table) Where(k Key, now time.Duration) (at Place) {
	if e := t.find(k, now); e != nil && e.done {
		at = e.at
	}
	return at
}

// Asked takes note of the claim of another node, and says what this one knows. Linked
// tells whether more may come from a node on the link to it.
func (t *Table) Asked(from wire.NodeID, c Claim, now time.Duration, linked func(wire.NodeID) bool) (r Reply) {
	k := c.Key
	e := t.find(k, now)
	if e != nil && e.done {
		return Reply{Done: true, Hash: e.hash, At: e.at}
	}
	if e != nil {
		for _, c := range e.claims {
			if c.by != from && c.until > now && linked(c.by) {
				r.Held = append(r.Held, c.by)
			}
		}
	}
	if x := t.tries[k]; x != nil {
		switch {
		case x.committed && t.broken&breakCommit == 0, stronger(t.cfg.ID, from):
			r.Mine = t.broken&breakMine == 0
		case t.broken&breakYield == 0:
			x.yielded = true
		}
	}
	if t.broken&breakClaim == 0 {
		t.claimed(from, c, now)
	}
	return r
}

// stronger says which of two nodes that try at once goes on.
func stronger(a, b wire.NodeID) bool { return a < b }

func (t *Table) claimed(by wire.NodeID, of Claim, now time.Duration) {
	e := t.touch(of.Key, now)
	e.claims = slices.DeleteFunc(e.claims, func(c claim) bool { return c.by == by || c.until <= now })
	if len(e.claims) == maxClaims {
		e.claims = slices.Delete(e.claims, 0, 1)
	}
	e.until = now + claimLife
	e.claims = append(e.claims, claim{by, of.N, e.until})
}

// Heard takes the notice of another node, behind what was published at a place.
func (t *Table) Heard(from wire.NodeID, n Notice, at Place, now time.Duration) {
	e := t.find(n.Key, now)
	switch {
	case t.broken&breakDone != 0:
	case !n.Released:
		t.done(n.Key, n.Hash, at, now)
	case e != nil && !e.done:
		e.claims = slices.DeleteFunc(e.claims, func(c claim) bool { return c.by == from && c.n <= n.N })
	}
}

// done remembers a publish. The first one counts, should there be two.
func (t *Table) done(k Key, h Hash, at Place, now time.Duration) {
	e := t.touch(k, now)
	if !e.done {
		e.done, e.hash, e.at, e.claims = true, h, at, nil
	}
	e.until = now + t.cfg.Window
}

// find is the entry of a key, if its time is not over.
func (t *Table) find(k Key, now time.Duration) *entry {
	at := t.known[k]
	if at == nil {
		return nil
	}
	if e := at.Value.(*entry); e.until > now {
		return e
	}
	t.drop(at)
	return nil
}

// touch is the entry of a key, made if need be, as the youngest of all.
func (t *Table) touch(k Key, now time.Duration) *entry {
	if e := t.find(k, now); e != nil {
		t.order.MoveToBack(t.known[k])
		return e
	}
	for at := t.order.Front(); at != nil; at = t.order.Front() {
		is := at.Value.(*entry).until > now
		if is && t.order.Len() < t.cfg.Limit {
			break
		}
		if is {
			t.forgotten++
		}
		t.drop(at)
	}
	e := &entry{key: k}
	t.known[k] = t.order.PushBack(e)
	return e
}

func (t *Table) drop(at *list.Element) {
	delete(t.known, at.Value.(*entry).key)
	t.order.Remove(at)
}
