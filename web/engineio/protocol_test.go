package engineio_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// The cases of docs/engine.io-protocol/v4-test-suite that concern websockets, with
// exact times where the suite waits and hopes.

func TestOfficialOpensAWebSocketSession(t *testing.T) {
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		packet := h.connect().read()
		var got map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "0")), &got); err != nil {
			t.Fatalf("open packet %q: %v", packet, err)
		}
		sid, ok := got["sid"].(string)
		if !ok || len(sid) != 27 {
			t.Errorf("sid %v, want 27 characters of base64url", got["sid"])
		}
		delete(got, "sid")
		want := map[string]any{"pingInterval": 300.0, "pingTimeout": 200.0, "maxPayload": 1e6}
		if upgrades, ok := got["upgrades"].([]any); !ok || len(upgrades) != 0 {
			t.Errorf("upgrades %v, want []", got["upgrades"])
		}
		delete(got, "upgrades")
		if !maps.Equal(got, want) {
			t.Errorf("open packet has %v, want %v", got, want)
		}
	})
}

func TestOfficialErrorsHaveTheirStatusAndBody(t *testing.T) {
	const (
		transport = `{"code":0,"message":"Transport unknown"}`
		sid       = `{"code":1,"message":"Session ID unknown"}`
		method    = `{"code":2,"message":"Bad handshake method"}`
		request   = `{"code":3,"message":"Bad request"}`
		version   = `{"code":5,"message":"Unsupported protocol version"}`
	)
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		for _, tt := range []struct {
			method, query string
			upgrade       bool
			want          string
		}{
			{"GET", "transport=websocket", true, version},
			{"GET", "EIO=abc&transport=websocket", true, version},
			{"GET", "EIO=3&transport=websocket", true, version},
			{"GET", "EIO=4", true, transport},
			{"GET", "EIO=4&transport=abc", true, transport},
			{"GET", "EIO=4&transport=abc", false, transport},
			{"GET", "", false, transport},
			{"GET", "transport=polling", false, version},
			{"GET", "EIO=abc&transport=polling", false, version},
			{"GET", "EIO=4&transport=polling&sid=abc", false, sid},
			{"POST", "EIO=4&transport=polling&sid=abc", false, sid},
			{"POST", "EIO=4&transport=polling", false, method},
			{"PUT", "EIO=4&transport=polling", false, method},
			{"GET", "EIO=4&transport=websocket&sid=abc", true, sid},
			{"POST", "EIO=4&transport=websocket&sid=abc", false, sid},
			{"POST", "EIO=4&transport=websocket", false, method},
			{"PUT", "EIO=4&transport=websocket", false, method},
			{"GET", "EIO=4&transport=websocket", false, request},
		} {
			var header http.Header
			if tt.upgrade {
				header = upgrading()
			}
			if status, body := h.get(tt.method, tt.query, header); status != 400 || body != tt.want {
				t.Errorf("%s ?%s: %d %s, want 400 %s", tt.method, tt.query, status, body, tt.want)
			}
		}
		want := map[string]uint64{"Transport unknown": 4, "Session ID unknown": 4, "Bad handshake method": 4,
			"Bad request": 1, "Forbidden": 0, "Unsupported protocol version": 5}
		if got := h.server.Stats().Refused; !maps.Equal(got, want) {
			t.Errorf("Stats().Refused = %v, want %v", got, want)
		}
	})
}

func TestOfficialSendsAndReceivesMessages(t *testing.T) {
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		c := h.open()
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("text: got %q, want 4hello", got)
		}
		for _, data := range [][]byte{{1, 2, 3, 4}, {}} {
			if err := c.Write(t.Context(), websocket.MessageBinary, data); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"[1 2 3 4]", "[]"} {
			if got := c.read(); got != want {
				t.Errorf("binary: got %q, want %q", got, want)
			}
		}
	})
}

func TestOfficialClosesOnAnInvalidPacket(t *testing.T) {
	for _, packet := range []string{"abc", "", "7", "b*"} {
		app := newApp(echo)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			c := h.open()
			c.send(packet)
			if got, status := c.readAll(); got != "" || status != websocket.StatusProtocolError {
				t.Errorf("%q: got %q and status %d, want nothing and 1002", packet, got, status)
			}
			wantEnd(t, <-app.opened, engineio.ReasonParseError)
		})
	}
}

func TestOfficialHeartbeatPingsAnIntervalAfterEachPong(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		for i := range 3 {
			start := time.Now()
			if got := c.read(); got != "2" {
				t.Fatalf("got %q, want a ping", got)
			}
			if took := time.Since(start); took != 300*time.Millisecond {
				t.Errorf("ping %d came after %v, want 300ms after the pong before", i, took)
			}
			time.Sleep(199 * time.Millisecond) // just in time
			c.send("3")
		}
		synctest.Wait()
		if s := <-app.opened; len(s.ends()) != 0 {
			t.Errorf("session ended with %v, want it open", s.ends())
		}
	})
}

func TestOfficialPingTimeoutIsExact(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		start := time.Now()
		if got, _ := h.open().readAll(); got != "2" {
			t.Errorf("got %q, want one ping", got)
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("closed after %v, want 500ms", took)
		}
		wantEnd(t, <-app.opened, engineio.ReasonPingTimeout)
	})
}

// A pong that nobody asked for starts the interval anew, as in the official server.
func TestPongBeforeThePingPutsItOff(t *testing.T) {
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		c := h.open()
		time.Sleep(299 * time.Millisecond)
		c.send("3")
		start := time.Now()
		if got := c.read(); got != "2" || time.Since(start) != 300*time.Millisecond {
			t.Errorf("got %q after %v, want a ping after 300ms", got, time.Since(start))
		}
	})
}

// A message is no pong: only an answer shows that the client hears us.
func TestMessagesDoNotReplaceThePong(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		start := time.Now()
		go func() {
			for time.Since(start) < 450*time.Millisecond {
				c.Write(context.Background(), websocket.MessageText, []byte("4x"))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		if got, _ := c.readAll(); got != "2" || time.Since(start) != 500*time.Millisecond {
			t.Errorf("got %q and the end after %v, want a ping and 500ms", got, time.Since(start))
		}
		wantEnd(t, <-app.opened, engineio.ReasonPingTimeout)
	})
}

func TestOfficialClosePacketClosesTheWebSocket(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		c.send("1")
		if got, status := c.readAll(); got != "" || status != websocket.StatusNormalClosure {
			t.Errorf("got %q and status %d, want nothing and 1000", got, status)
		}
		wantEnd(t, <-app.opened, engineio.ReasonTransportClose)
	})
}

// The handshake is made before the close: clients have no handler for an error there.
func TestOfficialSecondWebSocketOfASessionIsClosed(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		p := &poller{h: h, s: <-app.opened}
		p.sid = p.s.ID()
		if got, status := p.websocket().readAll(); got != "" || status != websocket.StatusPolicyViolation {
			t.Errorf("second websocket got %q and status %d, want nothing and 1008", got, status)
		}
		want := `{"code":3,"message":"Bad request"}`
		for _, transport := range []string{"websocket", "polling"} {
			if status, body := h.get("GET", "EIO=4&transport="+transport+"&sid="+p.sid, nil); status != 400 || body != want {
				t.Errorf("GET for %s: %d %s, want 400 %s", transport, status, body, want)
			}
		}
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("first websocket: got %q, want its echo", got)
		}
	})
}

func TestSIDIsUnknownOnceItsSessionHasEnded(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		h.open().CloseNow()
		s := <-app.opened
		wantEnd(t, s, engineio.ReasonTransportClose)
		want := `{"code":1,"message":"Session ID unknown"}`
		if _, body := h.get("GET", "EIO=4&transport=websocket&sid="+s.ID(), nil); body != want {
			t.Errorf("got %s, want %s", body, want)
		}
	})
}

// The heartbeat of version 4 goes one way, and packets that mean nothing are passed over.
func TestPacketsThatAClientDoesNotSend(t *testing.T) {
	app := newApp(echo)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		for _, packet := range []string{"0", "5", "6", "4still here"} {
			c.send(packet)
		}
		if got := c.read(); got != "4still here" {
			t.Errorf("after open, upgrade and noop: got %q, want the echo", got)
		}
		c.send("2")
		if got, status := c.readAll(); got != "" || status != -1 {
			t.Errorf("after ping: got %q and status %d, want the connection cut", got, status)
		}
		wantEnd(t, <-app.opened, engineio.ReasonTransportError)
	})
}

func TestGroupStaysTogetherAndGroupsInOrder(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		for _, data := range []string{"1", "2", "3"} {
			s.Send(event(data))
		}
		s.Flush()
		var got []string
		for range 6 {
			got = append(got, c.read())
		}
		if want := []string{"451-1", "[49]", "451-2", "[50]", "451-3", "[51]"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
