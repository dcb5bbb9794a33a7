package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// PeerStats is how this node stands with a linked peer, for operators.
type PeerStats struct {
	Name       string
	QueueBytes int  // that wait on its link
	Trusted    bool // its interest is known and may be relied on; messages wait otherwise
	// Lag is how many versions of this node's interest it has not acknowledged, and
	// Behind since when: joins wait for it.
	Lag    uint64
	Behind time.Duration
}

// Peers are the linked peers by name.
func (c *Cluster) Peers() []PeerStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	ps := make([]PeerStats, 0, len(c.links))
	for id, l := range c.links {
		s := PeerStats{Name: l.Peer().Name, QueueBytes: l.Queued()}
		if p := c.core.peers[id]; p != nil {
			s.Trusted = p.linked && p.synced && now < p.lease.trustedUntil
			s.Lag = c.core.version - min(p.acked, c.core.version)
			if s.Lag > 0 && p.lease.behindSince > 0 {
				s.Behind = now - p.lease.behindSince
			}
		}
		ps = append(ps, s)
	}
	slices.SortFunc(ps, func(a, b PeerStats) int { return cmp.Compare(a.Name, b.Name) })
	return ps
}

// DetectionBuckets are the bounds of Detection.Within.
var DetectionBuckets = [...]time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second}

// Detection is how long it took from the last sign of life on the link of a peer to its
// being down: neither linked nor a member. Peers that said goodbye are not in it. The
// sign is known to a beat of the links, 250 to 312 ms.
type Detection struct {
	Count  uint64
	Sum    time.Duration
	Within [len(DetectionBuckets)]uint64 // the time was at most that of the bucket
}

func (d *Detection) add(took time.Duration) {
	d.Count++
	d.Sum += took
	for i, limit := range DetectionBuckets {
		if took <= limit {
			d.Within[i]++
		}
	}
}

// silent is who lost its link without a goodbye and is not down yet, with its last sign
// of life. It has at most one entry a member.
type silent map[wire.NodeID]time.Time

// detectLocked takes note of those of the silent that are no members any more.
func (c *Cluster) detectLocked(member map[wire.NodeID]bool) {
	for id, heard := range c.silent {
		if !member[id] {
			c.detection.add(time.Since(heard))
			delete(c.silent, id)
		}
	}
}
