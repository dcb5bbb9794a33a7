//go:build unix

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// A balancer that asks nobody sends clients to a node that drains, to its end: others take them, at the first attempt.
func TestClientsThatComeToADrainingNodeAreTaken(t *testing.T) {
	need(t, "node")
	needPackages(t)
	for name, args := range map[string][]string{"recovery": {recovery}, "no recovery": nil} {
		t.Run(name, func(t *testing.T) {
			nodes := startCluster(t, 3, append(args, "-drain=2s")...)
			nodes[0].post("/api/drain", "{}")
			nodes[2].post("/api/drain", "{}") // it may be asked first, and takes nobody either
			p := startScript(t, time.Minute, "drain.mjs", map[string]any{"url": "http://" + nodes[0].HTTP, "talker": "http://" + nodes[1].HTTP})
			p.event("opened")
			if got := nodes[0].status("/readyz"); got != 503 {
				t.Errorf("readyz of the node that drains: %d", got)
			}
			began := time.Now()
			nodes[0].cmd.Process.Signal(syscall.SIGTERM)
			p.tell("ends")
			<-nodes[0].exited
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("it took %v to end", took)
			}
			var result struct {
				Problems []string
				Took     map[string]int // milliseconds
				Reasons  map[string]any
			}
			p.wait(&result)
			t.Logf("let in after %v ms; told of the end: %v", result.Took, result.Reasons)
			for kind, took := range result.Took {
				if took > 1500 { // more than a node that is asked in vain costs
					t.Errorf("%s was let in after %d ms", kind, took)
				}
			}
			for _, problem := range result.Problems {
				t.Error(problem)
			}
		})
	}
}
