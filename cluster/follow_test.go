package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// What silences a link holds up gossip too: between a link and the connection that takes its
// place a peer that gossip has lost is not down.
func TestPeerWhoseLinkIsReplacedIsNotDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const peer wire.NodeID = 2
		c, err := New(Config{ID: 1, Name: "a"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		down := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.core.peers[peer] == nil || c.core.peers[peer].down
		}
		c.do(func() {
			c.core.member(peer)
			c.core.linkUp(peer)
		})
		c.do(func() { c.linkGoneLocked(mesh.Peer{ID: peer}, time.Now(), mesh.ErrReplaced) })
		c.meet(nil)
		if down() {
			t.Error("down while its link is replaced")
		}
		time.Sleep(succession + tickEvery)
		c.succeed()
		select {
		case <-c.poke:
		default:
			t.Error("nobody looks again when nothing has replaced the link")
		}
		c.meet(nil)
		if !down() {
			t.Error("not down though nothing has replaced the link")
		}
	})
}
