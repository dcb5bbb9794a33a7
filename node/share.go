package node

import (
	"time"

	"github.com/meshrt/meshrt/node/once"
	"github.com/meshrt/meshrt/wire"
)

// keyShare is how many idempotency keys one session may use in once.Window, about: a sixteenth of what a node remembers, so that no
// client has those of all others forgotten. They come back one by one. Backends, which have no session, have no such limit.
const keyShare = once.Limit / 16

// keyShares are the keys of one session, guarded by keys.mu.
type keyShares struct {
	used float64 // at the time of at
	at   time.Duration
}

// shareOf is that of the client that publishes, nil for a backend.
func (n *Node) shareOf(from wire.SessionID) *keyShares {
	if from == "" {
		return nil
	}
	n.mu.Lock()
	s := n.sessions[from]
	n.mu.Unlock()
	if s == nil {
		return nil
	}
	s.share.CompareAndSwap(nil, &keyShares{})
	return s.share.Load()
}

// take uses a key of the share, if there is one.
func (k *keys) take(of *keyShares, now time.Duration) bool {
	if of == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	of.used = max(0, of.used-float64(now-of.at)*keyShare/float64(once.Window))
	of.at = now
	if of.used > keyShare-1 {
		k.limited.Add(1)
		return false
	}
	of.used++
	return true
}
