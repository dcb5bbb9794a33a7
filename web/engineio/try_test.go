//go:build linux

package engineio_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
)

// quickApp has sessions whose messages wait for nobody; it counts them.
type quickApp struct{ tried, received atomic.Int64 }

func (a *quickApp) Opened(*engineio.Socket) engineio.Receiver { return a }
func (a *quickApp) Received([]byte, bool)                     { a.received.Add(1) }
func (a *quickApp) Closed(engineio.Reason)                    {}

func (a *quickApp) TryReceived(data []byte) (done bool) {
	if string(data) == "refused" {
		return false
	}
	a.tried.Add(1)
	return true
}

// Each message counts once, whoever receives it, one too that was tried in vain: a rate of
// one a second lets two through at once, and no third.
func TestMessagesOfWhoPollsCountForTheRateOnce(t *testing.T) {
	for _, words := range [][]string{{"a", "b", "c"}, {"a", "refused", "c"}, {"refused", "b", "c"}} {
		app := &quickApp{}
		l, _ := listenTCP(t)
		h := newHost(t, l, engineio.Config{Rate: 1}, app)
		c := h.open()
		time.Sleep(3 * time.Millisecond) // one that has just spoken is read by others
		for _, word := range words {
			c.send("4" + word)
		}
		for end := time.Now().Add(10 * time.Second); h.server.Stats().Delayed == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%q: none was delayed", words)
			}
		}
		if got := app.tried.Load() + app.received.Load(); got != 2 {
			t.Errorf("%q: %d were received when one was delayed, want 2", words, got)
		}
		c.CloseNow() // or its close frame is waited for
		h.stop()
	}
}
