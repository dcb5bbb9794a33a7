package ws

import "sync/atomic"

// turn is the right to write what Take hands out. It is nobody's, of who flushes, or
// the writer's; it is handed on, and never waited for. The zero turn is nobody's.
type turn struct{ state atomic.Int32 }

// The states.
const (
	turnFree int32 = iota
	turnTaken
	turnWanted // taken, and somebody has come meanwhile
)

// take takes the turn, or has who has it look once more: what was queued before is
// written either way.
func (t *turn) take() bool {
	for {
		switch {
		case t.state.CompareAndSwap(turnFree, turnTaken):
			return true
		case t.state.Load() == turnWanted, t.state.CompareAndSwap(turnTaken, turnWanted):
			return false
		}
	}
}

// claim takes the turn if it is nobody's. Who has it need not look once more.
func (t *turn) claim() bool { return t.state.CompareAndSwap(turnFree, turnTaken) }

// release gives the turn up, unless somebody has come: then there may be more to do.
func (t *turn) release() bool {
	if t.state.CompareAndSwap(turnTaken, turnFree) {
		return true
	}
	t.state.Store(turnTaken)
	return false
}
