package node

import (
	"context"
	"testing"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node/once"
)

// A round that news has ended says nothing of those who had not answered yet: they may publish just now, and are
// asked again, however long the try has taken.
func TestWhoWasNotWaitedForIsAskedAgain(t *testing.T) {
	k, key := newKeys(1, 0), once.KeyOf("/", "k")
	if v, _ := k.begin(key, once.Hash{}, 0); v != once.Ask {
		t.Fatalf("begin: %d", v)
	}
	for _, tt := range []struct {
		err  error
		want once.Verdict
	}{{context.Canceled, once.Again}, {context.DeadlineExceeded, once.Unsure}, {cluster.ErrGone, once.Publish}} {
		k.table.Round(key)
		k.said(key, cluster.NodeInfo{ID: 2, State: "up"}, nil, tt.err, false)
		if v := k.table.Decide(key, false, 0); v != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, v, tt.want)
		}
	}
}
