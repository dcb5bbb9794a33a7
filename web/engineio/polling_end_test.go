package engineio_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// How each end looks to a poll that waits: what was queued before is in it when
// the end is graceful, and a close packet is its last.
func TestPollThatWaitsGetsTheEnd(t *testing.T) {
	for reason, want := range map[engineio.Reason]answer{
		engineio.ReasonForcedClose:       "200 4bye\x1e1",
		engineio.ReasonForcedServerClose: "200 4bye\x1e1",
		engineio.ReasonParseError:        "200 4bye\x1e1", // of the layer above
		engineio.ReasonTransportClose:    "200 4bye\x1e6",
		engineio.ReasonTransportError:    "200 1",
		engineio.ReasonPingTimeout:       "200 1",
		engineio.ReasonSlow:              "200 1",
	} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			waiting := p.hang()
			p.s.Send(message("bye", false)) // without a Flush
			p.s.Close(reason)
			wantNow(t, waiting, want)
			p.wantGet(unknownSID)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 0 {
				t.Errorf("%v: ended after %v, want at once", reason, took)
			}
		})
	}
}

// The official client hands out events that come with a close packet after it has connected again, when it has said that it
// lacks them: who goes to another server would have them twice.
func TestCloseOfAServerThatEndsComesBehindTheLastEvents(t *testing.T) {
	for _, waits := range []bool{false, true} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			var waiting <-chan answer
			if waits {
				waiting = p.hang()
			}
			p.s.Send(message("bye", false))
			p.s.Close(engineio.ReasonShutdown)
			if waits {
				wantNow(t, waiting, "200 4bye")
			} else {
				p.wantGet("200 4bye")
			}
			time.Sleep(2999 * time.Millisecond)
			p.wantGet("200 1")
			p.wantGet(unknownSID)
			wantEnd(t, p.s, engineio.ReasonShutdown)
		})
	}
}

// A client between two polls finds the session for three seconds more, when it was
// the server that ended it in order.
func TestNextPollFetchesWhatWaitsAtTheEnd(t *testing.T) {
	for _, reason := range []engineio.Reason{engineio.ReasonForcedClose, engineio.ReasonForcedServerClose} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			p.s.Send(message("bye", false))
			p.s.Close(reason)
			if got := p.post("4x"); got != unknownSID {
				t.Errorf("POST: %q, want %q", got, unknownSID)
			}
			if got, status := p.websocket().readAll(); got != "" || status != websocket.StatusPolicyViolation {
				t.Errorf("websocket got %q and status %d, want nothing and 1008", got, status)
			}
			time.Sleep(2999 * time.Millisecond)
			p.wantGet("200 4bye\x1e1")
			p.wantGet(unknownSID)
			wantEnd(t, p.s, reason)

			p = h.polling(app)
			p.s.Close(reason)
			time.Sleep(3 * time.Second)
			synctest.Wait() // its timer and ours fire at the same time
			p.wantGet(unknownSID)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 3*time.Second {
				t.Errorf("ended after %v, want 3s", took)
			}
		})
	}
}

func TestEndsThatCutLeaveNoSession(t *testing.T) {
	for _, reason := range []engineio.Reason{engineio.ReasonSlow, engineio.ReasonTransportError, engineio.ReasonPanic} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			p.s.Send(message("bye", false))
			p.s.Close(reason)
			p.wantGet(unknownSID)
			wantEnd(t, p.s, reason)
		})
	}
}

func TestCloseFromWithinReceivedOfAPost(t *testing.T) {
	app := newApp(func(s *session, data string, _ bool) {
		s.Send(message("refused", false))
		s.Close(engineio.ReasonForcedServerClose)
	})
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.raw("POST", "Content-Length: 5\r\n\r\n4a\x1e4b")
		if got := c.read(); got != "200 ok" {
			t.Errorf("POST: %q, want 200 ok", got)
		}
		p.wantGet("200 4refused\x1e1")
		wantEnd(t, p.s, engineio.ReasonForcedServerClose)
		next := h.polling(app) // on the connection of the POST
		fmt.Fprintf(c, "GET /engine.io/?%s HTTP/1.1\r\nHost: x\r\n\r\n", next.query())
		time.Sleep(100 * time.Millisecond)
		next.s.Send(message("x", false))
		next.s.Flush()
		if got := c.read(); got != "200 4x" {
			t.Errorf("next poll on the connection of the POST: %q", got)
		}
		if got := p.s.messages(); got != "a" {
			t.Errorf("received %q, want nothing after Close", got)
		}
	})
}

// net/http reads what it can of a body before it answers, without a limit in time.
func TestRefusedPostThatIsNotCompleteIsAnsweredInTime(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.s.Close(engineio.ReasonForcedClose)
		c := p.raw("POST", "Content-Length: 10\r\n\r\n4half")
		if got := c.read(); got != unknownSID {
			t.Errorf("POST: %q, want %q", got, unknownSID)
		}
		wantEnd(t, p.s, engineio.ReasonForcedClose)
		if took := time.Since(p.s.OpenedAt()); took != 3*time.Second || p.s.endedAt != time.Now() {
			t.Errorf("answered after %v, session ended at %v, want both after 3s", took, p.s.endedAt)
		}
	})
}

// The body of a POST is no reason to wait at the end.
func TestPostThatIsBeingReadIsInterruptedByTheEnd(t *testing.T) {
	for reason, want := range map[engineio.Reason]time.Duration{
		engineio.ReasonForcedClose: 3 * time.Second, // for a poll
		engineio.ReasonSlow:        0,
	} {
		app := newApp(nil)
		inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			c := p.raw("POST", "Content-Length: 10\r\n\r\n4half")
			synctest.Wait()
			p.s.Close(reason)
			if got := c.read(); got != badRequest || time.Since(p.s.OpenedAt()) != 0 {
				t.Errorf("POST: %q after %v, want %q at once", got, time.Since(p.s.OpenedAt()), badRequest)
			}
			if _, err := c.in.ReadByte(); err != io.EOF {
				t.Errorf("connection after the POST: %v, want it closed", err)
			}
			time.Sleep(want)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != want {
				t.Errorf("%v: ended after %v, want %v", reason, took, want)
			}
		})
	}
}

func TestPanicInReceivedOfAPostEndsItsSessionOnly(t *testing.T) {
	app := newApp(func(s *session, data string, _ bool) {
		if data == "boom" {
			panic("a bug of the layer above")
		}
		echo(s, data, false)
	})
	inBubble(t, official, app, func(t *testing.T, h *host) {
		bad, good := h.polling(app), h.polling(app)
		waiting := bad.hang()
		if got, want := bad.post("4boom", "4x"), answer(`500 {"code":3,"message":"Internal error"}`); got != want {
			t.Errorf("POST: %q, want %q", got, want)
		}
		wantNow(t, waiting, "200 1")
		bad.wantGet(unknownSID)
		wantEnd(t, bad.s, engineio.ReasonPanic)
		good.wantPost("4hello")
		good.wantGet("200 4hello")
	})
}

func TestPanicInOpenedEndsThePollingSession(t *testing.T) {
	handler := handlerFunc(func(*engineio.Socket) engineio.Receiver { panic("no") })
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		if status, _ := h.get("GET", "EIO=4&transport=polling", nil); status != 200 {
			t.Errorf("handshake: status %d, want 200, as it was answered before", status)
		}
		synctest.Wait()
		stats := h.server.Stats()
		if stats.Closed[engineio.ReasonPanic] != 1 || stats.Open[engineio.Polling] != 0 {
			t.Errorf("stats %+v, want one session ended and none open", stats)
		}
	})
}

// The open packet stands alone, as clients read it before they know of a session;
// what the client sends waits for Opened.
func TestNothingIsReceivedBeforeOpenedHasReturned(t *testing.T) {
	var leave chan struct{}
	inner := newApp(echo)
	handler := handlerFunc(func(s *engineio.Socket) engineio.Receiver {
		s.Send(message("welcome", false))
		s.Flush()
		r := inner.Opened(s)
		<-leave
		return r
	})
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		p := h.polling(inner)
		p.wantGet("200 4welcome")
		posted := make(chan answer, 1)
		go func() { posted <- p.post("4hello") }()
		wantNothing(t, posted)
		close(leave)
		wantNow(t, posted, "200 ok")
		p.wantGet("200 4hello")
	})
}

func TestEndWhileOpenedRuns(t *testing.T) {
	var leave chan struct{}
	inner := newApp(echo)
	handler := handlerFunc(func(s *engineio.Socket) engineio.Receiver {
		r := inner.Opened(s)
		<-leave
		return r
	})
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		p := h.polling(inner)
		p.s.Close(engineio.ReasonSlow)
		time.Sleep(time.Minute)
		if ends := p.s.ends(); len(ends) != 0 {
			t.Errorf("Closed(%v) came before Opened had returned", ends)
		}
		close(leave)
		wantEnd(t, p.s, engineio.ReasonSlow)
	})
}

func TestRunAnswersPollsThatWait(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p, q := h.polling(app), h.polling(app)
		waiting, other := p.hang(), q.hang()
		p.s.Send(message("last words", false))
		start := time.Now()
		h.stopRun()
		wantNow(t, waiting, "200 4last words")
		p.wantGet("200 1") // "transport close" in the client, which connects again
		wantNow(t, other, "200 1")
		<-h.ran
		if took := time.Since(start); took != 0 {
			t.Errorf("Run took %v, want no time when all clients poll", took)
		}
		for _, s := range []*session{p.s, q.s} {
			if got := s.ends(); !slices.Equal(got, []engineio.Reason{engineio.ReasonShutdown}) {
				t.Errorf("Closed was called with %v before Run returned", got)
			}
		}
		want := answer(`503 {"code":4,"message":"Server shutting down"}`)
		p.wantGet(want)
		if status, _ := h.get("GET", "EIO=4&transport=polling", nil); status != 503 {
			t.Errorf("after Run: status %d, want 503", status)
		}
	})
}

func TestRunLetsTheLastPollOfASessionIn(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p, silent := h.polling(app), h.polling(app)
		p.s.Send(message("last words", false))
		start := time.Now()
		h.stopRun()
		synctest.Wait()
		if status, _ := h.get("GET", "EIO=4&transport=polling", nil); status != 503 {
			t.Errorf("handshake while Run ends: status %d, want 503", status)
		}
		p.wantGet("200 4last words")
		p.wantGet("200 1")
		wantEnd(t, p.s, engineio.ReasonShutdown)
		<-h.ran
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Run took %v to end, want 3s for the client that does not poll", took)
		}
		wantEnd(t, silent.s, engineio.ReasonShutdown)
	})
}

func TestPollingSessionThatOpensWhileRunEndsIsTurnedAway(t *testing.T) {
	var enter, leave chan struct{}
	cfg := engineio.Config{Accept: func(*http.Request) error {
		close(enter)
		<-leave
		return nil
	}}
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		enter, leave = make(chan struct{}), make(chan struct{})
		go func() {
			<-enter
			h.stopRun()
			time.Sleep(time.Nanosecond) // Run is at work
			close(leave)
		}()
		if status, _ := h.get("GET", "EIO=4&transport=polling", nil); status != 503 {
			t.Errorf("status %d, want 503", status)
		}
		<-h.ran
		if opened := h.server.Stats().Opened; opened != 0 || len(app.opened) != 0 {
			t.Errorf("%d sessions opened, want none", opened)
		}
	})
}

func TestSIDThatIsInUseIsRefusedOnPolling(t *testing.T) {
	cfg := official
	cfg.NewSID = func() string { return "same" }
	app := newApp(echo)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		first := h.polling(app)
		if status, _ := h.get("GET", "EIO=4&transport=polling", nil); status != 500 {
			t.Errorf("second: status %d, want 500", status)
		}
		first.wantPost("4hello")
		first.wantGet("200 4hello")
	})
}
