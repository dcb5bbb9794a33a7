package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// ranked is a Sink that writes down events with their priorities.
type ranked struct {
	mu  sync.Mutex
	got []string
}

func (r *ranked) Deliver(d *node.Delivery) bool {
	if d.Kind == node.KindEvent {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, fmt.Sprint(node.PriorityOf(d.Message), string(d.Message.Payload)))
	}
	return true
}
func (*ranked) Flush()     {}
func (*ranked) Close(bool) {}

// The last one counts, an operator that was kept has its own, and clients of other
// nodes get the message with it.
func TestPriorityOfAnOperatorReachesEveryNode(t *testing.T) {
	together(t, 2, func(n *node.Node) { root(n) }, func(t *testing.T, b *lab) {
		var sinks [2]ranked
		for i, n := range b.nodes {
			if _, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: &sinks[i]}); err != nil {
				t.Fatal(err)
			}
		}
		all := b.nodes[0].In("/")
		high := all.Priority(node.Low).Priority(node.High)
		for _, o := range []node.Operator{high, all, high.Volatile().Priority(node.Low).Compress(false), high.Priority(node.Normal), high} {
			o.Emit("e")
			time.Sleep(time.Second) // each alone: they do not overtake one another
		}
		want := `high["e"] normal["e"] low["e"] normal["e"] high["e"]`
		for i := range sinks {
			sinks[i].mu.Lock()
			got := strings.Join(sinks[i].got, " ")
			sinks[i].mu.Unlock()
			if got != want {
				t.Errorf("on node %d: %s, want %s", i, got, want)
			}
		}
	})
}

func TestPrioritiesHaveNames(t *testing.T) {
	for _, name := range []string{"high", "normal", "low"} {
		p, err := node.ParsePriority(name)
		if err != nil || p.String() != name {
			t.Errorf("%s is %v, %v", name, p, err)
		}
		if text, err := json.Marshal(map[string]node.Priority{"priority": p}); string(text) != `{"priority":"`+name+`"}` || err != nil {
			t.Errorf("%s as JSON: %s, %v", name, text, err)
		}
	}
	for _, name := range []string{"", "High", "urgent", " low", strings.Repeat("x", 1000)} {
		p, err := node.ParsePriority(name)
		if node.CodeOf(err) != node.CodeInvalid || p != node.Normal || !strings.HasPrefix(err.Error(), "priority must be high, normal or low, not ") || len(err.Error()) > 100 {
			t.Errorf("%.20q: %v, %v", name, p, err)
		}
	}
}
