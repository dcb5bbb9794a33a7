package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/web/ws"
)

// serveLimited is serve with a configuration of the web; log is what it logged.
func serveLimited(t *testing.T, cfg Config, f func(t *testing.T, s *Server, clients, ops *webtest.Server, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{MaxRooms: 2})
		if err != nil {
			t.Fatal(err)
		}
		relay.Attach(n.Namespace("/"))
		log := new(bytes.Buffer)
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		s, err := New(cfg, n)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		nodeCtx, stopNode := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { s.Run(ctx); done <- struct{}{} }()
		go func() { n.Run(nodeCtx); done <- struct{}{} }()
		clients, ops := webtest.Serve(t, s.Handler()), webtest.Serve(t, s.apiMux)
		f(t, s, clients, ops, log)
		stop()
		<-done
		stopNode()
		<-done
		clients.Stop()
		ops.Stop()
		if s.admission.open != 0 || len(s.admission.byIP) != 0 {
			t.Errorf("after the end %d clients are counted, %d by address", s.admission.open, len(s.admission.byIP))
		}
		time.Sleep(time.Minute) // memberlist
	})
}

// ways are those of getting in, each with the end of the client.
var ways = map[string]func(t *testing.T, clients *webtest.Server) (status int, leave func()){
	"socket.io websocket": func(t *testing.T, clients *webtest.Server) (int, func()) {
		return dialed(clients, "/socket.io/?EIO=4&transport=websocket")
	},
	"plain websocket": func(t *testing.T, clients *webtest.Server) (int, func()) { return dialed(clients, "/ws") },
	"socket.io polling": func(t *testing.T, clients *webtest.Server) (int, func()) {
		status, body := clients.Get("/socket.io/?EIO=4&transport=polling")
		_, sid, _ := strings.Cut(body, `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		return status, func() {
			clients.Post("/socket.io/?EIO=4&transport=polling&sid="+sid, "1")
		}
	},
	"event stream": func(t *testing.T, clients *webtest.Server) (int, func()) {
		ctx, cancel := context.WithCancel(context.Background())
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/sse?room=r", nil)
		resp, err := clients.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, func() { cancel(); resp.Body.Close() }
	},
}

func dialed(clients *webtest.Server, path string) (int, func()) {
	c, status, err := clients.TryDial(path)
	if err != nil {
		return status, func() {}
	}
	return status, c.Close
}

// The limit is exact on each transport, what is not a client is served, and who
// leaves makes room.
func TestClientsOverALimitAreRefusedOnEveryTransport(t *testing.T) {
	for limit, tt := range map[string]struct {
		cfg    Config
		status int
	}{
		limitConns:      {Config{MaxConns: 2}, http.StatusServiceUnavailable},
		limitConnsPerIP: {Config{MaxConnsPerIP: 2}, http.StatusTooManyRequests},
	} {
		for way, enter := range ways {
			t.Run(limit+"/"+way, func(t *testing.T) {
				serveLimited(t, tt.cfg, func(t *testing.T, s *Server, clients, ops *webtest.Server, log *bytes.Buffer) {
					var leaves []func()
					enter := func() int {
						status, leave := enter(t, clients)
						leaves = append(leaves, leave)
						return status
					}
					enter()
					if status := enter(); status != 200 && status != 101 {
						t.Fatalf("the last one that fits: %d", status)
					}
					for range 3 {
						if status := enter(); status != tt.status {
							t.Errorf("one too many: %d, want %d", status, tt.status)
						}
					}
					for _, path := range []string{"/healthz", "/readyz"} {
						if status, _ := clients.Get(path); status != 200 {
							t.Errorf("%s: %d", path, status)
						}
					}
					_, text := ops.Get("/metrics")
					if want := fmt.Sprintf("meshrt_limit_hits_total{limit=%q} 3\n", limit); !strings.Contains(text, want) {
						t.Errorf("no metric %s", want)
					}
					if got := strings.Count(log.String(), "cause="+limit); got != 1 {
						t.Errorf("%d lines in a minute, want 1:\n%s", got, log)
					}
					leaves[0]()
					time.Sleep(time.Second)
					if status := enter(); status != 200 && status != 101 {
						t.Errorf("after one has left: %d", status)
					}
					for _, leave := range leaves {
						leave()
					}
				})
			})
		}
	}
}

// Requests that open no session are not counted as clients for ever.
func TestRefusedRequestsTakeNoPlace(t *testing.T) {
	serveLimited(t, Config{MaxConns: 1, MaxConnsPerIP: 1}, func(t *testing.T, s *Server, clients, _ *webtest.Server, _ *bytes.Buffer) {
		for range 3 {
			clients.Get("/sse?room=")
			clients.Get("/ws", "Connection", "Upgrade", "Upgrade", "websocket") // without a key
			clients.Get("/socket.io/?EIO=4&transport=websocket", "Connection", "Upgrade", "Upgrade", "websocket")
			clients.Get("/socket.io/?EIO=3&transport=polling")
			r, _ := http.NewRequest(http.MethodHead, "http://localhost/sse", nil)
			if resp, err := clients.Client.Do(r); err == nil {
				resp.Body.Close()
			}
		}
		synctest.Wait()
		if s.admission.open != 0 {
			t.Errorf("%d places taken", s.admission.open)
		}
		c := clients.Dial("/ws")
		c.Next()
		c.Close()
	})
}

func TestRoomsOverTheLimitAreRefusedWithTheCodeLimit(t *testing.T) {
	serveLimited(t, Config{}, func(t *testing.T, _ *Server, clients, ops *webtest.Server, log *bytes.Buffer) {
		c := clients.Dial("/ws")
		c.Next()
		for i := range 2 {
			c.Send(fmt.Sprintf(`{"type":"join","id":%d,"room":"r%d"}`, i, i))
			c.Expect(fmt.Sprintf(`{"type":"ack","id":%d,"ok":true}`, i))
		}
		c.Send(`{"type":"join","id":3,"room":"r3"}`)
		c.Expect(`{"type":"ack","id":3,"ok":false,"error":"more than 2 rooms","code":"limit"}`)
		if _, text := ops.Get("/metrics"); !strings.Contains(text, `meshrt_limit_hits_total{limit="max-rooms-per-conn"} 1`) {
			t.Error("not counted")
		}
		c.Close()
	})
}

func TestAddressesOfOneHostAreOne(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1":               "192.0.2.7",
		"[::ffff:192.0.2.7]:1":      "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1":  "2001:db8:1:2::",
		"[2001:db8:1:2::9]:1":       "2001:db8:1:2::",
		"[fe80::1%eth0]:1":          "fe80::",
		"pipe":                      "invalid IP",
		"@":                         "invalid IP",
		"192.0.2.7":                 "invalid IP",
		"[2001:db8:1:3:3:4:5:6]:99": "2001:db8:1:3::",
	} {
		if got := clientIP(remote).String(); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
	a := newAdmission(0, 1, ws.NewNotices(slog.New(slog.DiscardHandler)))
	enter := func(remote string) error {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		return a.enter(r)
	}
	var refusal *ws.Refusal
	if enter("192.0.2.7:1") != nil || enter("192.0.2.8:1") != nil || !errors.As(enter("192.0.2.7:2"), &refusal) || refusal.Status != 429 {
		t.Errorf("the limit is not by address: %v", refusal)
	}
}

func TestDescriptorsAreLeftForOthers(t *testing.T) {
	for files, want := range map[int][2]int{0: {0, 0}, 100: {36, 28}, 1024: {896, 840}, 20_000: {18_976, 17_790}, 1 << 20: {1<<20 - 1024, 982_080}} {
		connections := connectionLimit(files)
		if got := [2]int{connections, clientLimit(0, connections)}; got != want {
			t.Errorf("%d descriptors: %d connections, %d clients, want %v", files, got[0], got[1], want)
		}
	}
	if clientLimit(10, 896) != 10 || clientLimit(5000, 896) != 840 || clientLimit(5000, 0) != 5000 {
		t.Error("the configured limit counts up to what is possible")
	}
}
