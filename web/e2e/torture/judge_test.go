//go:build linux

package torture

import (
	"time"
)

// verdict is what there is to say of a promise that is open.
type verdict uint8

const (
	pending   verdict = iota // it has to come
	discarded                // its publisher died with it
	told                     // G5: the one node took the other for dead, and the receiver was told of the gap
	strangers                // G5: one of both started while they were apart, so that it did not know the other
)

func (w *world) judgeLocked(to *stay, m message) verdict {
	s, t, at := w.sent[m], w.trial, to.m.n
	p, receiver := s.p, to.m.boot.Load()
	switch {
	case p.boot.isKilled, p.gone && !s.acked:
		return discarded
	case p.boot.wasDown(at.name, s.at) && receiver.toldSince(p.n.name, s.at):
		return told
	case t.deadly != nil && t.deadly(p.n.i, at.i) && (p.boot.knewNot(at.name, s.at) || receiver.knewNot(p.n.name, s.at)):
		return strangers
	}
	return pending
}

// settle ends a trial: every publisher says a last word to every room, and
// what is open must come within patience. It tells whether all did.
func (w *world) settle(patience time.Duration) bool {
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	end := time.Now().Add(patience)
	ok := w.until(end, w.clientsBack)
	if !ok {
		w.problem("clients are not back after %v", patience)
	}
	w.lastWords(end)
	w.until(end, func() bool { n, unacked := w.openLocked(); return n+unacked == 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closeLocked() && ok
}

// until waits for a condition, which is asked under the lock.
func (w *world) until(end time.Time, ok func() bool) bool {
	for {
		w.mu.Lock()
		yes := ok()
		w.mu.Unlock()
		if yes || time.Now().After(end) {
			return yes
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// clientsBack tells whether all connections of all nodes are there, and the
// steady members in their rooms.
func (w *world) clientsBack() bool {
	stays := 0
	for m := range w.members {
		if m.boot.Load() == nil {
			return false
		}
		if len(m.stays) == 2 && m.bothJoined() {
			stays++
		}
	}
	return len(w.publishers) == len(w.nodes) && len(w.members) == len(w.nodes)*(steady+restless) && stays == len(w.nodes)*steady
}

func (m *member) bothJoined() bool {
	for _, s := range m.stays {
		if !s.joined {
			return false
		}
	}
	return true
}

func (w *world) lastWords(end time.Time) {
	w.mu.Lock()
	var all []*publisher
	for p := range w.publishers {
		all = append(all, p)
	}
	w.mu.Unlock()
	patience := time.NewTimer(time.Until(end))
	defer patience.Stop()
	for _, p := range all {
		done := make(chan struct{})
		select {
		case p.last <- done:
			<-done
		case <-patience.C:
			w.problem("the publisher at %s is stuck", p.n.name)
			return
		}
	}
}

// openLocked counts what has to come: messages, and answers to publishers.
func (w *world) openLocked() (messages, answers int) {
	for to, m := range w.promises.Open() {
		if w.judgeLocked(to, m) == pending {
			messages++
		}
	}
	for _, s := range w.sent {
		if !s.acked && !s.p.gone {
			answers++
		}
	}
	return messages, answers
}

// closeLocked judges what is open and begins anew.
func (w *world) closeLocked() bool {
	row := w.trial.row
	lost, stuck := row.lost, row.stuck
	for to, m := range w.promises.Open() {
		s := w.sent[m]
		switch v := w.judgeLocked(to, m); {
		case v == discarded:
			row.discarded++
		case v == told:
			row.told++
		case v == strangers:
			row.strangers++
		case s.last:
			row.stuck++
			w.problemLocked("stuck: the last message %s of %s for a member at %s has not come", text(m), s.p.n.name, to.m.n.name)
		default:
			row.lost++
			w.problemLocked("lost: message %s of %s, published %v ago, for a member at %s%s", text(m), s.p.n.name,
				time.Since(s.at).Round(time.Millisecond), to.m.n.name, w.hintLocked(to, s))
		}
	}
	for m, s := range w.sent {
		if !s.acked && !s.p.gone {
			row.stuck++
			w.problemLocked("stuck: %s has not answered to message %s", s.p.n.name, text(m))
		}
	}
	row.checked += w.promises.Kept
	row.published += len(w.sent)
	for to := range w.promises.Open() {
		w.promises.Forget(to)
	}
	w.promises.Kept = 0
	clear(w.sent)
	return row.lost == lost && row.stuck == stuck
}

// hintLocked says what would have excused a loss.
func (w *world) hintLocked(to *stay, s *sent) string {
	hint := ""
	if s.p.boot.wasDown(to.m.n.name, s.at) {
		hint += ", for a node taken for dead"
	}
	if to.m.boot.Load().toldSince(s.p.n.name, s.at) {
		hint += ", told of a gap"
	}
	if s.p.boot != s.p.n.run.Load() {
		hint += ", by a node that has stopped"
	}
	return hint
}
