package cluster

import (
	"sync/atomic"

	"github.com/meshrt/meshrt/cluster/mesh"
)

// maxDue is how many links one goroutine writes to, which takes some ten microseconds each.
// The others have their writers do it.
const maxDue = 16

// due are the links that whoever holds no lock any more is to write to (mesh.Link.WriteNow);
// guarded by Cluster.mu, but for some.
type due struct {
	links []*mesh.Link
	some  atomic.Bool
}

func (d *due) addLocked(l *mesh.Link) {
	if len(d.links) == maxDue {
		l.Poke()
		return
	}
	d.links = append(d.links, l)
	d.some.Store(true)
}

// leaveLocked leaves all to the writers.
func (d *due) leaveLocked() {
	for _, l := range d.links {
		l.Poke()
	}
	d.clearLocked()
}

func (d *due) clearLocked() {
	if len(d.links) > 0 {
		clear(d.links)
		d.links = d.links[:0]
		d.some.Store(false)
	}
}

// Flush writes to the links on which nothing else is going on what Publish has queued, as far as it can
// without waiting: to wake a link's writer for one message takes longer. Call it
// after Publish, with no lock held that others wait for: it takes some ten microseconds for each
// of at most 16 links. What nobody calls it for goes out with the heartbeat of the link.
func (c *Cluster) Flush() {
	if !c.due.some.Load() {
		return
	}
	var few [maxDue]*mesh.Link
	c.mu.Lock()
	links := append(few[:0], c.due.links...)
	c.due.clearLocked()
	c.mu.Unlock()
	for _, l := range links {
		l.WriteNow()
	}
}
