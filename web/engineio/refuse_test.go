package engineio_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/meshrt/meshrt/web/engineio"
)

func TestAcceptChoosesTheAnswer(t *testing.T) {
	const forbidden = `{"code":4,"message":"Forbidden"}`
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string
	}{
		"any error, which stays inside": {errors.New("origin evil.example is not in the list"), 403, forbidden},
		"too many":                      {&engineio.Refusal{Status: 429, Message: "Too many connections"}, 429, `{"code":4,"message":"Too many connections"}`},
		"wrapped":                       {fmt.Errorf("limit: %w", &engineio.Refusal{Status: 503, Message: "Full"}), 503, `{"code":4,"message":"Full"}`},
		"status without a message":      {&engineio.Refusal{Status: 401}, 401, forbidden},
		"no status":                     {&engineio.Refusal{Message: "Full"}, 403, forbidden},
		"status of a success":           {&engineio.Refusal{Status: 200}, 403, forbidden},
		"message that needs escapes":    {&engineio.Refusal{Status: 403, Message: `"<` + "\n"}, 403, `{"code":4,"message":"\"\u003c\n"}`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := official
			cfg.Accept = func(*http.Request) error { return tt.err }
			app := newApp(nil)
			inBubble(t, cfg, app, func(t *testing.T, h *host) {
				status, body := h.get("GET", "EIO=4&transport=websocket", upgrading())
				if status != tt.status || body != tt.body {
					t.Errorf("got %d %s, want %d %s", status, body, tt.status, tt.body)
				}
				if stats := h.server.Stats(); stats.Opened != 0 || len(app.opened) != 0 || stats.Refused["Forbidden"] != 1 {
					t.Errorf("stats %+v, want nothing opened and one refused", stats)
				}
			})
		})
	}
}

// What Accept counts is a session: whoever fails the checks of the protocol does
// not get that far.
func TestAcceptIsAskedLastAndOnce(t *testing.T) {
	var asked int
	cfg := official
	cfg.Accept = func(r *http.Request) error {
		asked++
		return nil
	}
	inBubble(t, cfg, newApp(nil), func(t *testing.T, h *host) {
		for _, query := range []string{"", "transport=websocket", "EIO=4", "EIO=4&transport=websocket&sid=x"} {
			h.get("GET", query, upgrading())
		}
		h.get("GET", "EIO=4&transport=websocket", nil)
		if asked != 0 {
			t.Errorf("asked %d times about requests that open no session", asked)
		}
		h.open()
		if asked != 1 {
			t.Errorf("asked %d times for one session, want once", asked)
		}
	})
}

func TestBadWebSocketHandshakeIsRefused(t *testing.T) {
	inBubble(t, official, newApp(nil), func(t *testing.T, h *host) {
		header := upgrading()
		header.Set("Sec-WebSocket-Version", "8")
		if status, _ := h.get("GET", "EIO=4&transport=websocket", header); status != 400 {
			t.Errorf("status %d, want 400", status)
		}
		if got := h.server.Stats().Refused["Bad request"]; got != 1 {
			t.Errorf("Stats counts %d, want 1", got)
		}
	})
}

func TestTransportThatIsNotAllowedIsUnknown(t *testing.T) {
	cfg := official
	cfg.Transports = []string{engineio.Polling}
	inBubble(t, cfg, newApp(nil), func(t *testing.T, h *host) {
		want := `{"code":0,"message":"Transport unknown"}`
		if status, body := h.get("GET", "EIO=4&transport=websocket", upgrading()); status != 400 || body != want {
			t.Errorf("got %d %s, want 400 %s", status, body, want)
		}
	})
}

func TestSocketTellsOfItsRequest(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		header := upgrading()
		header.Set("X-User", "ada")
		h.get("GET", "EIO=4&transport=websocket&token=secret", header)
		s := <-app.opened
		r := s.Request()
		if r.Header.Get("X-User") != "ada" || r.URL.Query().Get("token") != "secret" || r.RemoteAddr == "" || r.Host == "" || r.TLS {
			t.Errorf("Request() = %+v", r)
		}
		if s.Transport() != "websocket" || s.OpenedAt().IsZero() {
			t.Errorf("transport %q, opened at %v", s.Transport(), s.OpenedAt())
		}
	})
}
