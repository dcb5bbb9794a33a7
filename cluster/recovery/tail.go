package recovery

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// tail is what this node does to complete what a dead one has published (G4): it asks all for
// a mirror, and takes from it what it lacks.
type tail struct {
	nonce   uint64 // of this death: an answer to another one is too old
	answers map[wire.NodeID]Tail
	from    wire.NodeID
	at      wire.Frontiers // up to there it has given what this node wants
	retry   retry
	done    bool
	heads   wire.Frontiers // of the mirror's log: what is behind them has no copy, or is no message
}

// beginTail begins when this node has closed id's stream: what comes of id now comes from mirrors.
func (m *Machine) beginTail(id wire.NodeID) {
	m.nextID++
	t := &tail{nonce: m.nextID, answers: map[wire.NodeID]Tail{}}
	t.retry.asked(m.now)
	m.peers[id].tail = t
	for _, to := range m.able() {
		m.askTail(id, to)
	}
}

func (m *Machine) askTail(id, of wire.NodeID) {
	if !m.breaks(BreakTail) {
		m.send(of, AskTail{id, m.peers[id].tail.nonce})
	}
}

// tails are the dead nodes whose tail is not here yet.
func (m *Machine) tails() (ids []wire.NodeID) {
	for id, p := range m.peers {
		if p.tail != nil && !p.tail.done {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// askTails asks a peer that was not there before.
func (m *Machine) askTails(of wire.NodeID) {
	for _, id := range m.tails() {
		m.peers[id].tail.retry = retry{} // a part may have been on the way from it
		m.askTail(id, of)
	}
}

// tick begins again: a mirror may have died, or the link to it broken.
func (t *tail) tick(m *Machine, id wire.NodeID) {
	if m.now < t.retry.next {
		return
	}
	t.retry.asked(m.now)
	t.from = 0
	for _, of := range m.able() {
		m.askTail(id, of)
	}
	m.chooseTail(id)
}

// askedTail answers when this node has closed the stream as well: as long as one node has not, the
// other may be alive there, and go on with other mirrors.
func (m *Machine) askedTail(from wire.NodeID, f AskTail) {
	p := m.peers[f.Origin]
	if p != nil && !m.closed(f.Origin) {
		if p.asked == nil {
			p.asked = map[wire.NodeID]uint64{}
		}
		p.asked[from] = f.Nonce
		return
	}
	m.tellTail(from, f.Origin, f.Nonce)
}

func (m *Machine) tellTail(to, origin wire.NodeID, nonce uint64) {
	f := Tail{Origin: origin, Nonce: nonce, Speaks: m.speaksFor(origin)}
	if p := m.peers[origin]; p != nil {
		f.Gen = p.gen
	}
	if x := m.mirrors[origin]; x != nil {
		f.Gen = max(f.Gen, x.gen)
	}
	m.send(to, f)
}

func (m *Machine) takeTail(from wire.NodeID, f Tail) {
	p := m.peers[f.Origin]
	if p == nil || p.tail == nil || p.tail.nonce != f.Nonce || p.tail.done || p.tail.from != 0 {
		return
	}
	p.tail.answers[from] = f
	m.chooseTail(f.Origin)
}

// chooseTail takes what this node lacks from a mirror, when all have answered. One of a generation before the last that anybody
// knows may lack what was acknowledged since.
func (m *Machine) chooseTail(origin wire.NodeID) {
	p := m.peers[origin]
	gen, from := p.gen, wire.NodeID(0)
	for _, id := range m.able() {
		f, ok := p.tail.answers[id]
		if !ok && !m.breaks(BreakGen) {
			return
		}
		gen = max(gen, f.Gen)
	}
	for _, id := range m.able() {
		if f := p.tail.answers[id]; f.Speaks && (f.Gen >= gen || m.breaks(BreakGen)) && from == 0 {
			from = id
		}
	}
	if from != 0 && p.tail.from == 0 {
		p.tail.from, p.tail.at = from, m.order.current[origin]
		m.send(from, FetchTail{origin, p.tail.nonce, p.tail.at})
	}
}

// fetchedTail gives a peer a part of what it wants of a dead node.
func (m *Machine) fetchedTail(from wire.NodeID, f FetchTail) {
	x := m.mirrors[f.Origin]
	if x == nil || !m.closed(f.Origin) {
		return
	}
	t := TailEntries{Origin: f.Origin, Nonce: f.Nonce, From: f.From, Heads: x.log.heads()}
	start, known := begins(f.Origin, Place{from, f.From}, m.starts([]Place{{Owner: from}}, x.met))
	if !known {
		start = t.Heads // they have never met
	}
	m.fillTail(&t, from, &x.log, most(f.From, start))
	m.send(from, t)
}

func (m *Machine) fillTail(t *TailEntries, to wire.NodeID, log *history, at wire.Frontiers) {
	var p part
	t.To = at
	for k := range at {
		for of, i := log.behind(k, at[k]); i < of.len(); i++ {
			if p.full(m.cfg.PartBytes) {
				return
			}
			e := of.at(i)
			p.looks++
			if m.cfg.Wants(to, e.m) {
				p.bytes += e.m.Size()
				t.Entries = append(t.Entries, e.m)
			}
			t.To[k] = e.m.Seq
		}
		t.To[k] = max(t.To[k], t.Heads[k])
	}
}

// takeTailEntries ends it with the last part: what is not here then was acknowledged to nobody.
func (m *Machine) takeTailEntries(from wire.NodeID, f TailEntries) {
	p := m.peers[f.Origin]
	if p == nil || p.tail == nil || p.tail.nonce != f.Nonce || p.tail.from != from || p.tail.done || p.tail.at != f.From {
		return
	}
	for _, x := range f.Entries {
		m.stats.Completed++
		m.do(Supply{x})
	}
	if behind(f.To, f.Heads) && !m.breaks(BreakTailParts) {
		p.tail.at, p.tail.retry = f.To, retry{}
		p.tail.retry.asked(m.now)
		m.send(from, FetchTail{f.Origin, f.Nonce, f.To})
		return
	}
	p.tail.done, p.tail.heads, p.ended = true, f.Heads, m.now
	m.do(Completed{f.Origin, f.Heads})
}
