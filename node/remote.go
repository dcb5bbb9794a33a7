package node

import (
	"strings"

	"github.com/meshrt/meshrt/wire"
)

// remote is the Node as the cluster sees it.
type remote struct{ n *Node }

// HandleMessages blocks while the shards are behind, which holds back the link
// that the messages came by and no other.
func (r remote) HandleMessages(list []*wire.Message) {
	n := r.n
	n.stats.received.Add(uint64(len(list)))
	var free []Delivery
	for len(list) > 0 {
		if namespace, ok := serverNamespace(list[0]); ok {
			n.serverMessage(list[0], namespace)
			list = list[1:]
			continue
		}
		if namespace, ok := strings.CutPrefix(list[0].Namespace, presencePrefix); ok {
			n.presenceMessage(list[0], namespace)
			list = list[1:]
			continue
		}
		for _, s := range n.shards {
			s.waitSpace()
		}
		list, free = n.receive(list, free)
	}
}

// receive takes messages of another node, under one hold of the lock: at least one, and
// all up to one for which the shards have no space, or which is for servers. free are
// deliveries that nobody uses.
func (n *Node) receive(list []*wire.Message, free []Delivery) ([]*wire.Message, []Delivery) {
	var t turns
	var calls []func()
	defer func() { // after the lock is free
		n.sweep(t)
		n.afterwards(calls)
	}()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.recovery != nil {
		n.recovery.atLocked()
	}
	for {
		free = n.receiveLocked(&t, list, free)
		if n.recovery != nil { // behind the message: a session that is admitted now has it already
			calls = append(calls, n.recovery.applyLocked()...)
		}
		if list = list[1:]; len(list) == 0 || n.full() {
			return list, free
		}
		if !strings.HasPrefix(list[0].Namespace, "/") { // for servers, or of presence
			return list, free
		}
	}
}

// receiveLocked takes the first message of list.
func (n *Node) receiveLocked(t *turns, list []*wire.Message, free []Delivery) []Delivery {
	m := list[0]
	to, members := n.shardsLocked(m)
	if len(to) == 0 {
		if n.recovery != nil {
			n.recovery.receiveLocked(m, nil)
		}
		if m.Flags&wire.Barrier == 0 {
			n.stats.useless.Add(1) // its last member has just left
		}
		return free
	}
	var d *Delivery
	if len(m.Payload) > smallPayload {
		d = new(Delivery)
	} else {
		if len(free) == 0 {
			free = make([]Delivery, min(len(list), together))
		}
		d, free = &free[0], free[1:]
	}
	d.Message = m
	if n.recovery != nil {
		n.recovery.receiveLocked(m, d)
	}
	if m.Flags&wire.WantAck != 0 {
		n.askForLocked(d, len(to))
	}
	t.pushAll(to, members, d)
	return free
}

// Deliveries of small messages that came together are in one piece of memory: one that
// waits, for a session to open, keeps the others.
const (
	together     = 32
	smallPayload = 4 << 10 // bytes
)

// full says that a shard's inbox is.
func (n *Node) full() bool {
	for _, s := range n.shards {
		if s.full.Load() {
			return true
		}
	}
	return false
}
