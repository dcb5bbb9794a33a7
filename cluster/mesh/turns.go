package mesh

import (
	"context"
	"sync"
)

// A handshake costs about a millisecond of processor time at either end, and its
// timeout runs while it waits for a processor: fifty nodes that all dial each other at
// the same moment can take so long that they give up and begin again, for ever. So a
// node has a few under way at a time. Peers that could not be reached the last time,
// which take the whole of the timeout if they are dead, have turns of their own.
const (
	freshDials   = 4
	failingDials = 4
)

// turns has a place for each handshake under way that this node began.
type turns struct{ fresh, failing chan struct{} }

func newTurns() turns {
	return turns{make(chan struct{}, freshDials), make(chan struct{}, failingDials)}
}

// take waits for a turn, or for the end of ctx. Call done after the handshake; more
// than once does no harm.
func (t turns) take(ctx context.Context, failing bool) (done func()) {
	places := t.fresh
	if failing {
		places = t.failing
	}
	select {
	case places <- struct{}{}:
		return sync.OnceFunc(func() { <-places })
	case <-ctx.Done():
		return func() {}
	}
}
