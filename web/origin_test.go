package web

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/web/webtest"
)

// A hostile page reaches no transport, though its user's browser does: neither to
// open a session nor, with the id of one, to read or to write in it.
func TestOtherOriginsAreRefusedOnEveryTransport(t *testing.T) {
	const evil, same = "https://evil.example", "http://meshrt.test"
	serve(t, cluster.Config{}, func(t *testing.T, s *Server, clients, ops *webtest.Server, _ func()) {
		open := func() string {
			_, body := clients.Get("/socket.io/?EIO=4&transport=polling")
			_, sid, _ := strings.Cut(body, `"sid":"`)
			sid, _, _ = strings.Cut(sid, `"`)
			return "/socket.io/?EIO=4&transport=polling&sid=" + sid
		}
		get := func(path, origin string) int {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://meshrt.test"+path, nil)
			r.Header.Set("Origin", origin)
			resp, err := clients.Client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		dial := func(path, origin string) int {
			c, status, err := clients.TryDial(path, "Origin", origin)
			if err == nil {
				c.Close()
			}
			return status
		}
		post := func(path, origin string) int {
			status, _ := clients.Post(path, "40", "Origin", origin, "Host", "meshrt.test")
			return status
		}
		for name, tt := range map[string]struct {
			try  func(path, origin string) int
			path func() string
			ok   int
		}{
			"polling handshake":     {get, func() string { return "/socket.io/?EIO=4&transport=polling" }, 200},
			"polling GET":           {get, func() string { p := open(); post(p, same); return p }, 200},
			"polling POST":          {post, open, 200},
			"sid in escapes":        {post, func() string { return strings.Replace(open(), "&sid=", "&%73i%64=", 1) }, 200},
			"upgrade":               {dial, func() string { return strings.Replace(open(), "polling", "websocket", 1) }, 101},
			"websocket":             {dial, func() string { return "/socket.io/?EIO=4&transport=websocket" }, 101},
			"plain websocket":       {dial, func() string { return "/ws" }, 101},
			"server-sent events":    {get, func() string { return "/sse?room=r" }, 200},
			"websocket of no page":  {func(path, _ string) int { return dial(path, same) }, func() string { return "/ws" }, 101},
			"polling without slash": {get, func() string { return "/socket.io?EIO=4&transport=polling" }, 200},
		} {
			path := tt.path()
			if got := tt.try(path, same); got != tt.ok {
				t.Errorf("%s: same host is answered with %d, want %d", name, got, tt.ok)
			}
			if name == "websocket of no page" {
				continue
			}
			path = tt.path()
			for _, origin := range []string{evil, "null", "http://meshrt.test.evil.example"} {
				if got := tt.try(path, origin); got != 403 {
					t.Errorf("%s: %s is answered with %d, want 403", name, origin, got)
				}
			}
		}
		if _, text := ops.Get("/metrics"); !strings.Contains(text, "\nmeshrt_origins_refused_total 27\n") {
			t.Error("not counted, or not once each")
		}
	})
}
