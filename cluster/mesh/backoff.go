package mesh

import (
	"math/rand/v2"
	"time"
)

// Dialling a peer again starts quickly, as most links break for a moment only,
// and slows down to a pace that a node in trouble does not notice (MESH §2).
const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
)

// backoff is the pause before the next attempt. The zero value is ready.
type backoff struct{ attempts int }

func (b *backoff) reset() { b.attempts = 0 }

// next is between half and all of the doubling pause, so that many nodes that
// lost one peer at once do not come back at once.
func (b *backoff) next() time.Duration {
	d := backoffAt(b.attempts)
	b.attempts++
	return d/2 + rand.N(d/2+1)
}

func backoffAt(attempt int) time.Duration {
	if attempt > 10 {
		return backoffMax
	}
	return min(backoffMin<<attempt, backoffMax)
}
