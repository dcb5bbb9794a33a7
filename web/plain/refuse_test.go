package plain_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/plain"
)

func TestRequestsThatAreNoWebSocketAreToldSo(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		res, body := h.get("GET", nil)
		if res.StatusCode != http.StatusUpgradeRequired || body != "This address speaks WebSocket: connect with a WebSocket client.\n" ||
			res.Header.Get("Upgrade") != "websocket" {
			t.Errorf("GET: %d %q %v, want 426 with a sentence", res.StatusCode, body, res.Header)
		}
		res, body = h.get("POST", nil)
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET" {
			t.Errorf("POST: %d %q, want 405", res.StatusCode, body)
		}
		old := upgrading()
		old.Set("Sec-WebSocket-Version", "8")
		if res, body = h.get("GET", old); res.StatusCode != http.StatusBadRequest {
			t.Errorf("version 8: %d %q, want 400", res.StatusCode, body)
		}
		got := h.server.Stats()
		if got.Refused["not a websocket"] != 2 || got.Refused["bad handshake"] != 1 || got.Opened != 0 {
			t.Errorf("stats %+v, want 2 and 1 refused, none opened", got)
		}
	})
}

func TestAcceptChoosesTheAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string
	}{
		"any error, which stays inside": {errors.New("origin evil.example is not in the list"), 403, "Forbidden\n"},
		"too many":                      {&plain.Refusal{Status: 429, Message: "Too many connections"}, 429, "Too many connections\n"},
		"wrapped":                       {fmt.Errorf("limit: %w", &plain.Refusal{Status: 503, Message: "Full"}), 503, "Full\n"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			cfg := plain.Config{Accept: func(*http.Request) error { asked++; return tt.err }}
			inBubble(t, cfg, func(t *testing.T, h *host) {
				h.get("GET", nil)
				if asked != 0 {
					t.Error("asked about a request that is no websocket")
				}
				res, body := h.get("GET", upgrading())
				if res.StatusCode != tt.status || body != tt.body || asked != 1 {
					t.Errorf("got %d %q, asked %d times, want %d %q, once", res.StatusCode, body, asked, tt.status, tt.body)
				}
				if got := h.server.Stats(); got.Refused["forbidden"] != 1 || got.Opened != 0 {
					t.Errorf("stats %+v, want one refused", got)
				}
			})
		})
	}
}

// A request that Accept judged before the end, and that connects after it.
func TestHandshakeThatEndsAfterRunBeganToIsTurnedAway(t *testing.T) {
	var h0 *host
	cfg := plain.Config{Accept: func(*http.Request) error {
		h0.stopRun()
		time.Sleep(time.Nanosecond) // Run is at work
		return nil
	}}
	inBubble(t, cfg, func(t *testing.T, h *host) {
		h0 = h
		if got, end := h.connect("").readAll(); got != "" || end.Code != websocket.StatusServiceRestart || !retry.MatchString(end.Reason) {
			t.Errorf("got %s and %v, want nothing and 1012", got, end)
		}
		<-h.ran
		if got := h.server.Stats().Opened; got != 0 {
			t.Errorf("%d opened, want none", got)
		}
	})
}
