package engineio_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

func TestEndWhileTheClientProbesClosesBoth(t *testing.T) {
	for reason, status := range map[engineio.Reason]websocket.StatusCode{
		engineio.ReasonForcedClose: websocket.StatusNormalClosure,
		engineio.ReasonShutdown:    websocket.StatusGoingAway,
		engineio.ReasonSlow:        -1,
	} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			c := p.probe()
			waiting := p.hang()
			p.s.Close(reason)
			wantNow(t, waiting, "200 1")
			if got, s := c.readAll(); got != "" || s != status {
				t.Errorf("%v: websocket got %q and status %d, want nothing and %d", reason, got, s, status)
			}
			wantEnd(t, p.s, reason)
		})
	}
}

// The session is the websocket's from the upgrade packet on, though a POST holds
// it up: what the server says last is said there.
func TestEndWhileTheUpgradeWaitsForAPost(t *testing.T) {
	var leave chan struct{}
	app := newApp(func(*session, string, bool) { <-leave })
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		p := h.polling(app)
		p.raw("POST", "Content-Length: 5\r\n\r\n4post")
		c := p.upgrade()
		p.s.Send(message("bye", false))
		p.s.Close(engineio.ReasonForcedServerClose)
		if got := c.read(); got != "4bye" {
			t.Errorf("got %q, want 4bye", got)
		}
		c.sendLater("4late") // nobody reads it
		time.Sleep(time.Minute)
		if ends := p.s.ends(); len(ends) != 0 {
			t.Errorf("Closed(%v) came before Received had returned", ends)
		}
		close(leave)
		c.readAll()
		wantEnd(t, p.s, engineio.ReasonForcedServerClose)
		if got := p.s.messages(); got != "post" {
			t.Errorf("received %q, want post alone", got)
		}
	})
}

// The same with the answer to a poll that nobody reads.
func TestEndWhileTheUpgradeWaitsForAPoll(t *testing.T) {
	for reason, want := range map[engineio.Reason]time.Duration{
		engineio.ReasonForcedClose: 3 * time.Second,
		engineio.ReasonSlow:        0,
	} {
		app := newApp(nil)
		inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			p.raw("GET", "\r\n")
			p.s.Send(message("a", false))
			p.s.Flush()
			c := p.upgrade()
			p.s.Close(reason)
			go c.readAll()
			time.Sleep(want)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != want {
				t.Errorf("%v: ended after %v, want %v", reason, took, want)
			}
		})
	}
}

// A websocket that is lost before it has written anything.
func TestClosedWaitsForTheLastPollOfAnUpgradedSession(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		poll := p.raw("GET", "\r\n")
		p.s.Send(message("a", false))
		p.s.Flush()
		c := p.websocket()
		c.send("2probe") // and reads no answer
		c.send("5")
		synctest.Wait()
		c.CloseNow()
		time.Sleep(2 * time.Second)
		wantOpen(t, p.s)
		if got := poll.read(); got != "200 4a" {
			t.Errorf("poll: %q, want 200 4a", got)
		}
		wantEnd(t, p.s, engineio.ReasonTransportClose)
	})
}

func TestSessionOnAWebSocketEndsAsOneThatOpenedThere(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.upgrade().CloseNow()
		wantEnd(t, p.s, engineio.ReasonTransportClose)
		p.wantGet(unknownSID)

		p = h.polling(app)
		c := p.upgrade()
		c.send("abc")
		if got, status := c.readAll(); got != "" || status != websocket.StatusProtocolError {
			t.Errorf("got %q and status %d, want nothing and 1002", got, status)
		}
		wantEnd(t, p.s, engineio.ReasonParseError)

		p = h.polling(app)
		c = p.upgrade()
		p.s.Send(message("bye", false))
		h.stopRun()
		if got, status := c.readAll(); got != "4bye" || status != websocket.StatusGoingAway {
			t.Errorf("got %q and status %d, want 4bye and 1001", got, status)
		}
		<-h.ran
		wantEnd(t, p.s, engineio.ReasonShutdown)
	})
}
