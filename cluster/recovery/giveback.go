package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// giveBacks are sessions that this node has asked for and does not want any more. Who has them keeps them for it until it hears so,
// and a frame may be lost with its link: it is said again on the next one.
type giveBacks struct {
	of  map[PID]giveBack
	row row[gaveBack] // the first that was first; those that were asked for again since are in it still
}

type giveBack struct {
	to wire.NodeID
	at time.Duration
}

type gaveBack struct {
	pid PID
	at  time.Duration
}

// giveBack says that a session that was asked for may be somebody else's: behind the question, which may not be answered yet.
func (m *Machine) giveBack(a *attempt) {
	b := &m.back
	if b.of == nil {
		b.of = map[PID]giveBack{}
	}
	b.of[a.pid] = giveBack{a.target, m.now}
	b.row.push(gaveBack{a.pid, m.now})
	if b.row.len() > m.cfg.Recoveries+m.cfg.Waiting {
		b.forget()
	}
	m.send(a.target, Release{a.pid})
}

// giveBackAgain is for a new link.
func (m *Machine) giveBackAgain(to wire.NodeID) {
	for _, pid := range sorted(m.back.of) {
		if m.back.of[pid].to == to {
			m.send(to, Release{pid})
		}
	}
}

// forget lets go of the first.
func (b *giveBacks) forget() {
	first := *b.row.at(0)
	b.row.drop()
	if b.of[first.pid].at == first.at {
		delete(b.of, first.pid)
	}
}

// forgetGiveBacks lets go of those that nobody has any more.
func (m *Machine) forgetGiveBacks() {
	for b := &m.back; b.row.len() > 0 && m.now-b.row.at(0).at > m.gone(); {
		b.forget()
	}
}
