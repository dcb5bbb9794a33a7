package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// requestTimeout is what a question to all nodes may take when the asker sets
// no earlier end. A node that dies is not waited for so long.
const requestTimeout = 5 * time.Second

// askAll asks every other node at once and gives each answer to got, which
// runs on several goroutines. It returns when all have answered, died or timed
// out, with those that did not answer, by name.
func (n *Node) askAll(ctx context.Context, method string, body []byte, got func(from cluster.NodeInfo, body []byte) error) []Missing {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		missing []Missing
	)
	for _, node := range n.cluster.Nodes() {
		if node.ID == n.ID() {
			continue
		}
		wg.Go(func() {
			answer, err := n.cluster.Call(ctx, node.ID, method, body)
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
	slices.SortFunc(missing, func(a, b Missing) int { return strings.Compare(a.Node, b.Node) })
	return missing
}

func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timeout"
	}
	return err.Error()
}

// scatter gathers one kind of entries from this node and all others, one
// node's at a time.
func scatter[T any](ctx context.Context, n *Node, method string, q Query, own []T, add func(node string, page []T)) []Missing {
	add(n.Name(), own)
	body, err := wire.Marshal(q)
	if err != nil {
		return []Missing{{n.Name(), err.Error()}}
	}
	var mu sync.Mutex
	return n.askAll(ctx, method, body, func(from cluster.NodeInfo, answer []byte) error {
		var page []T
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
func (r remote) HandleRequest(_ context.Context, _ wire.NodeID, method string, body []byte) ([]byte, error) {
	n := r.n
	if method == "count" {
		return wire.Marshal(nodeCount{n.Stats().Sessions})
	}
	var q Query
	if err := wire.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	q.normalize()
	switch method {
	case "rooms":
		return wire.Marshal(n.localRooms(q))
	case "sockets":
		return wire.Marshal(n.localSockets(q))
	}
	return nil, fmt.Errorf("unknown method %.40q", method)
}
