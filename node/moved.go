package node

import (
	"context"

	"github.com/meshrt/meshrt/wire"
)

// What a session's new node tells the old one, which may wait for answers of the
// client.
type (
	movedAck struct {
		Socket string
		Ack    ackEntry
		ID     uint64
	}
	movedEnd struct{ Socket string }
)

// maxPassed limits the answers of clients that are on their way to the nodes which
// they come from.
const maxPassed = 256

// passAck hands an answer to the node that may have asked.
func (n *Node) passAck(s *Session, id uint64, args wire.Args, attachments [][]byte) {
	if n.passing.Add(1) > maxPassed {
		n.passing.Add(-1)
		n.stats.acksRefused.Add(1)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asideLocked(func() {
		defer n.passing.Add(-1)
		n.tellOld(s, "moved-ack", movedAck{string(s.id), ackEntry{string(s.id), args.Join(), attachments}, id})
	})
}

// asideLocked runs f beside the rest, before Run returns. When it has, f is not run.
func (n *Node) asideLocked(f func()) {
	if !n.closed {
		n.background.Go(f)
	}
}

// tellEnd tells the old node that s is gone, and answers nothing more.
func (n *Node) tellEnd(s *Session) { n.tellOld(s, "moved-end", movedEnd{string(s.id)}) }

// tellOld is a word to the node where s was before. When that node is gone,
// nobody waits there.
func (n *Node) tellOld(s *Session, method string, v any) {
	ctx, cancel := context.WithTimeout(context.Background(), DefaultTimeout)
	defer cancel()
	if body, err := wire.Marshal(v); err == nil {
		n.cluster.Call(ctx, s.movedFrom, method, body)
	}
}

func (n *Node) takeMovedAck(m movedAck) (any, error) {
	args, err := wire.SplitArgs(m.Ack.Args)
	if err != nil {
		return nil, err
	}
	if s := n.lingers(m.Socket); s != nil {
		s.ReceiveAck(m.ID, args, m.Ack.Attachments)
	} else {
		n.stats.acksIgnored.Add(1)
	}
	return nil, nil
}

func (n *Node) takeMovedEnd(m movedEnd) (any, error) {
	if s := n.lingers(m.Socket); s != nil {
		s.acks.close(s)
	}
	return nil, nil
}

func (n *Node) lingers(id string) *Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lingering[wire.SessionID(id)]
}
