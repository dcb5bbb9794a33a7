package node

import (
	"context"
	"fmt"

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

// RequestHandler answers a request that a protocol of another node has made with
// Node.Request. Calls overlap; ctx ends with Run.
type RequestHandler func(ctx context.Context, from wire.NodeID, body []byte) ([]byte, error)

// HandleRequests sets who answers the requests of a method that protocols have
// made up for themselves. It is for the time before Run; the same method twice is a
// programmer's error and panics.
func (n *Node) HandleRequests(method string, h RequestHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.protocols[method] != nil {
		panic("node: second handler of " + method)
	}
	n.protocols[method] = h
}

// SessionsMove is that of Config.
func (n *Node) SessionsMove() bool { return n.cfg.SessionsMove }

// Request asks the protocol of another node, as Cluster.Call does.
func (n *Node) Request(ctx context.Context, to wire.NodeID, method string, body []byte) ([]byte, error) {
	return n.cluster.Call(ctx, to, protocolPrefix+method, body)
}

const protocolPrefix = "protocol:"

func (n *Node) protocol(ctx context.Context, from wire.NodeID, method string, body []byte) ([]byte, error) {
	n.mu.Lock()
	h := n.protocols[method]
	n.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("unknown method %.40q", method)
	}
	return h(ctx, from, body)
}
