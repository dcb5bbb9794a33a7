package cluster

import (
	"context"
	"sync"
)

// told are the joins that have come into force: what they wait for is called by one
// goroutine, in order, so that neither links nor ticks wait for it. As many can
// be there as joins wait, which their callers limit.
type told struct {
	mu   sync.Mutex
	list []func()
	wake chan struct{} // capacity one
}

func (t *told) add(done []func()) {
	if len(done) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, done...)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *told) take() []func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.list
	t.list = nil
	return list
}

// run calls until ctx ends, and then those that are there.
func (t *told) run(ctx context.Context) {
	for ended := false; !ended; {
		select {
		case <-t.wake:
		case <-ctx.Done():
			ended = true
		}
		for _, done := range t.take() {
			done()
		}
	}
}
