package engineio_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
)

// The cases of docs/engine.io-protocol/v4-test-suite that concern polling, with
// exact times, and what the suite leaves out.

func TestOfficialOpensAPollingSession(t *testing.T) {
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		res, err := h.http.Get(h.url("EIO=4&transport=polling"))
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{
			"Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store", "Set-Cookie": "",
		} {
			if got := res.Header.Get(key); got != want {
				t.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		got := string(readAnswer(res))
		_, rest, _ := strings.Cut(got, `","upgrades"`)
		if want := `:["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`; !strings.HasPrefix(got, `200 0{"sid":"`) || rest != want {
			t.Errorf("got %s, want an open packet with %s", got, want)
		}
	})
}

func TestUpgradesAreThoseThatAreAllowed(t *testing.T) {
	cfg := official
	cfg.Transports = []string{engineio.Polling}
	app := newApp(echo)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		_, body := h.get("GET", "EIO=4&transport=polling", nil)
		var open struct{ Upgrades []string }
		if err := json.Unmarshal([]byte(body[1:]), &open); err != nil || open.Upgrades == nil || len(open.Upgrades) != 0 {
			t.Errorf("open packet %s, want no upgrades", body)
		}
		query := "EIO=4&transport=websocket&sid=" + (<-app.opened).ID()
		want := `{"code":0,"message":"Transport unknown"}`
		if status, body := h.get("GET", query, upgrading()); status != 400 || body != want {
			t.Errorf("websocket: %d %s, want 400 %s", status, body, want)
		}
	})
	cfg.Transports = []string{engineio.WebSocket}
	inBubble(t, cfg, newApp(echo), func(t *testing.T, h *host) {
		want := `{"code":0,"message":"Transport unknown"}`
		if status, body := h.get("GET", "EIO=4&transport=polling", nil); status != 400 || body != want {
			t.Errorf("polling: %d %s, want 400 %s", status, body, want)
		}
	})
}

func TestOfficialEchoesComeInOnePayload(t *testing.T) {
	for _, packets := range [][]string{
		{"4hello"},
		{"4test1", "4test2", "4test3"},
		{"4hello", "bAQIDBA=="},
		{"b", "bAA==", "4"},
		{"4é", "4\U0001F600", `4{"lone":"\ud800"}`},
		{"0", "4passed over", "5", "6"},
	} {
		app := newApp(echo)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			p.wantPost(packets...)
			want := slices.DeleteFunc(packets, func(one string) bool { return strings.Contains("0 5 6", one) })
			p.wantGet(answer("200 " + payload(want...)))
		})
	}
}

func TestAnswersHaveTheOfficialHeaders(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		res, err := h.http.Post(h.url(p.query()), "text/plain;charset=UTF-8", strings.NewReader("4é"))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(res); got != "200 ok" || res.Header.Get("Content-Type") != "text/html" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("POST: %q %v", got, res.Header)
		}
		if res, err = h.http.Get(h.url(p.query())); err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(res); got != "200 4é" || res.ContentLength != 3 || res.Header.Get("Content-Type") != "text/plain; charset=UTF-8" {
			t.Errorf("GET: %q %v", got, res.Header)
		}
	})
}

// What came before the bad packet is received, as on a websocket.
func TestOfficialClosesOnAnInvalidPayload(t *testing.T) {
	for body, want := range map[string]struct {
		received string
		reason   engineio.Reason
	}{
		"abc":              {"", engineio.ReasonParseError},
		"":                 {"", engineio.ReasonParseError},
		"\x1e":             {"", engineio.ReasonParseError},
		"4a\x1e4b\x1e":     {"a,b", engineio.ReasonParseError},
		"4a\x1e7\x1e4b":    {"a", engineio.ReasonParseError},
		"4a\x1eb*":         {"a", engineio.ReasonParseError},
		"4a\x1e2\x1e4b":    {"a", engineio.ReasonTransportError},
		"4a\x1e4\xff":      {"a", engineio.ReasonInvalidText},
		"4a\x1e3\xff":      {"a", engineio.ReasonInvalidText},
		"4\xed\xa0\x80 ":   {"", engineio.ReasonInvalidText}, // half of a surrogate pair
		"4a\x1e4\xe2\x82 ": {"a", engineio.ReasonInvalidText},
	} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			waiting := p.hang()
			if got := p.post(body); got != badRequest {
				t.Errorf("POST of %q: %q, want %q", body, got, badRequest)
			}
			p.wantGet(unknownSID)
			wantNow(t, waiting, "200 1")
			wantEnd(t, p.s, want.reason)
			if got := p.s.messages(); got != want.received {
				t.Errorf("POST of %q: received %q, want %q", body, got, want.received)
			}
		})
	}
}

func TestOfficialSecondGetClosesTheSession(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		first := p.hang()
		p.s.Send(message("not flushed", false))
		p.wantGet(badRequest)
		wantNow(t, first, "200 1")
		p.wantGet(unknownSID)
		wantEnd(t, p.s, engineio.ReasonTransportError)
	})
}

// Whether the first is still read or being received.
func TestSecondPostClosesTheSession(t *testing.T) {
	var leave chan struct{}
	app := newApp(func(*session, string, bool) { <-leave })
	inBubble(t, official, app, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		p := h.polling(app)
		first := p.raw("POST", "Content-Length: 10\r\n\r\n4half")
		synctest.Wait()
		if got := p.post("4x"); got != badRequest {
			t.Errorf("second POST: %q, want %q", got, badRequest)
		}
		if got := first.read(); got != badRequest {
			t.Errorf("first POST: %q, want %q", got, badRequest)
		}
		wantEnd(t, p.s, engineio.ReasonTransportError)

		p = h.polling(app)
		got := make(chan answer, 1)
		go func() { got <- p.post("4one", "4two") }()
		synctest.Wait()
		if got := p.post("4x"); got != badRequest {
			t.Errorf("second POST: %q, want %q", got, badRequest)
		}
		wantNothing(t, got)
		if ends := p.s.ends(); len(ends) != 0 {
			t.Errorf("Closed(%v) came before Received had returned", ends)
		}
		close(leave)
		wantEnd(t, p.s, engineio.ReasonTransportError)
		if got := p.s.messages(); got != "one" {
			t.Errorf("received %q, want nothing after the end", got)
		}
	})
}

func TestOfficialGetThatIsAbortedClosesTheSession(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		ctx, abort := context.WithCancel(context.Background())
		go p.do(ctx, "GET", nil, nil)
		synctest.Wait()
		abort()
		wantEnd(t, p.s, engineio.ReasonTransportError)
		p.wantGet(unknownSID)
	})
}

// Half a packet is no packet.
func TestPostThatIsAbortedClosesTheSession(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.raw("POST", "Content-Length: 10\r\n\r\n4a\x1e4half")
		synctest.Wait()
		c.Close()
		wantEnd(t, p.s, engineio.ReasonTransportError)
		p.wantGet(unknownSID)
		if got := p.s.messages(); got != "" {
			t.Errorf("received %q, want nothing", got)
		}
	})
}

func TestOfficialHeartbeatOnPolling(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		for range 3 {
			start := time.Now()
			p.wantGet("200 2")
			if took := time.Since(start); took != 300*time.Millisecond {
				t.Errorf("ping after %v, want 300ms", took)
			}
			time.Sleep(199 * time.Millisecond)
			p.wantPost("3")
		}
	})
}

func TestOfficialPingTimeoutOnPollingIsExact(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		time.Sleep(500 * time.Millisecond) // and no synctest.Wait: the timer may not have run yet
		p.wantGet(unknownSID)
		wantEnd(t, p.s, engineio.ReasonPingTimeout)
		if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 500*time.Millisecond {
			t.Errorf("ended after %v, want 500ms", took)
		}
	})
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		time.Sleep(499 * time.Millisecond)
		p.wantGet("200 2") // too late to answer it
		waiting := p.hang()
		wantNothing(t, waiting)
		time.Sleep(time.Millisecond)
		wantNow(t, waiting, "200 1")
		wantEnd(t, p.s, engineio.ReasonPingTimeout)
	})
}

func TestPollThatWaitsIsToldOfThePingTimeout(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.wantGet("200 2")
		p.wantGet("200 1")
		wantEnd(t, p.s, engineio.ReasonPingTimeout)
		if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 500*time.Millisecond {
			t.Errorf("ended after %v, want 500ms", took)
		}
	})
}

// POSTs alone do not keep a session: a pong counts when its ping was fetched.
func TestClientThatNeverPollsIsGoneInTime(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		for range 9 {
			time.Sleep(50 * time.Millisecond)
			p.wantPost("3", "4x")
		}
		time.Sleep(50 * time.Millisecond)
		wantEnd(t, p.s, engineio.ReasonPingTimeout)
		if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 500*time.Millisecond {
			t.Errorf("ended after %v, want 500ms", took)
		}
	})
}

func TestOfficialClosePacketEndsThePollingSession(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		waiting := p.hang()
		p.wantPost("1", "4late", "no packet")
		wantNow(t, waiting, "200 6")
		p.wantGet(unknownSID)
		wantEnd(t, p.s, engineio.ReasonTransportClose)
		if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 0 || p.s.messages() != "" {
			t.Errorf("ended after %v, received %q, want at once and nothing", took, p.s.messages())
		}
	})
}

// The suite sends both requests at once, on two connections.
func TestClosePacketMayOvertakeThePollBesideIt(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.wantPost("1")
		time.Sleep(49 * time.Millisecond)
		p.wantGet("200 6")
		p.wantGet(unknownSID)
		wantEnd(t, p.s, engineio.ReasonTransportClose)

		p = h.polling(app)
		start := time.Now()
		p.wantPost("1")
		if got := p.post("4x"); got != unknownSID {
			t.Errorf("POST after the close packet: %q, want %q", got, unknownSID)
		}
		time.Sleep(50 * time.Millisecond)
		wantEnd(t, p.s, engineio.ReasonTransportClose)
		if took := p.s.endedAt.Sub(start); took != 50*time.Millisecond {
			t.Errorf("ended after %v, want 50ms", took)
		}
		p.wantGet(unknownSID)
	})
}

func TestOtherMethodsAreRefusedAndHarmless(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		for _, method := range []string{"PUT", "DELETE", "OPTIONS"} {
			want := answer(`400 {"code":2,"message":"Bad handshake method"}`)
			if got := p.do(context.Background(), method, nil, nil); got != want {
				t.Errorf("%s: %q, want %q", method, got, want)
			}
		}
		p.wantPost("4hello")
		p.wantGet("200 4hello")
	})
}

func TestBinaryBodiesAreOfAnOlderProtocol(t *testing.T) {
	for _, typ := range []string{"application/octet-stream", "Application/Octet-Stream; x=y"} {
		app := newApp(echo)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			got := p.do(context.Background(), "POST", strings.NewReader("4x"), http.Header{"Content-Type": {typ}})
			if got != badRequest {
				t.Errorf("%s: %q, want %q", typ, got, badRequest)
			}
			wantEnd(t, p.s, engineio.ReasonTransportError)
		})
	}
}

func TestStatsCountPolling(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		before := h.server.Stats()
		if before.Open[engineio.Polling] != 1 || before.Open[engineio.WebSocket] != 0 || before.PacketsOut != 1 {
			t.Errorf("stats %+v, want one session on polling and its open packet", before)
		}
		p.wantPost("4hello", "bAQIDBA==")
		p.get()
		p.wantPost("1")
		time.Sleep(time.Second)
		got := h.server.Stats()
		if got.Open[engineio.Polling] != 0 || got.PacketsIn != 3 || got.BytesIn != 6+4+1 ||
			got.PacketsOut != 3 || got.BytesOut-before.BytesOut != 6+4 || got.Closed[engineio.ReasonTransportClose] != 1 {
			t.Errorf("stats %+v, want 3 packets of 11 bytes in, 2 of 10 more out, and the session closed", got)
		}
	})
}
