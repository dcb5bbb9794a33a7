package engineio_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
)

// single is a group that may go out without having been queued.
func single(data string) *engineio.Group {
	return engineio.NewMessage(append(engineio.Room(len(data), false), data...), false)
}

// overTCP is a session whose transport has a descriptor of its own, and its client.
func overTCP(t *testing.T, cfg engineio.Config) (*host, *client, *session) {
	app := newApp(nil)
	l, _ := listenTCP(t)
	h := newHost(t, l, cfg, app)
	t.Cleanup(h.stop)
	c := h.open()
	return h, c, <-app.opened
}

func TestSendNowHasSentWhenItReturns(t *testing.T) {
	h, c, s := overTCP(t, official)
	s.SendNow(single("first")) // the transport is known to be a websocket from here on
	if got := c.read(); got != "4first" {
		t.Fatalf("got %q, want 4first", got)
	}
	before := h.server.Stats().PacketsOut
	for i := range 50 {
		s.Send(single("a")) // what waits already goes first
		s.SendNow(single(fmt.Sprint(i)))
		for _, want := range []string{"4a", fmt.Sprint("4", i)} {
			if got := c.read(); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	if got := h.server.Stats().PacketsOut - before; got != 100 {
		t.Errorf("%d packets are out, want 100", got)
	}
}

// What SendNow has not got out is being written: the transport is not writable.
func TestVolatileIsDroppedWhileSendNowIsNotOut(t *testing.T) {
	cfg := official
	cfg.QueueBytes = 100_000
	h, _, s := overTCP(t, cfg)
	large := single(string(make([]byte, 60_000)))
	for h.server.Stats().VolatileDropped == 0 {
		if !s.SendNow(large) || !s.SendVolatile(single("v")) {
			t.Fatal("the queue is full, and nothing volatile was dropped before")
		}
		s.Flush()
	}
}

// The limit of the queue holds for what never was in it.
func TestSendNowCutsWhoDoesNotRead(t *testing.T) {
	cfg := official
	cfg.QueueBytes = 100_000
	_, _, s := overTCP(t, cfg)
	large := single(string(make([]byte, 60_000)))
	for end := time.Now().Add(20 * time.Second); s.SendNow(large); {
		if time.Now().After(end) {
			t.Fatal("a client that does not read gets what there is for ever")
		}
	}
	for end := time.Now().Add(20 * time.Second); len(s.ends()) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := s.ends(); len(got) != 1 || got[0] != engineio.ReasonSlow {
		t.Errorf("Closed was called with %v, want once with %q", got, engineio.ReasonSlow)
	}
}
