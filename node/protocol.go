package node

import (
	"context"
	"fmt"

	"github.com/meshrt/meshrt/wire"
)

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
