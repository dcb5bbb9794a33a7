package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
)

// delegate is all of memberlist's callbacks. They run under memberlist's lock,
// some already inside memberlist.Create: they never block and never call
// memberlist.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.EventDelegate    = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
)

// NodeMeta is asked at the start and by UpdateNode.
func (d *delegate) NodeMeta(int) []byte { return d.g.meta() }

// NotifyAlive decides whether an alive message is believed. An error ignores it.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == memberName(d.g.cfg.Name, d.g.cfg.ID) {
		return nil
	}
	err := d.g.believe(n)
	if err != nil {
		d.g.refuse(n.Name, err)
	}
	return err
}

// believe is NotifyAlive for others.
func (g *Gossip) believe(n *memberlist.Node) error {
	m, at, err := readMember(n)
	switch {
	case err != nil:
		return err
	case at == g.self:
		return errOwnAddress
	case m.ID == g.cfg.ID:
		return fmt.Errorf("this node's id under the name %q", m.Name)
	case !g.cfg.Net.Allows(at.Addr()):
		return fmt.Errorf("address %v is not allowed", at)
	case g.table.full(m.ID):
		return fmt.Errorf("more than %d members", maxMembers)
	}
	return nil
}

// NotifyJoin is called after NotifyAlive has passed the same values.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	m, at, err := readMember(n)
	if err != nil || m.ID == d.g.cfg.ID {
		return
	}
	d.g.table.set(m, at)
	d.g.poke()
}

// NotifyUpdate is called when the metadata of a member changed.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.NotifyJoin(n) }

// NotifyLeave is called when a member left or was declared dead.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if _, id, err := splitName(n.Name); err == nil {
		d.g.table.remove(id)
		d.g.poke()
	}
}

// NotifyConflict is called when one name is said to be at two addresses. Names
// are random, so somebody cloned a running machine or lies.
func (d *delegate) NotifyConflict(_, other *memberlist.Node) {
	d.g.count.conflicts.Add(1)
	d.g.refuse(other.Name, fmt.Errorf("already a member at another address"))
}

// User messages are not used: a message over memberlist costs 460 times one
// over a link, and comes out of order (MESH §0.1).

func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}
