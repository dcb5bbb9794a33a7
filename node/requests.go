package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// others are all nodes but this one.
func (n *Node) others() []cluster.NodeInfo {
	return slices.DeleteFunc(n.cluster.Nodes(), func(i cluster.NodeInfo) bool { return i.ID == n.ID() })
}

// askAll is askNodes for every other node.
func (n *Node) askAll(ctx context.Context, method string, body []byte, got func(from cluster.NodeInfo, body []byte) error) []Missing {
	ctx, cancel := within(ctx, 0)
	defer cancel()
	return n.askNodes(ctx, n.others(), method, body, got)
}

// lists are the methods that tell and change nothing: they need not wait for messages.
var lists = map[string]bool{"count": true, "rooms": true, "sockets": true, "history": true, "copied": true}

// askNodes asks other nodes at once and gives each answer to got, which runs on
// several goroutines. It returns when all have answered, died or timed out,
// with those that did not answer, by name.
func (n *Node) askNodes(ctx context.Context, nodes []cluster.NodeInfo, method string, body []byte, got func(from cluster.NodeInfo, body []byte) error) []Missing {
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		missing []Missing
	)
	call := n.cluster.Call
	if lists[method] {
		call = n.cluster.Query
	}
	for _, node := range nodes {
		wg.Go(func() {
			answer, err := call(ctx, node.ID, method, body)
			if err == nil {
				err = got(node, answer)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, Missing{node.Name, reason(err)})
			}
		})
	}
	wg.Wait()
	return sortMissing(missing)
}

func sortMissing(list []Missing) []Missing {
	slices.SortFunc(list, func(a, b Missing) int { return strings.Compare(a.Node+" "+a.Reason, b.Node+" "+b.Reason) })
	return list
}

func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timeout"
	}
	return err.Error()
}

// scatter gathers one kind of entries from this node and all others, one
// node's at a time.
func scatter[Q, T any](ctx context.Context, n *Node, others []cluster.NodeInfo, method string, q Q, own T, add func(node string, page T)) []Missing {
	ctx, cancel := within(ctx, 0)
	defer cancel()
	add(n.Name(), own)
	body, err := wire.Marshal(q)
	if err != nil {
		return []Missing{{n.Name(), err.Error()}}
	}
	var mu sync.Mutex
	return n.askNodes(ctx, others, method, body, func(from cluster.NodeInfo, answer []byte) error {
		var page T
		if err := wire.Unmarshal(answer, &page); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		add(from.Name, page)
		return nil
	})
}

// HandleRequest answers another node.
func (r remote) HandleRequest(ctx context.Context, from wire.NodeID, method string, body []byte) ([]byte, error) {
	n := r.n
	if name, ok := strings.CutPrefix(method, protocolPrefix); ok {
		return n.protocol(ctx, from, name, body)
	}
	switch method {
	case "count":
		return wire.Marshal(nodeCount{n.Stats().Sessions})
	case "rooms":
		return answer(body, func(q Query) (any, error) { return n.localRooms(q.normal()), nil })
	case "sockets":
		return answer(body, func(q socketQuery) (any, error) { return n.localSockets(q), nil })
	case "history":
		return answer(body, n.answerHistory)
	case "change":
		return answer(body, func(c change) (any, error) { return n.applyChange(ctx, c) })
	case "server":
		return answer(body, func(q serverRequest) (any, error) { return n.answerServer(from, q) })
	case "heard":
		return nil, nil // what its asker published before came before
	case "barrier":
		return answer(body, func(q barrierRequest) (any, error) { n.publishBarriers(q); return nil, nil })
	case "moved-ack":
		return answer(body, n.takeMovedAck)
	case "moved-end":
		return answer(body, n.takeMovedEnd)
	case onceMethod:
		return n.answerOnce(from, body)
	case "copied":
		return answer(body, func(r recovery.Ref) (any, error) { return n.isCopiedHere(r), nil })
	case "acks":
		return answer(body, func(q ackRequest) (any, error) { return n.answerAsk(from, q) })
	}
	return nil, fmt.Errorf("unknown method %.40q", method)
}

// answer decodes a question and encodes its answer.
func answer[Q any](body []byte, f func(Q) (any, error)) ([]byte, error) {
	var q Q
	if err := wire.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	v, err := f(q)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(v)
}
