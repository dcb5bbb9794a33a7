package recovery

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// refusedUnable is why nobody is recovered while a node, or one that is dead for less than Window and Slack, keeps nothing of
// what it publishes.
const refusedUnable = "a node has no recovery"

// Unable says of a member whether it has recovery off, or is of a version without. Nothing waits for such a one, and nobody
// is recovered as long as what it publishes may be missing: until it is dead and forgotten.
func (m *Machine) Unable(id wire.NodeID, is bool) {
	p := m.peer(id)
	if p.unable == is {
		return
	}
	m.setUnable(p, is)
	if !is {
		if p.linked {
			m.Linked(id)
		}
		return
	}
	p.tail = nil
	m.setBuddy(id, nil)
	m.fenceLost(id)
	if m.proposal != nil {
		delete(m.proposal.waiting, id)
		m.proposed()
	}
	m.choose()
	m.progress()
	if m.unable() {
		for _, a := range slices.Clone(m.coming) {
			if !a.ended && a.phase != mirroring {
				m.refuse(a.pid, refusedUnable)
			}
		}
	}
}

// unable tells whether some node, as far as this one knows, has no recovery.
func (m *Machine) unable() bool { return m.unables > 0 && !m.breaks(BreakUnable) }

func (m *Machine) setUnable(p *peer, is bool) {
	switch {
	case is && !p.unable:
		m.unables++
	case !is && p.unable:
		m.unables--
	}
	p.unable = is
}
