package ws

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func handshake() *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	return r
}

func TestHandshakesThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
		header string // of the answer
	}{
		"none":                  {func(r *http.Request) { r.Header.Del("Upgrade") }, 426, "Upgrade"},
		"no connection":         {func(r *http.Request) { r.Header.Set("Connection", "close") }, 426, "Upgrade"},
		"HTTP/1.0":              {func(r *http.Request) { r.ProtoMinor = 0 }, 426, ""},
		"POST":                  {func(r *http.Request) { r.Method = "POST" }, 405, ""},
		"version 8":             {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 400, "Sec-WebSocket-Version"},
		"no key":                {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400, ""},
		"two keys":              {func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }, 400, ""},
		"short key":             {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZQ==") }, 400, ""},
		"no connection to take": {func(r *http.Request) {}, 501, ""},
		"HTTP/2":                {func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0 }, 501, ""},
		"not base64":            {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "------------------------") }, 400, ""},
	} {
		r, w := handshake(), httptest.NewRecorder()
		tt.change(r)
		if _, err := Accept(w, r, &Config{}); err == nil || w.Code != tt.status || tt.header != "" && w.Header().Get(tt.header) == "" {
			t.Errorf("%s: error %v, status %d, header %v, want %d", name, err, w.Code, w.Header(), tt.status)
		}
	}
}

// The example of RFC 6455, section 1.3.
func TestAcceptKeyIsThatOfTheRFC(t *testing.T) {
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

func TestOffersOfCompression(t *testing.T) {
	const answer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	for offer, want := range map[string]string{
		"":                   "",
		"permessage-deflate": answer,
		"permessage-deflate; client_max_window_bits":                       answer,
		"permessage-deflate; client_max_window_bits=9":                     answer,
		"permessage-deflate ; server_no_context_takeover":                  answer,
		"permessage-deflate; server_max_window_bits=15":                    answer + "; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits=9":                     "",
		"permessage-deflate; server_max_window_bits=9, permessage-deflate": answer,
		"x-webkit-deflate-frame":                                           "",
		"permessage-deflate; unheard_of":                                   "",
	} {
		if got := deflateAnswer([]string{offer}); got != want {
			t.Errorf("%q: %q, want %q", offer, got, want)
		}
	}
}

// Browsers, and Node's ws, give up a connection without one of the subprotocols that
// they have named.
func TestFirstSubprotocolIsTaken(t *testing.T) {
	for offer, want := range map[string]string{"": "", "chat": "chat", " chat , other": "chat", ",x": "x"} {
		r, h := handshake(), http.Header{}
		r.Header.Set("Sec-WebSocket-Protocol", offer)
		answer(h, r, "")
		if got := h.Get("Sec-WebSocket-Protocol"); got != want {
			t.Errorf("%q: got %q, want %q", offer, got, want)
		}
	}
}

// Else the client would get a 101 and no websocket.
func TestWhatHidesTheConnectionIsAnswered501(t *testing.T) {
	w := httptest.NewRecorder()
	h := func(w http.ResponseWriter, r *http.Request) {
		if _, err := Accept(w, r, &Config{}); err == nil {
			t.Error("accepted")
		}
	}
	http.TimeoutHandler(http.HandlerFunc(h), time.Minute, "").ServeHTTP(w, handshake())
	if w.Code != http.StatusNotImplemented {
		t.Errorf("status %d, want 501", w.Code)
	}
}
