package engineio_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// Real sockets, real time: sends, flushes and ends from everywhere at once. The
// race detector and the leak check of TestMain judge too.
func TestEverySessionEndsExactlyOnce(t *testing.T) {
	const clients = 60
	for name, listen := range map[string]func(t *testing.T) (net.Listener, *tls.Config){"tcp": listenTCP, "tls": listenTLS} {
		t.Run(name, func(t *testing.T) {
			app := newApp(echo)
			l, trust := listen(t)
			h := newHost(t, l, engineio.Config{QueueGroups: 64}, app)
			h.trust(trust)
			defer h.stop()

			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() { h.live(i) })
			}
			sessions := make([]*session, clients)
			for i := range sessions {
				sessions[i] = <-app.opened
				all.Go(func() { disturb(sessions[i], i) })
			}
			all.Wait()
			h.stop()
			for i, s := range sessions {
				if got := s.ends(); len(got) != 1 {
					t.Errorf("session %d: Closed was called with %v, want one reason", i, got)
				}
			}
			checkEnded(t, h.server.Stats(), clients)
		})
	}
}

// live is a client of one of four manners.
func (h *host) live(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, h.url("EIO=4&transport=websocket"), &websocket.DialOptions{HTTPClient: h.http})
	if err != nil {
		h.t.Errorf("client %d: %v", i, err)
		return
	}
	defer ws.CloseNow()
	for n := range 20 { // errors are the other side's end
		ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "4%d", n))
		if i%4 > 0 {
			ws.Read(ctx)
		}
	}
	if i%4 == 1 {
		ws.Close(websocket.StatusNormalClosure, "")
	}
}

// disturb sends to a session while others do, and ends every third.
func disturb(s *session, i int) {
	for n := range 50 {
		if n%2 == 0 {
			s.SendNow(single("x"))
			continue
		}
		s.Send(event("x"))
		s.Flush()
	}
	if i%3 == 0 {
		s.Close(engineio.Reason(1 + i%11))
	}
}

func checkEnded(t *testing.T, stats engineio.Stats, clients int) {
	t.Helper()
	var closed uint64
	for _, n := range stats.Closed {
		closed += n
	}
	if stats.Opened != uint64(clients) || closed != stats.Opened || stats.Open[engineio.WebSocket] != 0 || stats.Open[engineio.Polling] != 0 {
		t.Errorf("stats %+v, want %d opened, as many closed, none open", stats, clients)
	}
}

func listenTCP(t *testing.T) (net.Listener, *tls.Config) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, nil
}

// listenTLS borrows the certificate of httptest.
func listenTLS(t *testing.T) (net.Listener, *tls.Config) {
	l, _ := listenTCP(t)
	pki := httptest.NewTLSServer(nil)
	defer pki.Close()
	return tls.NewListener(l, &tls.Config{Certificates: pki.TLS.Certificates}), pki.Client().Transport.(*http.Transport).TLSClientConfig
}

// trust makes clients speak TLS, beneath an http URL.
func (h *host) trust(cfg *tls.Config) {
	if cfg == nil {
		return
	}
	cfg = cfg.Clone()
	cfg.ServerName = "example.com"
	d := &tls.Dialer{Config: cfg}
	h.use(d.DialContext)
}
