package engineio_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// The cases of the official suite for Engine.IO 3 (docs/engine.io-protocol/
// v3-test-suite), with exact times, and what it leaves out.

var officialV3 = engineio.Config{PingInterval: official.PingInterval, PingTimeout: official.PingTimeout, AllowEIO3: true}

// legacy is a client of version 3 on polling.
type legacy struct {
	h    *host
	path string
	s    *session
}

func (h *host) legacy(a *app, more string) *legacy {
	h.t.Helper()
	status, body := h.get("GET", "EIO=3&transport=polling"+more, nil)
	_, open, _ := strings.Cut(body, ":0")
	var handshake struct{ SID string }
	if err := json.Unmarshal([]byte(open), &handshake); status != 200 || err != nil {
		h.t.Fatalf("handshake: %d %s", status, body)
	}
	return &legacy{h, "EIO=3&transport=polling&sid=" + handshake.SID, <-a.opened}
}

// do is a POST of a body, or a GET for an empty one; the answer has its media type when it is bytes.
func (l *legacy) do(body, mediaType string) answer {
	method := "POST"
	if body == "" {
		method = "GET"
	}
	r, err := http.NewRequest(method, l.h.url(l.path), strings.NewReader(body))
	if err != nil {
		return answer(err.Error())
	}
	r.Header.Set("Content-Type", mediaType)
	res, err := l.h.http.Do(r)
	if err != nil {
		return "error"
	}
	got := readAnswer(res)
	if res.Header.Get("Content-Type") == "application/octet-stream" {
		got = "bytes " + got
	}
	return got
}

func (l *legacy) want(body string, want answer) {
	l.h.t.Helper()
	if got := l.do(body, "text/plain;charset=UTF-8"); got != want {
		l.h.t.Errorf("%.100q: got %.200q, want %.200q", body, got, want)
	}
}

// legacySocket is a websocket of version 3; query has more of its query.
func (h *host) legacySocket(query string) *client {
	h.t.Helper()
	ws, _, err := websocket.Dial(context.Background(), h.url("EIO=3&transport=websocket"+query), &websocket.DialOptions{HTTPClient: h.http})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ws.CloseNow() })
	return &client{ws, h.t}
}

func (l *legacy) socket() *client {
	l.h.t.Helper()
	_, sid, _ := strings.Cut(l.path, "&sid=")
	return l.h.legacySocket("&sid=" + sid)
}

func TestOfficialV3Handshake(t *testing.T) {
	inBubble(t, officialV3, newApp(echo), func(t *testing.T, h *host) {
		const rest = `,"pingInterval":300,"pingTimeout":200}`
		status, body := h.get("GET", "EIO=3&transport=polling", nil)
		if n, packet, _ := strings.Cut(body, ":"); status != 200 || n != strconv.Itoa(len(packet)) || !strings.HasSuffix(packet, `"upgrades":["websocket"]`+rest) {
			t.Errorf("polling: %d %s", status, body)
		}
		if got := h.legacySocket("").read(); !strings.HasPrefix(got, `0{"sid":"`) || !strings.HasSuffix(got, `"upgrades":[]`+rest) {
			t.Errorf("websocket: %s", got)
		}
		for query, method := range map[string]string{
			"EIO=3": "GET", "EIO=3&transport=abc": "GET", "EIO=3&transport=polling": "POST",
			"transport=polling": "GET", "EIO=abc&transport=polling": "GET", "EIO=2&transport=polling": "GET",
		} {
			if status, body := h.get(method, query, nil); status != 400 {
				t.Errorf("%s %s: %d %s", method, query, status, body)
			}
		}
	})
}

// Who awaits the event "open" and only then listens gets the open packet, too.
func TestVersion3HearsThatItIsOpenBeforeThePacket(t *testing.T) {
	inBubble(t, officialV3, newApp(echo), func(t *testing.T, h *host) {
		c, start := h.legacySocket(""), time.Now()
		c.read()
		if got := time.Since(start); got != 10*time.Millisecond {
			t.Errorf("the open packet came %v behind the answer to the handshake, want 10ms", got)
		}
	})
}

func TestVersion3IsRefusedUnlessAllowed(t *testing.T) {
	inBubble(t, official, newApp(echo), func(t *testing.T, h *host) {
		const want = `{"code":5,"message":"Unsupported protocol version"}`
		if status, body := h.get("GET", "EIO=3&transport=polling", nil); status != 400 || body != want {
			t.Errorf("polling: %d %s", status, body)
		}
		if status, body := h.get("GET", "EIO=3&transport=websocket", upgrading()); status != 400 || body != want {
			t.Errorf("websocket: %d %s", status, body)
		}
	})
}

func TestOfficialV3MessagesOnPolling(t *testing.T) {
	for _, tt := range []struct{ name, more, post, get string }{
		{"one text", "&b64=1", "6:4hello", "6:4hello"},
		{"several texts", "&b64=1", "6:4test16:4test26:4test3", "6:4test16:4test26:4test3"},
		{"base64", "&b64=1", "6:4hello10:b4AQIDBA==", "6:4hello10:b4AQIDBA=="},
		{"code units", "", "3:4😀2:4é", "3:4😀2:4é"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(echo)
			inBubble(t, officialV3, a, func(t *testing.T, h *host) {
				l := h.legacy(a, tt.more)
				l.want(tt.post, "200 ok")
				l.want("", answer("200 "+tt.get))
			})
		})
	}
	t.Run("bytes", func(t *testing.T) {
		const payload = "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"
		a := newApp(echo)
		inBubble(t, officialV3, a, func(t *testing.T, h *host) {
			l := h.legacy(a, "")
			l.want("6:4hello10:b4AQIDBA==", "200 ok")
			l.want("", "bytes 200 "+payload)
			if got := l.do(payload, "application/octet-stream"); got != "200 ok" {
				t.Errorf("POST of bytes: %q", got)
			}
			l.want("", "bytes 200 "+payload)
		})
	})
	t.Run("nonsense", func(t *testing.T) {
		a := newApp(echo)
		inBubble(t, officialV3, a, func(t *testing.T, h *host) {
			l := h.legacy(a, "&b64=1")
			l.want("abc", badRequest)
			l.want("", unknownSID)
			wantEnd(t, l.s, engineio.ReasonParseError)
		})
	})
}

func TestOfficialV3MessagesOnAWebSocket(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		c := h.legacySocket("")
		c.read()
		if got := (<-a.opened).Version(); got != 3 {
			t.Errorf("version %d", got)
		}
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q", got)
		}
		c.Write(context.Background(), websocket.MessageBinary, []byte{4, 1, 2, 3, 4})
		if got := c.read(); got != "[4 1 2 3 4]" {
			t.Errorf("got %q", got)
		}
		c.send("b4AQIDBA==")
		if got := c.read(); got != "[4 1 2 3 4]" {
			t.Errorf("got %q", got)
		}
		c.send("abc")
		c.readAll()

		c = h.legacySocket("&b64=1")
		c.read()
		c.send("b4AQIDBA==")
		if got := c.read(); got != "b4AQIDBA==" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOfficialV3Heartbeat(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		l := h.legacy(a, "&b64=1")
		for range 3 {
			time.Sleep(499 * time.Millisecond)
			l.want("1:2", "200 ok")
			l.want("", "200 1:3")
		}
		time.Sleep(500 * time.Millisecond)
		l.want("1:2", unknownSID)
		wantEnd(t, l.s, engineio.ReasonPingTimeout)

		c := h.legacySocket("")
		c.read()
		start := time.Now()
		for range 3 {
			time.Sleep(499 * time.Millisecond)
			c.send("2")
			if got := c.read(); got != "3" {
				t.Errorf("got %q", got)
			}
		}
		if got, _ := c.readAll(); got != "" {
			t.Errorf("got %q before the end", got)
		}
		if got := time.Since(start); got != 3*499*time.Millisecond+500*time.Millisecond {
			t.Errorf("closed after %v", got)
		}
		wantEnd(t, <-a.opened, engineio.ReasonPingTimeout)
	})
}

func TestVersion3ClientThatNeverPollsIsGoneInTime(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		l := h.legacy(a, "")
		start := time.Now()
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			l.do("1:2", "")
		}
		wantEnd(t, l.s, engineio.ReasonPingTimeout)
		if got := l.s.endedAt.Sub(start); got != 600*time.Millisecond {
			t.Errorf("gone after %v, want 500 ms after the first ping", got)
		}
	})
}

func TestVersion3ClientDoesNotPong(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		c := h.legacySocket("")
		c.send("3")
		c.readAll()
		wantEnd(t, <-a.opened, engineio.ReasonTransportError)
	})
}

func TestOfficialV3Close(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		l := h.legacy(a, "&b64=1")
		poll := make(chan answer, 1)
		go func() { poll <- l.do("", "") }()
		synctest.Wait()
		l.want("1:1", "200 ok")
		wantNow(t, poll, "200 1:6")
		l.want("", unknownSID)

		c := h.legacySocket("")
		c.read()
		c.send("1")
		if _, status := c.readAll(); status != websocket.StatusNormalClosure {
			t.Errorf("closed with %v", status)
		}
	})
}

func TestOfficialV3Upgrade(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		l := h.legacy(a, "&b64=1")
		c := l.socket()
		c.send("2probe")
		if got := c.read(); got != "3probe" {
			t.Errorf("got %q", got)
		}
		l.want("", "200 1:6")
		c.send("5")
		synctest.Wait()
		l.want("", badRequest)
		if _, status := l.socket().readAll(); status != websocket.StatusPolicyViolation {
			t.Errorf("second websocket: %v", status)
		}
		c.send("4hello")
		if got := c.read(); got != "4hello" {
			t.Errorf("got %q", got)
		}
		c.send("2")
		if got := c.read(); got != "3" {
			t.Errorf("got %q", got)
		}
	})
}

// TestBytesAreForVersion3Alone: version 4 has no payload of bytes.
func TestBytesAreForVersion3Alone(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		p := h.polling(a)
		r, _ := http.NewRequest("POST", h.url(p.query()), strings.NewReader("4hello"))
		r.Header.Set("Content-Type", "application/octet-stream")
		res, err := h.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("status %d", res.StatusCode)
		}
		wantEnd(t, p.s, engineio.ReasonTransportError)
	})
}

// What is volatile has the form of the version, too.
func TestVolatileBytesHaveTheFormOfVersion3(t *testing.T) {
	a := newApp(echo)
	inBubble(t, officialV3, a, func(t *testing.T, h *host) {
		for query, want := range map[string]string{"": "[4 1 2]", "&b64=1": "b4AQI="} {
			c := h.legacySocket(query)
			c.read()
			s := <-a.opened
			synctest.Wait()
			s.SendVolatile(message("\x01\x02", true))
			s.Flush()
			if got := c.read(); got != want {
				t.Errorf("%q: got %q, want %q", query, got, want)
			}
			c.CloseNow()
		}
	})
}
