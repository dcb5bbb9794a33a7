package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// One walk meets all who stay, though others go and come, and no look is long.
func TestAWalkMissesNoSessionThatStays(t *testing.T) {
	n := &Node{shards: []*shard{newShard(0, &counters{})}}
	r := newRecoverer(n, Config{Recovery: time.Minute, Shards: 1, Cluster: cluster.Config{ID: 1}})
	rnd := rand.New(rand.NewPCG(1, 2))
	made := 0
	add := func() *Session {
		s := &Session{shard: n.shards[0]}
		s.keep(recovery.PID(fmt.Sprint("pid", made)), false)
		made++
		r.open.add(s)
		return s
	}
	stay, others := map[*Session]bool{}, []*Session{}
	for i := range 1000 {
		if s := add(); i%2 > 0 {
			stay[s] = true
		} else {
			others = append(others, s)
		}
	}
	met := map[*Session]bool{}
	looked := 0
	for i := uint64(0); looked < 1000; i++ {
		r.x.Handed(&wire.Message{Envelope: &wire.Envelope{Origin: 1, Namespace: "/"}, Seq: i + 1})
		r.lookLocked(r.x, 0)
		part := &r.quiet.parts[0]
		if len(part.sessions) > quietBatch {
			t.Fatalf("a look of %d sessions", len(part.sessions))
		}
		for _, s := range part.sessions {
			met[s] = true
		}
		looked += len(part.sessions)
		part.sessions = part.sessions[:0]
		r.quiet.left.Store(0)
		rnd.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, s := range others[:20] {
			r.open.remove(s)
		}
		others = append(others[20:], add(), add(), add())
	}
	for s := range stay {
		if !met[s] {
			t.Errorf("%s, number %d of %d, was missed", s.kept.pid, s.kept.at, len(r.open.list))
		}
	}
}
