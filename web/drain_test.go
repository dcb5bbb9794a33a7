package web

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
)

func TestDrainedServerHasNoClientsAndRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{Drain: 10 * time.Second}, n)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		client := func(target string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			return w
		}
		const handshake, sessions = "/socket.io/?EIO=4&transport=polling", 10_000 // more than go at once
		for range sessions {
			if w := client(handshake); w.Code != 200 {
				t.Fatalf("handshake: %d %s", w.Code, w.Body)
			}
		}
		for range 2 { // the second time nothing happens
			r := httptest.NewRequest("POST", "http://localhost/api/drain", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if s.apiMux.ServeHTTP(w, r); w.Code != 200 || w.Body.String() != "{\"ok\":true}\n" {
				t.Fatalf("drain: %d %s", w.Code, w.Body)
			}
			synctest.Wait()
		}
		time.Sleep(2500*time.Millisecond + ws.CloseTimeout) // as nobody polls
		if got := s.socketio.Stats().Engine.Open["polling"]; got == 0 || got == sessions {
			t.Errorf("%d clients after half of the time, want some", got)
		}
		if w := client(handshake); w.Code != 503 {
			t.Errorf("a new client: %d %s, want 503", w.Code, w.Body)
		}
		time.Sleep(time.Minute)
		if got := s.socketio.Stats().Engine.Open["polling"]; got != 0 {
			t.Errorf("%d clients after the drain", got)
		}
		if w := client("/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
			t.Errorf("readyz: %d %s", w.Code, w.Body)
		}
		select {
		case err := <-ended:
			t.Fatalf("Run has ended: %v", err)
		default:
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Who comes to a server that drains, or to a second one, is served by one that does not, and may poll through any; where all drain it is
// refused. Pages and requests of open sessions are no business of others.
func TestClientsThatComeToADrainingServerAreTakenElsewhere(t *testing.T) {
	onBoxes(t, 3, Config{Drain: time.Second}, func(t *testing.T, b []*box) {
		b[0].Drain()
		b[1].Drain()
		time.Sleep(2 * time.Second)
		for _, at := range b[:2] {
			p := open(t, at, at) // each asks one of the others first, and b[2] in the end
			p.post(b[1], `421["join","r"]`)
			p.want(b[0], `200 431[{"ok":true}]`)
			if got := b[2].forward.Owner(p.sid); got != b[2].node.ID() {
				t.Errorf("the session is of node %v, want %v", got, b[2].node.ID())
			}
		}
		if n := b[2].socketio.Stats().Engine.Open["polling"]; n != 2 {
			t.Errorf("%d sessions, want 2", n)
		}
		for path, want := range map[string]int{"/readyz": 503, "/socket.io/socket.io.none": 404, "/socket.io/?EIO=4&transport=gopher": 503, "/ws": 503} {
			if status, body := b[0].clients.Get(path); status != want {
				t.Errorf("%s: %d %s, want %d", path, status, body, want)
			}
		}
		b[2].Drain()
		time.Sleep(10 * time.Second)
		if status, body := b[0].clients.Get("/socket.io/?EIO=4&transport=polling"); status != 503 {
			t.Errorf("all drain: %d %s", status, body)
		}
		if status, body := b[0].clients.Get("/sse?room=r"); status != 200 || !strings.HasPrefix(body, ": \"server shutting down\"\nretry: ") {
			t.Errorf("all drain, an event stream: %d %s", status, body)
		}
	})
}
