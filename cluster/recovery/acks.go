package recovery

import (
	"slices"
	"sort"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// waits are for mirrors to have own messages, or versions of the sessions.
type waits struct {
	messages [wire.Streams]row[uint64] // their numbers
	versions []versionWait             // by version
}

// versionWait is for mirrors to have a version of the sessions, which is of one of them.
type versionWait struct {
	version uint64
	pid     PID
	since   time.Duration // on the clock of awake
	done    func()
}

func (w *waits) add(r Ref) { w.messages[r.Stream].push(r.Seq) }

// afterMirrored calls done when mirrors have a version of the sessions, of which pid is one, or when that one is kept no more
// as no mirror had it in AckPatience.
func (m *Machine) afterMirrored(pid PID, version uint64, done func()) {
	w := &m.waits
	i := sort.Search(len(w.versions), func(i int) bool { return w.versions[i].version > version })
	w.versions = append(w.versions, versionWait{})
	copy(w.versions[i+1:], w.versions[i:])
	w.versions[i] = versionWait{version, pid, m.awake(), done}
	m.progress()
}

// doubt: a mirror had taken this node for dead. What it did not have up to then is not promised to
// anybody any more, for sessions were recovered without it.
func (m *Machine) doubt(heads wire.Frontiers) {
	if m.breaks(BreakDoubt) {
		return
	}
	for k := range m.waits.messages {
		of := &m.waits.messages[k]
		n := of.find(func(seq *uint64) bool { return *seq <= heads[k] })
		for i := n; i < of.len(); i++ {
			m.do(Acked{wire.Stream(k), *of.at(i), 0, true})
		}
		of.cut(n)
	}
}

// giveUpWaits ends what has waited for longer than AckPatience: for a mirror that gossip has as alive and nobody reaches, or as all are
// full. Publishers hear that nobody knows of a copy; sessions are kept no more.
func (m *Machine) giveUpWaits() {
	since := m.awake() - m.cfg.AckPatience
	for k := range m.waits.messages {
		for of := &m.waits.messages[k]; of.len() > 0 && !m.log.isSince(k, *of.at(0), since); of.drop() {
			m.stats.Unmirrored++
			m.do(Acked{wire.Stream(k), *of.at(0), 0, true})
		}
	}
	w := &m.waits
	var over []versionWait
	w.versions = slices.DeleteFunc(w.versions, func(v versionWait) bool {
		if v.since < since {
			over = append(over, v)
		}
		return v.since < since
	})
	for _, v := range over {
		if s := m.sessions[v.pid]; s != nil && s.state == live {
			m.stats.Unmirrored++
			m.unkeep(s, tooLong)
		}
		v.done()
	}
}

func (w *waits) none() bool {
	for k := range w.messages {
		if w.messages[k].len() > 0 {
			return false
		}
	}
	return len(w.versions) == 0
}

// progress ends the waits that are over. Nobody is told while there is no mirror that all nodes know of,
// unless there is no other node.
func (m *Machine) progress() {
	if m.waits.none() {
		return
	}
	have, ok := m.everywhere()
	if m.breaks(BreakAck) {
		have, ok = m.whole(), true
	}
	if !ok {
		return
	}
	for k := range m.waits.messages {
		for of := &m.waits.messages[k]; of.len() > 0 && *of.at(0) <= have.Log[k]; of.drop() {
			m.do(Acked{wire.Stream(k), *of.at(0), len(m.set), false})
		}
	}
	m.versionsDone(have.Version)
}

func (m *Machine) versionsDone(have uint64) {
	w := &m.waits
	n := sort.Search(len(w.versions), func(i int) bool { return w.versions[i].version > have })
	if m.breaks(BreakJoin) {
		n = len(w.versions)
	}
	if n == 0 {
		return
	}
	over := w.versions[:n]
	w.versions = w.versions[n:] // what comes of these may wait in turn, behind
	for _, v := range over {
		v.done()
	}
}

// everywhere is what all have that must; false while one of them is dead, which may be alive and speak for this
// node. While buddies change, the old ones and the new ones must.
func (m *Machine) everywhere() (have State, ok bool) {
	have = m.whole()
	for _, id := range m.set {
		b := m.buddies[id]
		if b == nil || !b.member || !m.peers[id].able() {
			return have, false
		}
		have = b.acked.least(have)
	}
	if m.proposal != nil && !m.breaks(BreakJoint) {
		for _, id := range m.proposal.set {
			b := m.buddies[id]
			if b == nil {
				return have, false
			}
			have = b.acked.least(have)
		}
	}
	return have, !m.unsure && (len(m.set) > 0 || m.alone())
}

// Copied tells whether a message is where it outlives its node: an own one as Acked would say it, and of another node one that this
// node has as its mirror.
func (m *Machine) Copied(r Ref) bool {
	if r.Stream >= wire.Streams {
		return false
	}
	if r.Origin == m.id {
		have, ok := m.everywhere()
		return ok && r.Seq <= have.Log[r.Stream]
	}
	x := m.mirrors[r.Origin]
	return x != nil && m.speaksFor(r.Origin) && r.Seq <= x.log.heads()[r.Stream]
}

// alone tells whether nobody could mirror this node. One that has just started waits for its first buddy.
func (m *Machine) alone() bool {
	for _, p := range m.peers {
		if p.able() && !p.draining {
			return false
		}
	}
	return true
}

func (s State) least(other State) State {
	for k := range s.Log {
		s.Log[k] = min(s.Log[k], other.Log[k])
	}
	s.D, s.Version = min(s.D, other.D), min(s.Version, other.Version)
	return s
}
