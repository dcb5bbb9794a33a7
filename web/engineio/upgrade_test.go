package engineio_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

func TestOfficialUpgradesFromPollingToWebSocket(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.probe()
		p.wantGet("200 6")
		c.send("5")
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}

func TestOfficialRequestsAfterTheUpgradeAreRefused(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.upgrade()
		p.wantGet(badRequest)
		if got := p.post("4x"); got != badRequest {
			t.Errorf("POST: %q, want %q", got, badRequest)
		}
		if got, status := p.websocket().readAll(); got != "" || status != websocket.StatusPolicyViolation {
			t.Errorf("second websocket got %q and status %d, want nothing and 1008", got, status)
		}
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}

// The suite sends the upgrade and then the GET, on two connections.
func TestPollMayOvertakeTheUpgradeBeforeIt(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.probe()
		got := p.hang()
		time.Sleep(49 * time.Millisecond)
		c.send("5")
		wantNow(t, got, badRequest)
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}

func TestPollsReturnWhileTheClientProbes(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		waiting := p.hang()
		c := p.websocket()
		wantNothing(t, waiting) // the websocket alone says nothing
		c.send("2probe")
		wantNow(t, waiting, "200 6")
		if got := c.read(); got != "3probe" {
			t.Errorf("answer to the probe: %q", got)
		}
		for range 2 { // a client may poll again before it has seen the 3probe
			start := time.Now()
			p.wantGet("200 6")
			if took := time.Since(start); took != 50*time.Millisecond {
				t.Errorf("noop after %v, want 50ms", took)
			}
		}
		p.s.Send(message("data goes by poll before the upgrade", false))
		p.wantGet("200 4data goes by poll before the upgrade")
		c.CloseNow()
		synctest.Wait()
		wantNothing(t, p.hang()) // polls wait again
	})
}

func TestWhatWaitsAtTheUpgradeGoesByWebSocket(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.s.Send(message("polled", false))
		p.wantGet("200 4polled")
		c := p.probe()
		p.s.Send(event("1")) // nobody polls, nobody flushes
		c.send("5")
		for i, want := range []string{"451-1", "[49]", "42"} {
			if got := c.read(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if i == 1 {
				p.s.Send(message("2", false))
				p.s.Flush()
			}
		}
	})
}

// The official server needs no probe for an upgrade either.
func TestUpgradeWithoutAProbe(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.polling(app).websocket()
		c.send("5")
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}

// A client that floods us with probes gets one answer for all that it did not read.
func TestProbesAreAnsweredOnceEach(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.polling(app).probe()
		c.send("2probe")
		if got := c.read(); got != "3probe" {
			t.Errorf("second probe: %q", got)
		}
		for range 100 {
			c.send("2probe")
		}
		c.send("5")
		c.send("4hello")
		n := 0
		for got := c.read(); got != "4hello"; got = c.read() {
			n++
		}
		if n > 2 {
			t.Errorf("%d answers were kept, want one that was written and one that waited", n)
		}
	})
}

func TestPollingGoesOnWhenTheProbeFails(t *testing.T) {
	for name, fail := range map[string]func(*client){
		"closed":       func(c *client) { c.Close(websocket.StatusNormalClosure, "") },
		"broken":       func(c *client) { c.CloseNow() },
		"message":      func(c *client) { c.send("4too early"); c.readAll() },
		"close packet": func(c *client) { c.send("1"); c.readAll() },
		"ping":         func(c *client) { c.send("2"); c.readAll() },
		"other probe":  func(c *client) { c.send("2probes"); c.readAll() },
		"no packet":    func(c *client) { c.send("abc"); c.readAll() },
		"binary":       func(c *client) { c.Write(context.Background(), websocket.MessageBinary, []byte("5")); c.readAll() },
		"not UTF-8":    func(c *client) { c.send("2\xff"); c.readAll() },
		"too big":      func(c *client) { c.send(strings.Repeat("2", 1001)); c.readAll() },
		"after the pong": func(c *client) {
			c.send("2probe")
			c.read()
			synctest.Wait() // the poll that waits has its noop
			c.send("2probe ")
			c.readAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := official
			cfg.MaxPayload = 1000
			app := newApp(echo)
			inBubble(t, cfg, app, func(t *testing.T, h *host) {
				p := h.polling(app)
				waiting := p.hang()
				c := p.websocket()
				fail(c)
				synctest.Wait()
				if name == "after the pong" {
					wantNow(t, waiting, "200 6")
					waiting = p.hang()
				}
				p.wantPost("4hello")
				wantNow(t, waiting, "200 4hello")
				if ends := p.s.ends(); len(ends) != 0 || p.s.Transport() != engineio.Polling {
					t.Errorf("ended with %v, transport %q", ends, p.s.Transport())
				}
				c = p.upgrade() // another try
				c.send("4again")
				if got := c.read(); got != "4again" {
					t.Errorf("after another try: %q", got)
				}
			})
		})
	}
}

func TestUpgradeTimeoutClosesTheWebSocketOnly(t *testing.T) {
	for _, probes := range []bool{false, true} {
		app := newApp(echo)
		inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			c := p.websocket()
			start := time.Now()
			if probes {
				c.send("2probe")
				c.read()
			}
			if got, status := c.readAll(); got != "" || status != websocket.StatusPolicyViolation {
				t.Errorf("got %q and status %d, want nothing and 1008", got, status)
			}
			if took := time.Since(start); took != engineio.DefaultUpgradeTimeout {
				t.Errorf("closed after %v, want %v", took, engineio.DefaultUpgradeTimeout)
			}
			wantNothing(t, p.hang())

			c = p.websocket()
			time.Sleep(engineio.DefaultUpgradeTimeout)
			synctest.Wait()
			c.send("5") // crosses the close frame
			synctest.Wait()
			if got := p.s.Transport(); got != engineio.Polling {
				t.Errorf("transport %q after an upgrade that came too late", got)
			}
			c.CloseNow()
			synctest.Wait()

			p.upgrade()
			time.Sleep(engineio.DefaultUpgradeTimeout) // has no timeout once it has moved
			wantOpen(t, p.s)
		})
	}
}

func wantOpen(t *testing.T, s *session) {
	t.Helper()
	synctest.Wait()
	if ends := s.ends(); len(ends) != 0 {
		t.Errorf("ended with %v, want it open", ends)
	}
}

func TestSecondProbeIsClosedAndTheFirstGoesOn(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		first := p.probe()
		if got, status := p.websocket().readAll(); got != "" || status != websocket.StatusPolicyViolation {
			t.Errorf("second websocket got %q and status %d, want nothing and 1008", got, status)
		}
		first.send("5")
		first.send("4hello")
		if got := first.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}

// sendLater sends when the server reads again.
func (c *client) sendLater(data string) {
	go c.Write(context.Background(), websocket.MessageText, []byte(data))
}

// A POST that is still at work when the upgrade comes: its packets came first.
func TestPacketsOfAPostComeBeforeThoseOfTheWebSocket(t *testing.T) {
	for name, part := range map[string]int{"being received": len("4one\x1e4two"), "being read": len("4on")} {
		t.Run(name, func(t *testing.T) {
			var leave chan struct{}
			app := newApp(func(s *session, data string, _ bool) { <-leave })
			inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
				leave = make(chan struct{})
				p := h.polling(app)
				body := "4one\x1e4two"
				post := p.raw("POST", "Content-Length: 9\r\n\r\n"+body[:part])
				c := p.upgrade()
				c.sendLater("4three")
				p.wantGet(badRequest)
				if got := p.post("4x"); got != badRequest {
					t.Errorf("POST after the upgrade: %q, want %q", got, badRequest)
				}
				p.s.Send(message("the other way waits for nothing", false))
				p.s.Flush()
				if got := c.read(); got != "4the other way waits for nothing" {
					t.Errorf("got %q", got)
				}
				time.Sleep(5 * time.Second)
				post.Write([]byte(body[part:]))
				close(leave)
				if got := post.read(); got != "200 ok" {
					t.Errorf("POST: %q, want 200 ok", got)
				}
				synctest.Wait()
				if got := p.s.messages(); got != "one,two,three" {
					t.Errorf("received %q, want one,two,three", got)
				}
			})
		})
	}
}

// Nothing may be lost without a word: the client thinks that the POST is on its way.
func TestPostThatBreaksOffAfterTheUpgradeEndsTheSession(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		post := p.raw("POST", "Content-Length: 9\r\n\r\n4on")
		c := p.upgrade()
		c.sendLater("4three")
		post.Close()
		wantEnd(t, p.s, engineio.ReasonTransportError)
		if got := p.s.messages(); got != "" {
			t.Errorf("received %q, want nothing", got)
		}
	})
}

// The answer to a poll that is still on its way when the upgrade comes.
func TestAnswerToAPollComesBeforeTheWebSocket(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		poll := p.raw("GET", "\r\n")
		p.s.Send(message("one", false))
		p.s.Flush()
		c := p.upgrade()
		p.s.Send(message("two", false))
		p.s.Flush()
		got := make(chan answer, 1)
		go func() { got <- answer(c.read()) }()
		time.Sleep(199 * time.Millisecond)
		wantNothing(t, got)
		if got := poll.read(); got != "200 4one" {
			t.Errorf("poll: %q, want 200 4one", got)
		}
		wantNow(t, got, "4two")

		p = h.polling(app)
		p.raw("GET", "\r\n")
		synctest.Wait() // it waits for packets
		p.s.Send(message("never read", false))
		p.s.Flush()
		c = p.upgrade()
		if got, status := c.readAll(); got != "" || status != -1 {
			t.Errorf("got %q and status %d, want the connection cut", got, status)
		}
		wantEnd(t, p.s, engineio.ReasonSlow)
		if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 200*time.Millisecond {
			t.Errorf("ended after %v, want 200ms", took)
		}
	})
}

func TestHeartbeatGoesOnOverTheUpgrade(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.wantGet("200 2") // at 300 ms
		c := p.upgrade()
		time.Sleep(199 * time.Millisecond)
		c.send("3")
		start := time.Now()
		if got := c.read(); got != "2" || time.Since(start) != 300*time.Millisecond {
			t.Errorf("got %q after %v, want a ping after 300ms", got, time.Since(start))
		}
		if got, _ := c.readAll(); got != "" || time.Since(start) != 500*time.Millisecond {
			t.Errorf("got %q and the end after %v, want 500ms", got, time.Since(start))
		}
		wantEnd(t, p.s, engineio.ReasonPingTimeout)

		p = h.polling(app)
		time.Sleep(350 * time.Millisecond) // the ping waits
		c = p.upgrade()
		if got := c.read(); got != "2" {
			t.Errorf("got %q, want the ping that waited", got)
		}
		c.send("3")
		time.Sleep(200 * time.Millisecond)
		wantOpen(t, p.s)
	})
}

func TestStatsCountUpgrades(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		h.polling(app)
		c := p.upgrade()
		got := h.server.Stats()
		if got.Open[engineio.Polling] != 1 || got.Open[engineio.WebSocket] != 1 || got.Opened != 2 || got.Upgraded != 1 {
			t.Errorf("stats %+v, want one on each transport, two opened and one upgraded", got)
		}
		c.CloseNow()
		wantEnd(t, p.s, engineio.ReasonTransportClose)
		if got = h.server.Stats(); got.Open[engineio.Polling] != 1 || got.Open[engineio.WebSocket] != 0 {
			t.Errorf("stats %+v, want the one on polling left", got)
		}
	})
}

func TestUpgradeWaitsForOpened(t *testing.T) {
	var leave chan struct{}
	inner := newApp(echo)
	handler := handlerFunc(func(s *engineio.Socket) engineio.Receiver {
		r := inner.Opened(s)
		<-leave
		return r
	})
	inBubble(t, engineio.Config{}, handler, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		p := h.polling(inner)
		c := p.upgrade()
		c.sendLater("4hello")
		time.Sleep(time.Second)
		wantOpen(t, p.s)
		close(leave)
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q, want 4hello", got)
		}
	})
}
