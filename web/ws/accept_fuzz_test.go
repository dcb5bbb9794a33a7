package ws

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever is offered, and under whatever key, the answer is none or one that we keep, and no line ends in the middle of it.
func FuzzHandshakeHeaders(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits", "dGhlIHNhbXBsZSBub25jZQ==", "chat, other")
	f.Add("permessage-deflate; server_max_window_bits=9, permessage-deflate;server_max_window_bits=15", "", " ,\r\nX: y")
	f.Add("permessage-deflate; server_max_window_bits=9", "x", "")
	f.Fuzz(func(t *testing.T, offer, key, subprotocols string) {
		deflate := deflateAnswer([]string{offer, offer})
		if deflate != "" && (!strings.HasPrefix(deflate, "permessage-deflate;") || !strings.Contains(offer, "permessage-deflate")) {
			t.Errorf("%q is answered with %q", offer, deflate)
		}
		if windows := strings.Count(offer, "server_max_window_bits"); deflate != "" && !strings.Contains(offer, ",") && windows > strings.Count(offer, ourWindow) {
			t.Errorf("%q, a window that we have not, is answered with %q", offer, deflate)
		}
		if validKey(key) && len(key) < 24 {
			t.Errorf("%q is taken for 16 bytes", key)
		}
		r, w := handshake(), httptest.NewRecorder()
		r.Header.Set("Sec-WebSocket-Extensions", offer)
		r.Header.Set("Sec-WebSocket-Key", key)
		r.Header.Set("Sec-WebSocket-Protocol", subprotocols)
		lines := bytes.Count(answer(w.Header(), r, deflate), []byte("\n"))
		got := w.Header().Values("Sec-WebSocket-Protocol")
		if len(got) > 1 || len(got) == 1 && (got[0] == "" || !strings.Contains(subprotocols, got[0])) {
			t.Errorf("%q is answered with %q", subprotocols, got)
		}
		if want := 2 + len(w.Header()); lines != want { // the status, the end
			t.Errorf("%q and %q are answered in %d lines, want %d", offer, subprotocols, lines, want)
		}
	})
}
