package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// other is a server without sessions, which passes requests on to the one that
// has them.
type other struct {
	*host
	leave, lose context.CancelFunc
}

// beside is an other beside h, in a bubble.
func (h *host) beside(cfg engineio.Config) *other {
	leaving, leave := context.WithCancel(context.Background())
	lost, lose := context.WithCancel(context.Background())
	way := engineio.Detour{Leaving: leaving, Lost: lost}
	cfg.Elsewhere = func(w http.ResponseWriter, r *http.Request, sid string) error {
		switch sid {
		case "unknown":
			return errors.New("nobody has it")
		case "busy":
			return &engineio.Refusal{Status: http.StatusServiceUnavailable, Message: "Busy"}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(lost, cancel)()
		h.server.ServeHTTP(w, way.Request(r.WithContext(ctx)))
		return nil
	}
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	o := &other{newHost(h.t, l, cfg, newApp(nil)), leave, lose}
	o.use(l.dial)
	return o
}

// via is p as seen through o.
func (p *poller) via(o *other) *poller { return &poller{o.host, p.sid, p.s} }

// onTwo runs test with a session on polling and another server beside its own.
func onTwo(t *testing.T, test func(t *testing.T, p *poller, o *other)) {
	t.Helper()
	app := newApp(echo)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		o := h.beside(engineio.Config{})
		defer o.stop()
		test(t, h.polling(app), o)
	})
}

func TestSessionIsServedThroughAnotherServer(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		waiting := p.via(o).hang()
		p.wantPost("4one")
		wantNow(t, waiting, "200 4one")
		p.via(o).wantPost("4two")
		p.wantGet("200 4two")
		c := p.via(o).upgrade()
		c.send("4three")
		if got := c.read(); got != "4three" {
			t.Errorf("got %q, want 4three", got)
		}
		c.CloseNow()
		wantEnd(t, p.s, engineio.ReasonTransportClose)
	})
}

func TestRequestsForNobodysSessionAreRefused(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		for sid, want := range map[string]answer{
			"unknown": unknownSID,
			"busy":    `503 {"code":4,"message":"Busy"}`,
		} {
			for _, method := range []string{"GET", "POST"} {
				stranger := &poller{o.host, sid, nil}
				if got := stranger.do(context.Background(), method, nil, nil); got != want {
					t.Errorf("%s for %q: %q, want %q", method, sid, got, want)
				}
			}
		}
		if got := o.server.Stats().Refused["Session ID unknown"]; got != 2 {
			t.Errorf("%d counted as unknown, want 2", got)
		}
	})
}

// Whether the transport is allowed is for the server that has the session.
func TestTransportsOfTheOwnerCount(t *testing.T) {
	app := newApp(echo)
	inBubble(t, engineio.Config{Transports: []string{engineio.Polling}}, app, func(t *testing.T, h *host) {
		o := h.beside(engineio.Config{Transports: []string{engineio.WebSocket}})
		defer o.stop()
		p := h.polling(app).via(o)
		p.wantPost("4x")
		p.wantGet("200 4x")
		status, body := o.get("GET", "EIO=4&transport=websocket&sid="+p.sid, upgrading())
		if status != 400 || body != `{"code":0,"message":"Transport unknown"}` {
			t.Errorf("websocket: %d %s", status, body)
		}
	})
}

func TestTwoPollsOnTwoWaysEndTheSession(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		first := p.via(o).hang()
		p.wantGet(badRequest)
		wantNow(t, first, "200 1")
		wantEnd(t, p.s, engineio.ReasonTransportError)
	})
}

// The client's own end counts on every way, that of a server between does not.
func TestPollIsForgottenWithItsWay(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		p.via(o).hang()
		o.lose()
		synctest.Wait()
		if got := p.s.ends(); len(got) != 0 {
			t.Fatalf("ended with %v", got)
		}
		p.wantPost("4x")
		p.wantGet("200 4x")
	})
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		ctx, hangUp := context.WithTimeout(context.Background(), time.Second)
		defer hangUp()
		p.via(o).do(ctx, "GET", nil, nil)
		wantEnd(t, p.s, engineio.ReasonTransportError)
	})
}

// An answer may be lost with the server that has it to pass on. The session must
// not go on as if nothing was.
func TestSessionEndsWithTheWayOfAnAnswerInDoubt(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		p.wantPost("4x")
		p.via(o).wantGet("200 4x")
		o.lose()
		wantEnd(t, p.s, engineio.ReasonTransportError)
		p.wantGet(unknownSID)
	})
	for name, proof := range map[string]func(p *poller){
		"the next poll":          func(p *poller) { p.hang() },
		"the upgrade":            func(p *poller) { p.upgrade() },
		"an answer without data": func(p *poller) {},
	} {
		onTwo(t, func(t *testing.T, p *poller, o *other) {
			if name == "an answer without data" {
				p.probe()
				p.via(o).wantGet("200 6")
			} else {
				p.wantPost("4x")
				p.via(o).wantGet("200 4x")
			}
			proof(p)
			o.lose()
			synctest.Wait()
			if got := p.s.ends(); len(got) != 0 {
				t.Errorf("%s: ended with %v", name, got)
			}
		})
	}
}

// A balancer that asks the next server can be faster than the news.
func TestPollMayOvertakeTheLossOfTheWayBeforeIt(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		p.via(o).hang()
		second := p.hang()
		time.Sleep(249 * time.Millisecond)
		o.lose()
		wantNothing(t, second)
		p.wantPost("4x")
		wantNow(t, second, "200 4x")
	})
}

func TestServerThatLeavesLetsPollsGo(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		waiting := p.via(o).hang()
		o.leave()
		wantNow(t, waiting, "200 6")
		p.via(o).wantGet("200 6") // and does not keep new ones
		p.wantPost("4x")
		p.via(o).wantGet("200 4x")
		if got := p.s.ends(); len(got) != 0 {
			t.Errorf("ended with %v", got)
		}
	})
}

func TestServerThatLeavesClosesItsWebSockets(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		c := p.via(o).probe()
		o.leave()
		if got, status := c.readAll(); got != "" || status != websocket.StatusGoingAway {
			t.Errorf("probe: %q and status %d, want 1001", got, status)
		}
		p.wantPost("4x") // the session stays on polling
		p.wantGet("200 4x")
	})
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		c := p.via(o).upgrade()
		p.s.Send(message("last", false))
		o.leave()
		if got, status := c.readAll(); got != "4last" || status != websocket.StatusGoingAway {
			t.Errorf("websocket: %q and status %d, want 4last and 1001", got, status)
		}
		wantEnd(t, p.s, engineio.ReasonShutdown)
	})
}

// Sessions of others outlive the end of the server that their requests come to.
func TestServerPassesOnWhileItsRunEnds(t *testing.T) {
	onTwo(t, func(t *testing.T, p *poller, o *other) {
		waiting := p.via(o).hang()
		o.stopRun()
		<-o.ran
		wantNothing(t, waiting)
		p.via(o).wantPost("4x")
		wantNow(t, waiting, "200 4x")
	})
}

// Two servers that each take the other for the owner do not pass a request to and fro.
func TestWhatWasPassedOnGoesNoFurther(t *testing.T) {
	asked := 0
	s := engineio.NewServer(engineio.Config{Elsewhere: func(http.ResponseWriter, *http.Request, string) error {
		asked++
		return nil
	}}, newApp(nil))
	r := httptest.NewRequest("GET", "/?EIO=4&transport=polling&sid=x", nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, engineio.Detour{}.Request(r))
	if w.Code != 400 || asked != 0 {
		t.Errorf("status %d, Elsewhere asked %d times", w.Code, asked)
	}
	if s.ServeHTTP(httptest.NewRecorder(), r); asked != 1 {
		t.Errorf("without a detour asked %d times, want 1", asked)
	}
}

func TestBodyThatIsTooLargeOnTheWayIsAnsweredAsHere(t *testing.T) {
	s := engineio.NewServer(engineio.Config{Elsewhere: func(http.ResponseWriter, *http.Request, string) error {
		return fmt.Errorf("passing on: %w", &http.MaxBytesError{Limit: 1})
	}}, newApp(nil))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/?EIO=4&transport=polling&sid=x", nil))
	if got := w.Body.String(); w.Code != 413 || got != `{"code":3,"message":"Payload too large"}` {
		t.Errorf("%d %s", w.Code, got)
	}
}
