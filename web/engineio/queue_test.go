package engineio_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/eio"
)

// event is a group of two packets, as Socket.IO sends an event with an attachment.
func event(data string) *engineio.Group {
	return engineio.NewGroup(
		eio.Packet{Type: eio.Message, Data: []byte("51-" + data)},
		eio.Packet{Type: eio.Message, Binary: true, Data: []byte(data)},
	)
}

func TestGroupSizeIsWhatItsWebSocketMessagesHold(t *testing.T) {
	if got, want := event("abc").Size(), len("451-abc")+len("abc"); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
}

// Without a Flush nothing is taken, so the queue fills to its exact edge.
func TestQueueIsFullAtItsLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		bytes, groups int
		fit           int // groups of 10 bytes
	}{
		"groups":                 {1000, 4, 4},
		"bytes, exactly":         {40, 100, 4},
		"bytes, one less":        {39, 100, 3},
		"one group over all":     {5, 100, 1},
		"bytes and groups alike": {40, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := official
			cfg.QueueBytes, cfg.QueueGroups = tt.bytes, tt.groups
			app := newApp(nil)
			inBubble(t, cfg, app, func(t *testing.T, h *host) {
				h.open()
				synctest.Wait()
				s, ten := <-app.opened, message("123456789", false)
				for i := range tt.fit {
					if !s.Send(ten) {
						t.Fatalf("Send %d = false, want true", i+1)
					}
				}
				if s.Send(ten) {
					t.Fatalf("Send %d = true, want the queue full", tt.fit+1)
				}
				if s.Send(message("", false)) {
					t.Error("Send = true after the queue was full")
				}
				wantEnd(t, s, engineio.ReasonSlow)
			})
		})
	}
}

func TestWhatIsBeingWrittenCountsAsWaiting(t *testing.T) {
	cfg := official
	cfg.QueueGroups = 4
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		for range 3 { // read as they come, they leave no trace
			s.Send(message("x", false))
			s.Flush()
			c.read()
			synctest.Wait()
		}
		s.Send(message("stuck", false))
		s.Flush()
		synctest.Wait() // the writer has it, and the client does not read
		for i := range 3 {
			if !s.Send(message("x", false)) {
				t.Fatalf("Send %d = false, want true", i+1)
			}
		}
		if s.Send(message("x", false)) {
			t.Error("fifth group fits a queue of four")
		}
		wantEnd(t, s, engineio.ReasonSlow)
	})
}

func TestSendAloneDoesNotWakeTheWriter(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		got := make(chan string, 1)
		go func() { got <- c.read() }()
		synctest.Wait()
		s.Send(message("x", false))
		synctest.Wait()
		if len(got) != 0 {
			t.Errorf("got %q before Flush", <-got)
		}
		s.Flush()
		synctest.Wait()
		if len(got) == 0 || <-got != "4x" {
			t.Error("got nothing after Flush, want 4x at once")
		}
	})
}

func TestSlowClientIsCutAndNobodyWaitsForIt(t *testing.T) {
	cfg := engineio.Config{QueueGroups: 8}
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		h.open() // reads no more
		slow := <-app.opened
		fast := h.open()
		quick := <-app.opened
		start := time.Now()
		for range 20 {
			for _, s := range []*session{slow, quick} {
				s.Send(message("all", false))
				s.Flush()
			}
			if got := fast.read(); got != "4all" {
				t.Fatalf("fast client got %q", got)
			}
		}
		wantEnd(t, slow, engineio.ReasonSlow)
		if len(quick.ends()) != 0 || time.Since(start) != 0 {
			t.Errorf("the fast client waited %v, or ended: %v", time.Since(start), quick.ends())
		}
		if got := h.server.Stats().Closed[engineio.ReasonSlow]; got != 1 {
			t.Errorf("Stats counts %d slow clients, want 1", got)
		}
	})
}

func TestOneWriteMayTakeThePingTimeout(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		h.open() // reads no more
		s := <-app.opened
		synctest.Wait()
		start := time.Now()
		s.Send(message("x", false))
		s.Flush()
		time.Sleep(199 * time.Millisecond)
		synctest.Wait()
		if len(s.ends()) != 0 {
			t.Errorf("ended after %v, want 200ms", s.endedAt.Sub(start))
		}
		time.Sleep(time.Millisecond)
		wantEnd(t, s, engineio.ReasonSlow)
	})
}

// The ping goes out however full the queue is: a slow but living client is judged
// by its queue, not by a ping that found no place.
func TestPingHasAPlaceInAFullQueue(t *testing.T) {
	cfg := official
	cfg.QueueGroups = 2
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		synctest.Wait()
		s.Send(message("a", false))
		s.Send(message("b", false))
		var got []string
		for range 3 {
			got = append(got, c.read())
		}
		if want := "4a 4b 2"; strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
