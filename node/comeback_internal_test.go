package node

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

type noSink struct{}

func (noSink) Deliver(*Delivery) bool { return true }
func (noSink) Flush()                 {}
func (noSink) Close(bool)             {}

// TestARecordThatMakesNoSense: what another node says of a session breaks nothing here.
func TestARecordThatMakesNoSense(t *testing.T) {
	n, err := New(Config{Recovery: time.Minute, Cluster: cluster.Config{Name: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace("/")
	for sid, want := range map[string]bool{string(wire.NewSessionID(7)): true, "": false, "x": false} {
		c := &comeback{r: n.recovery, pid: newPID()}
		_, err := c.register(SessionConfig{Namespace: "/", Sink: noSink{}}, recovery.Record{SID: sid, Namespace: "/", Rooms: map[string]uint64{"r": 1}})
		if (err == nil) != want {
			t.Errorf("%q: %v", sid, err)
		}
		if c.s != nil {
			c.s.end()
		}
	}
	if len(n.rooms)+len(n.sessions) > 0 {
		t.Errorf("left are %v, %v", n.rooms, n.sessions)
	}
}
