package engineio_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// How each end looks to the client and to the layer above: what was queued before
// still arrives when the end is graceful, and nothing else does.
func TestCloseFlushesWhenItIsGraceful(t *testing.T) {
	for reason, want := range map[engineio.Reason]struct {
		got    string
		status websocket.StatusCode
		reason engineio.Reason
	}{
		engineio.ReasonForcedClose:       {"4bye", websocket.StatusNormalClosure, engineio.ReasonForcedClose},
		engineio.ReasonForcedServerClose: {"4bye", websocket.StatusNormalClosure, engineio.ReasonForcedServerClose},
		engineio.ReasonShutdown:          {"4bye", websocket.StatusGoingAway, engineio.ReasonShutdown},
		engineio.ReasonSlow:              {"", -1, engineio.ReasonSlow},
		engineio.ReasonTransportError:    {"", -1, engineio.ReasonTransportError},
		0:                                {"4bye", websocket.StatusNormalClosure, engineio.ReasonForcedClose},
		255:                              {"4bye", websocket.StatusNormalClosure, engineio.ReasonForcedClose},
	} {
		t.Run(reason.String(), func(t *testing.T) {
			app := newApp(nil)
			inBubble(t, official, app, func(t *testing.T, h *host) {
				c := h.open()
				s := <-app.opened
				synctest.Wait()
				start := time.Now()
				s.Send(message("bye", false)) // without a Flush
				s.Close(reason)
				if s.Send(message("late", false)) {
					t.Error("Send after Close = true")
				}
				s.Close(engineio.ReasonPanic) // the first counts
				got, status := c.readAll()
				if got != want.got || status != want.status {
					t.Errorf("client got %q and status %d, want %q and %d", got, status, want.got, want.status)
				}
				wantEnd(t, s, want.reason)
				if took := s.endedAt.Sub(start); took != 0 {
					t.Errorf("took %v with a client that answers, want no time", took)
				}
			})
		})
	}
}

func TestClosedComesAfterTheLastReceived(t *testing.T) {
	var enter, leave chan struct{}
	app := newApp(func(*session, string, bool) {
		enter <- struct{}{}
		<-leave
	})
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		enter, leave = make(chan struct{}), make(chan struct{})
		c := h.open()
		s := <-app.opened
		c.send("4one")
		<-enter
		go c.Write(context.Background(), websocket.MessageText, []byte("4two")) // nobody reads it
		s.Close(engineio.ReasonSlow)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.ends()) != 0 {
			t.Error("Closed was called while Received ran")
		}
		close(leave)
		wantEnd(t, s, engineio.ReasonSlow)
		if got := s.messages(); got != "one" {
			t.Errorf("received %q, want one message, and none after Close", got)
		}
	})
}

// A message that was on its way when the session ended is not handed on.
func TestNothingIsReceivedAfterClose(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		synctest.Wait() // the reader waits for a message
		s.Close(engineio.ReasonForcedClose)
		c.send("4late")
		c.readAll()
		wantEnd(t, s, engineio.ReasonForcedClose)
		if got := s.messages(); got != "" {
			t.Errorf("received %q after Close", got)
		}
	})
}

func TestCloseFromWithinReceivedIsFine(t *testing.T) {
	app := newApp(func(s *session, data string, _ bool) {
		s.Send(message("refused", false))
		s.Close(engineio.ReasonForcedServerClose)
	})
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		c.send("4hello")
		if got, status := c.readAll(); got != "4refused" || status != websocket.StatusNormalClosure {
			t.Errorf("got %q and status %d, want 4refused and 1000", got, status)
		}
		wantEnd(t, <-app.opened, engineio.ReasonForcedServerClose)
	})
}

func TestCloseFromWithinOpenedIsFine(t *testing.T) {
	opened := make(chan *session, 1)
	handler := handlerFunc(func(s *engineio.Socket) engineio.Receiver {
		one := &session{Socket: s}
		s.Send(message("no", false))
		s.Close(engineio.ReasonForcedClose)
		opened <- one
		return one
	})
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		got, status := h.connect().readAll()
		if !strings.HasSuffix(got, ",4no") || status != websocket.StatusNormalClosure {
			t.Errorf("got %q and status %d, want an open packet, 4no and 1000", got, status)
		}
		wantEnd(t, <-opened, engineio.ReasonForcedClose)
	})
}

func TestLossOfTheConnectionIsATransportClose(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"without a word":     func(c *client) { c.CloseNow() },
		"with a close frame": func(c *client) { c.Close(websocket.StatusGoingAway, "") },
	} {
		t.Run(name, func(t *testing.T) {
			app := newApp(nil)
			inBubble(t, official, app, func(t *testing.T, h *host) {
				c := h.open()
				s := <-app.opened
				start := time.Now()
				leave(c)
				wantEnd(t, s, engineio.ReasonTransportClose)
				if took := s.endedAt.Sub(start); took != 0 {
					t.Errorf("took %v, want no time", took)
				}
			})
		})
	}
}

// The limit counts the whole message with its type, as the official server's does.
func TestMessageOverMaxPayloadEndsTheSession(t *testing.T) {
	cfg := official
	cfg.MaxPayload = 1000
	app := newApp(echo)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		c := h.open()
		largest := "4" + strings.Repeat("x", 999)
		c.send(largest)
		if got := c.read(); got != largest {
			t.Errorf("%d bytes came back as %d", len(largest), len(got))
		}
		c.send(largest + "x")
		if got, status := c.readAll(); got != "" || status != websocket.StatusMessageTooBig {
			t.Errorf("got %q and status %d, want nothing and 1009", got, status)
		}
		wantEnd(t, <-app.opened, engineio.ReasonTooBig)
	})
}

func TestTextThatIsNotUTF8EndsTheSession(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		c.send("4\xff")
		if got, status := c.readAll(); got != "" || status != websocket.StatusInvalidFramePayloadData {
			t.Errorf("got %q and status %d, want nothing and 1007", got, status)
		}
		wantEnd(t, <-app.opened, engineio.ReasonInvalidText)
	})
}

func TestPanicEndsItsSessionOnly(t *testing.T) {
	app := newApp(func(s *session, data string, _ bool) {
		if data == "boom" {
			panic("a bug of the layer above")
		}
		echo(s, data, false)
	})
	inBubble(t, official, app, func(t *testing.T, h *host) {
		bad := h.open()
		s := <-app.opened
		good := h.open()
		bad.send("4boom")
		if got, status := bad.readAll(); got != "" || status != websocket.StatusInternalError {
			t.Errorf("got %q and status %d, want nothing and 1011", got, status)
		}
		wantEnd(t, s, engineio.ReasonPanic)
		good.send("4hello")
		if got := good.read(); got != "4hello" {
			t.Errorf("the other session got %q, want its echo", got)
		}
		if log := h.log.String(); !strings.Contains(log, "a bug of the layer above") || !strings.Contains(log, "end_test.go") {
			t.Errorf("the log lacks the panic or its stack: %s", log)
		}
	})
}

func TestPanicInOpenedLeavesNobodyToTell(t *testing.T) {
	handler := handlerFunc(func(*engineio.Socket) engineio.Receiver { panic("no") })
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		if _, status := h.connect().readAll(); status != websocket.StatusInternalError {
			t.Errorf("status %d, want 1011", status)
		}
		synctest.Wait()
		stats := h.server.Stats()
		if stats.Closed[engineio.ReasonPanic] != 1 || stats.Open[engineio.WebSocket] != 0 {
			t.Errorf("stats %+v, want one session ended and none open", stats)
		}
	})
}

func TestRunEndsEverything(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		var clients []*client
		var sessions []*session
		for range 5 {
			clients = append(clients, h.open())
			sessions = append(sessions, <-app.opened)
		}
		sessions[0].Send(message("last words", false))
		h.stopRun()
		for i, c := range clients {
			got, status := c.readAll()
			if want := map[int]string{0: "4last words"}[i]; got != want || status != websocket.StatusGoingAway {
				t.Errorf("client %d got %q and status %d, want %q, no close packet, and 1001", i, got, status, want)
			}
		}
		<-h.ran
		for _, s := range sessions {
			if got := s.ends(); !slices.Equal(got, []engineio.Reason{engineio.ReasonShutdown}) {
				t.Errorf("Closed was called with %v before Run returned", got)
			}
		}
		if open := h.server.Stats().Open[engineio.WebSocket]; open != 0 {
			t.Errorf("%d sockets open after Run", open)
		}
		status, body := h.get("GET", "EIO=4&transport=websocket", upgrading())
		if want := `{"code":4,"message":"Server shutting down"}`; status != 503 || body != want {
			t.Errorf("after Run: %d %s, want 503 %s", status, body, want)
		}
	})
}

func TestRunWaitsForDeafClientsButNotLong(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		h.open()
		start := time.Now()
		h.stopRun()
		synctest.Wait()
		if status, _ := h.get("GET", "EIO=4&transport=websocket", upgrading()); status != 503 {
			t.Errorf("while Run ends: status %d, want 503", status)
		}
		<-h.ran
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Run took %v to end, want 3s", took)
		}
		wantEnd(t, <-app.opened, engineio.ReasonShutdown)
	})
}

// A request that was let in before the end, and opens its session after it.
func TestSessionThatOpensWhileRunEndsIsTurnedAway(t *testing.T) {
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
		if got, status := h.connect().readAll(); got != "" || status != websocket.StatusGoingAway {
			t.Errorf("got %q and status %d, want nothing and 1001", got, status)
		}
		<-h.ran
		if opened := h.server.Stats().Opened; opened != 0 || len(app.opened) != 0 {
			t.Errorf("%d sessions opened, want none", opened)
		}
	})
}

func TestSIDThatIsInUseIsRefused(t *testing.T) {
	cfg := official
	cfg.NewSID = func() string { return "same" }
	app := newApp(echo)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		first := h.open()
		if got, status := h.connect().readAll(); got != "" || status != websocket.StatusInternalError {
			t.Errorf("second: got %q and status %d, want nothing and 1011", got, status)
		}
		first.send("4hello")
		if got := first.read(); got != "4hello" {
			t.Errorf("first: got %q, want its echo", got)
		}
		if n := len(app.opened); n != 1 {
			t.Errorf("%d sessions opened, want 1", n)
		}
	})
}

func TestStatsCountWhatHappened(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		h.open()
		c.send("4hello")
		c.read()
		synctest.Wait()
		got := h.server.Stats()
		opens := uint64(2 * len(fmt.Sprintf(`0{"sid":%q,"upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, (<-app.opened).ID())))
		if got.Open[engineio.WebSocket] != 2 || got.Opened != 2 || got.PacketsIn != 1 || got.BytesIn != 6 ||
			got.PacketsOut != 3 || got.BytesOut != opens+6 {
			t.Errorf("stats %+v, want 2 open, 1 packet of 6 bytes in, 3 of %d out", got, opens+6)
		}
		c.CloseNow()
		synctest.Wait()
		got = h.server.Stats()
		if got.Open[engineio.WebSocket] != 1 || got.Opened != 2 || got.Closed[engineio.ReasonTransportClose] != 1 {
			t.Errorf("after one left: %+v", got)
		}
	})
}
