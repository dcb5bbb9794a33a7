package engineio_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/engineio"
)

// Browsers poll over HTTP/2 where there is TLS: the requests of all sessions share
// a connection, so that the end of one must not touch another.
func TestPollingOverHTTP2(t *testing.T) {
	app := newApp(echo)
	l, _ := listenTCP(t)
	h := newHost(t, l, engineio.Config{MaxPayload: 1000}, app)
	defer h.stop()
	front := httptest.NewUnstartedServer(h.server)
	front.EnableHTTP2 = true
	var conns atomic.Int32
	front.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	front.StartTLS()
	defer front.Close()
	h.http = front.Client()
	h.base = front.URL

	other := h.polling(app)
	waiting := make(chan answer, 1)
	go func() { waiting <- other.get() }()

	p := h.polling(app)
	p.wantPost("4hello", "bAQID")
	p.wantGet("200 4hello\x1ebAQID")
	if got := p.post("4" + strings.Repeat("x", 1000)); !strings.HasPrefix(string(got), "413") {
		t.Errorf("large POST: %q, want 413", got)
	}
	p.wantGet(unknownSID)

	p = h.polling(app)
	ctx, abort := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer abort()
	p.do(ctx, "GET", nil, nil)
	waitEnd(t, p.s, engineio.ReasonTransportError)

	p = h.polling(app)
	body, half := io.Pipe()
	defer half.Close()
	broken := make(chan answer, 1)
	go func() { broken <- p.do(context.Background(), "POST", body, nil) }()
	half.Write([]byte("4half"))
	p.s.Close(engineio.ReasonSlow)
	if got := <-broken; got != badRequest && got != unknownSID {
		t.Errorf("POST of a session that ended: %q, want 400", got)
	}
	waitEnd(t, p.s, engineio.ReasonSlow)

	other.wantPost("4still here")
	if got := <-waiting; got != "200 4still here" {
		t.Errorf("poll of the other session: %q", got)
	}
	other.wantPost("1")
	if res, err := h.http.Get(h.url("")); err != nil || res.ProtoMajor != 2 || res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %v, %v, want 400 over HTTP/2", res, err)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want one for all", n)
	}
}

// waitEnd waits in real time for the end of s.
func waitEnd(t *testing.T, s *session, want engineio.Reason) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(s.ends()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := s.ends(); len(got) != 1 || got[0] != want {
		t.Errorf("Closed was called with %v, want once with %q", got, want)
	}
}
