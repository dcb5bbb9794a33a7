package node

import (
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// machine is the Node's recovery.Machine as the cluster sees it: cluster.Recovery.
type machine struct{ r *recoverer }

// Member implements cluster.Recovery.
func (m machine) Member(id wire.NodeID, met wire.Frontiers) {
	m.r.drive(func(x *recovery.Machine) { x.Member(id, met) })
}

// Linked implements cluster.Recovery.
func (m machine) Linked(id wire.NodeID) {
	m.r.drive(func(x *recovery.Machine) { x.Linked(id) })
}

// Unlinked implements cluster.Recovery.
func (m machine) Unlinked(id wire.NodeID) {
	m.r.drive(func(x *recovery.Machine) { x.Unlinked(id) })
}

// Down implements cluster.Recovery.
func (m machine) Down(id wire.NodeID) {
	m.r.drive(func(x *recovery.Machine) { x.Down(id) })
}

// Gap implements cluster.Recovery. Whoever is here may lack what is gone, and a cursor says nothing of it: they are not
// recovered any more.
func (m machine) Gap(id wire.NodeID) {
	r := m.r
	r.drive(func(x *recovery.Machine) {
		x.Gap(id)
		for pid, s := range r.open.by {
			r.stats.Gapped++
			if c := r.coming[pid]; c != nil && c.s == s {
				c.endLocked(r.refusedLocked("messages were lost"))
				x.End(pid)
			} else {
				r.endLocked(s, false)
			}
		}
	})
}

// Unable implements cluster.Recovery.
func (m machine) Unable(id wire.NodeID, is bool) {
	m.r.drive(func(x *recovery.Machine) { x.Unable(id, is) })
}

// Frame implements cluster.Recovery.
func (m machine) Frame(from wire.NodeID, f recovery.Frame) {
	m.r.drive(func(x *recovery.Machine) { x.Frame(from, f) })
}
