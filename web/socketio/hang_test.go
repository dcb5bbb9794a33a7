package socketio

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/webtest"
)

// A connection ends although its reader waits for a handler that waits for the end:
// the session is closed, and its context, at once.
func TestHandlerThatWaitsForTheEndOfItsClientSeesIt(t *testing.T) {
	handled := 0
	setup := func(n *node.Node) {
		n.Namespace("/").On("hang", func(e *node.Event) { <-e.Session.Context().Done(); handled++ })
	}
	few := func(c *Config) { c.Engine = engineio.Config{QueueGroups: 4} }
	serve(t, setup, few, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c, _ := joined(t, s, "40")
		for i := range 66 { // as many as there is place for, and the one under way
			c.Send(fmt.Sprintf(`42["hang",%d]`, i))
		}
		synctest.Wait()
		start := time.Now()
		for range 10 {
			n.In("/").Emit("flood")
			synctest.Wait()
		}
		for n.Stats().Sessions > 0 && time.Since(start) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("the session was there for %v", took)
		}
		synctest.Wait()
		if handled != 65 {
			t.Errorf("%d events were handled, want the 65 that were received", handled)
		}
	})
}
