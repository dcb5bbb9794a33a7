package cluster

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/gossip"
)

// lossy is a network that does not answer the first dials, and refuses the others.
type lossy struct {
	Network
	silent int64
	dials  atomic.Int64
}

func (l *lossy) DialLink(ctx context.Context, _ string) (net.Conn, error) {
	if l.dials.Add(1) <= l.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, syscall.ECONNREFUSED
}

// A question must hear of a death within a second, though packets of a dial are lost.
func TestProbeDoesNotWaitForALostPacket(t *testing.T) {
	for silent, want := range map[int64]time.Duration{0: 0, 1: probeHedge, 2: 2 * probeHedge, 3: probeTimeout} {
		synctest.Test(t, func(t *testing.T) {
			c := &Cluster{cfg: Config{Net: &lossy{silent: silent}}}
			ctx, cancel := context.WithTimeout(t.Context(), probeTimeout)
			defer cancel()
			start := time.Now()
			gone := c.refuses(ctx, gossip.Member{})
			if took := time.Since(start); took != want || gone != (silent < probeDials) {
				t.Errorf("%d dials without an answer: %v after %v, want it after %v", silent, gone, took, want)
			}
		})
	}
}
