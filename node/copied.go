package node

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/node/once"
	"github.com/meshrt/meshrt/wire"
)

// maxCopyWaits limits the repeated publishes of a node that wait for the copies of the first. Each asks other nodes.
const maxCopyWaits = 1024

// whenCopied calls done when what was published with a key has its copies, as it promises for the first try: that one's
// node may have died before anybody else had it. m is the same message again.
func (n *Node) whenCopied(k once.Key, m *wire.Message, local bool, done func(error)) {
	n.keys.mu.Lock()
	at := n.keys.table.Where(k, n.now())
	n.keys.mu.Unlock()
	r := recovery.Ref{Origin: at.Origin, Stream: at.Stream, Seq: at.Seq}
	if n.recovery == nil || local || !recoverable(m) || r.Seq == 0 || n.isCopiedHere(r) {
		done(nil)
		return
	}
	if n.copyWaits.Add(1) > maxCopyWaits {
		n.copyWaits.Add(-1)
		done(errUnacked)
		return
	}
	n.mu.Lock()
	closed := n.closed
	n.asideLocked(func() {
		defer n.copyWaits.Add(-1)
		done(n.awaitCopy(r))
	})
	n.mu.Unlock()
	if closed {
		n.copyWaits.Add(-1)
		done(ErrClosed)
	}
}

// isCopiedHere tells whether a message has a copy, as far as this node knows.
func (n *Node) isCopiedHere(r recovery.Ref) bool {
	if n.recovery == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.recovery.atLocked().Copied(r)
}

// awaitCopy asks until somebody knows of a copy, for once.Bound.
func (n *Node) awaitCopy(r recovery.Ref) error {
	end := time.Now().Add(once.Bound)
	for pause := nextRound; !n.isCopiedHere(r) && !n.askCopied(r); pause = min(2*pause, once.Patience) {
		if time.Until(end) < pause {
			return errNoCopy
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-n.done:
			t.Stop()
			return ErrClosed
		}
	}
	return nil
}

// askCopied asks the node of a message or, when that is not here, all: one of them may have mirrored it.
func (n *Node) askCopied(r recovery.Ref) bool {
	nodes := n.others()
	if r.Origin == n.ID() {
		return false
	}
	if i := slices.IndexFunc(nodes, func(i cluster.NodeInfo) bool { return i.ID == r.Origin && i.State == "up" }); i >= 0 {
		nodes = nodes[i : i+1]
	}
	body, err := wire.Marshal(r)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), once.Patience)
	defer cancel()
	var copied atomic.Bool
	n.askNodes(ctx, nodes, "copied", body, func(_ cluster.NodeInfo, answer []byte) error {
		var yes bool
		err := wire.Unmarshal(answer, &yes)
		if yes {
			copied.Store(true)
			cancel()
		}
		return err
	})
	return copied.Load()
}
