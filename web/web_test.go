package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
)

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		allowed, origin, host string
		ok                    bool
	}{
		{"", "", "a.example", true}, // no browser
		{"", "https://a.example", "a.example", true},
		{"", "http://a.example:8080", "a.example:8080", true},
		{"", "http://A.Example", "a.example", true},
		{"", "https://b.example", "a.example", false},
		{"", "https://a.example:8080", "a.example", false},
		{"", "https://a.example.evil.test", "a.example", false},
		{"", "null", "a.example", false},
		{"", "file://", "a.example", false},
		{"*", "https://b.example", "a.example", true},
		{"*", "null", "a.example", true},
		{"capacitor://localhost", "capacitor://localhost", "a.example", true},
		{"", "capacitor://a.example", "a.example", false},
		{"https://b.example", "https://b.example", "a.example", true},
		{"https://b.example", "http://b.example", "a.example", false},
		{"b.example", "http://b.example", "a.example", true},
		{"b.example", "http://b.example:81", "a.example", false},
		{"*.example.com", "https://x.example.com", "a", true},
		{"*.example.com", "https://x.y.example.com:81", "a", true},
		{"*.example.com", "https://example.com", "a", false},
		{"*.example.com", "https://evilexample.com", "a", false},
		{"*.example.com", "https://x.example.com.evil.test", "a", false},
		{"*.example.com", "https://evil.test/x.example.com", "a", false},
		{"*.example.com", "https://evil.test#.example.com", "a", false},
	} {
		var patterns []string
		if tt.allowed != "" {
			patterns = []string{tt.allowed}
		}
		o, err := parseOrigins(patterns)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest(http.MethodGet, "http://"+tt.host+"/", nil)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if got := o.check(r) == nil; got != tt.ok {
			t.Errorf("allowed %q, origin %q at %q: %v, want %v", tt.allowed, tt.origin, tt.host, got, tt.ok)
		}
	}
	for _, bad := range []string{"", "https://", "https://a/path", "*.", "a.*.b", "https://*.b", "*.*"} {
		if _, err := parseOrigins([]string{bad}); err == nil {
			t.Errorf("pattern %q is taken", bad)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]Config{
		"":                       {API: "localhost:0"},
		"needs an API key":       {API: "0.0.0.0:7980"},
		"open to other machines": {API: ":7980"},
		"must differ":            {Path: "/x/", WSPath: "/x"},
		"path \"/ws\"":           {SSEPath: "/ws"},
		"from /":                 {Path: "/"},
		"must start with /":      {WSPath: "ws"},
		"plain punctuation":      {Path: "/a\tb"},
		"want host:port":         {HTTP: "bogus"},
		"-origins":               {Origins: []string{"https://a/b"}},
	} {
		err := cfg.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
	keyed := Config{API: "0.0.0.0:7980", APIConfig: api.Config{Keys: []string{"k"}}}
	if err := keyed.Validate(); err != nil {
		t.Error(err)
	}
}

// serve runs f in a bubble with a server that is mounted, not bound.
func serve(t *testing.T, cfg cluster.Config, f func(t *testing.T, s *Server, clients, ops *webtest.Server, stop func())) {
	serveIn(t, func() cluster.Config { return cfg }, f)
}

// serveIn is serve with a network, which must be made in the bubble.
func serveIn(t *testing.T, cfg func() cluster.Config, f func(t *testing.T, s *Server, clients, ops *webtest.Server, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{Cluster: cfg()})
		if err != nil {
			t.Fatal(err)
		}
		relay.Attach(n.Namespace("/"))
		s, err := New(Config{Demo: true, Version: "v0"}, n)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		nodeCtx, stopNode := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { s.Run(ctx); done <- struct{}{} }()
		go func() { n.Run(nodeCtx); done <- struct{}{} }()
		clients, ops := webtest.Serve(t, s.Handler()), webtest.Serve(t, s.apiMux)
		f(t, s, clients, ops, func() { stop(); synctest.Wait() })
		stop()
		<-done
		stopNode()
		<-done
		clients.Stop()
		ops.Stop()
		time.Sleep(time.Minute) // memberlist
	})
}

// TestBothProtocolsInOneRoom: a Socket.IO client and a plain one talk.
func TestBothProtocolsInOneRoom(t *testing.T) {
	serve(t, cluster.Config{Name: "n1"}, func(t *testing.T, s *Server, clients, ops *webtest.Server, _ func()) {
		io, ws := clients.Dial("/socket.io/?EIO=4&transport=websocket"), clients.Dial("/ws")
		io.Next()
		io.Send("40")
		connected, _ := io.Next()
		ioID := strings.TrimSuffix(strings.TrimPrefix(connected, `40{"sid":"`), `"}`)
		welcome, _ := ws.Next()
		var wsID string
		fmt.Sscanf(welcome, `{"type":"welcome","id":%q`, &wsID)
		io.Send(`421["join","r"]`)
		io.Expect(`431[{"ok":true}]`)
		ws.Send(`{"type":"join","id":1,"room":"r"}`)
		ws.Expect(`{"type":"ack","id":1,"ok":true}`)

		io.Send(`42["publish","r","e",{"x":1},2]`)
		ws.Expect(fmt.Sprintf(`{"type":"event","room":"r","event":"e","data":{"x":1},"args":[{"x":1},2],"from":%q}`, ioID))
		ws.Send(`{"type":"publish","room":"r","event":"e","data":[1]}`)
		io.Expect(`42["e",[1]]`)
		ws.Send(fmt.Sprintf(`{"type":"direct","id":2,"to":%q,"event":"dm","data":"psst"}`, ioID))
		ws.Expect(`{"type":"ack","id":2,"ok":true}`)
		io.Expect(fmt.Sprintf(`42["dm",%q,"psst"]`, wsID))
		if status, _ := ops.Post("/api/publish", `{"room":"r","event":"news","data":1}`); status != 200 {
			t.Errorf("publish: %d", status)
		}
		io.Expect(`42["news",1]`)
		ws.Expect(`{"type":"event","room":"r","event":"news","data":1}`)
		io.Close()
		ws.Close()
	})
}

func TestWhatOperatorsSeeNeedsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := node.New(node.Config{})
		s, err := New(Config{APIConfig: api.Config{Keys: []string{"k"}}}, n)
		if err != nil {
			t.Fatal(err)
		}
		ops := webtest.Serve(t, s.apiMux)
		for _, path := range []string{"/metrics", "/api/nodes", "/debug/pprof/", "/debug/pprof/heap"} {
			if got, _ := ops.Get(path); got != 401 {
				t.Errorf("%s without a key: %d", path, got)
			}
			if got, _ := ops.Get(path, "X-API-Key", "k"); got != 200 {
				t.Errorf("%s with the key: %d", path, got)
			}
		}
		if got, _ := ops.Get("/healthz"); got != 200 {
			t.Errorf("health: %d", got)
		}
		ops.Stop()
	})
}

func TestCORSIsForAllowedOriginsOnly(t *testing.T) {
	o, err := parseOrigins([]string{"https://app.example"})
	if err != nil {
		t.Fatal(err)
	}
	h := o.cors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("next")) }))
	for _, tt := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{"GET", "", 200, ""}, {"GET", "https://app.example", 200, "https://app.example"}, {"POST", "https://evil.example", 200, ""},
		{"OPTIONS", "https://app.example", 204, "https://app.example"}, {"OPTIONS", "https://evil.example", 403, ""}, {"OPTIONS", "", 403, ""},
	} {
		r := httptest.NewRequest(tt.method, "http://a.example/socket.io/", nil)
		r.Header.Set("Access-Control-Request-Headers", "x-token")
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get("Access-Control-Allow-Origin")
		if w.Code != tt.status || got != tt.allowed || (got != "") != (w.Header().Get("Access-Control-Allow-Credentials") == "true") {
			t.Errorf("%s from %q: %d, allows %q, want %d, %q", tt.method, tt.origin, w.Code, got, tt.status, tt.allowed)
		}
		if tt.status == 204 && w.Header().Get("Access-Control-Allow-Headers") != "x-token" {
			t.Errorf("headers %v", w.Header())
		}
	}
}

func TestPathsAndPages(t *testing.T) {
	serve(t, cluster.Config{}, func(t *testing.T, s *Server, clients, ops *webtest.Server, _ func()) {
		for _, tt := range []struct {
			from *webtest.Server
			path string
			want int
		}{
			{clients, "/", 200}, {clients, "/nothing", 404}, {clients, "/healthz", 200}, {clients, "/readyz", 200},
			{clients, "/api/nodes", 404}, {clients, "/metrics", 404}, {clients, "/debug/pprof/", 404},
			{clients, "/ws", 426}, {clients, "/sse?room=", 400}, {clients, "/socket.io/", 400},
			{ops, "/healthz", 200}, {ops, "/readyz", 200}, {ops, "/metrics", 200}, {ops, "/api/nodes", 200}, {ops, "/debug/pprof/", 200},
		} {
			if got, body := tt.from.Get(tt.path); got != tt.want {
				t.Errorf("%s: %d %.80s, want %d", tt.path, got, body, tt.want)
			}
		}
		if got, _ := ops.Get("/debug/pprof/cmdline"); got != 404 {
			t.Errorf("the command line, with its secrets: %d", got)
		}
		_, text := ops.Get("/metrics")
		for _, sample := range []string{
			`meshrt_build_info{`, `meshrt_ready 1`, `meshrt_sessions 0`, `meshrt_cluster_sessions 0`, `meshrt_mesh_frames_total{dir="in",type="data"} 0`,
			`meshrt_connections{protocol="socket.io",transport="websocket"} 0`, `meshrt_connections{protocol="websocket",transport="websocket"} 0`,
		} {
			if !strings.Contains(text, "\n"+sample) {
				t.Errorf("no metric %s", sample)
			}
		}
	})
}

func TestUnreadyUntilInStepAndWhileDraining(t *testing.T) {
	// A seed that does not answer: ready after 5 s all the same.
	network := func() cluster.Config {
		id := wire.NewNodeID()
		host := clustertest.NewNetwork(1).Host("n1")
		host.SetNode("n1@" + id.String())
		return cluster.Config{ID: id, Name: "n1", Cluster: "test", Seeds: []string{"10.0.0.99:7946"}, Net: host}
	}
	serveIn(t, network, func(t *testing.T, s *Server, clients, ops *webtest.Server, stop func()) {
		if status, body := ops.Get("/readyz"); status != 503 || !strings.Contains(body, "starting") {
			t.Errorf("at the start: %d %s", status, body)
		}
		time.Sleep(5100 * time.Millisecond)
		if status, body := ops.Get("/readyz"); status != 200 {
			t.Errorf("after 5 s: %d %s", status, body)
		}
		stop()
		if status, body := clients.Get("/readyz"); status != 503 || !strings.Contains(body, "draining") {
			t.Errorf("at the end: %d %s", status, body)
		}
		if status, _ := clients.Get("/healthz"); status != 200 {
			t.Errorf("alive while draining: %d", status)
		}
	})
}

// The clients of a node that stops go one after the other, and until its turn has
// come each is served as before.
func TestClientsAreMovedOverTheDrainTime(t *testing.T) {
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
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		request := func(method, target, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
			return w
		}
		const sessions = 10_000
		for range sessions {
			if w := request("GET", "/socket.io/?EIO=4&transport=polling", ""); w.Code != 200 {
				t.Fatal(w.Code)
			}
		}
		began := time.Now()
		stop()
		time.Sleep(2500*time.Millisecond + ws.CloseTimeout) // nobody polls, so that each waits for its client
		synctest.Wait()
		if open := s.socketio.Stats().Engine.Open["polling"]; open < sessions*4/10 || open > sessions*6/10 {
			t.Errorf("%d of %d sessions are open after half of the time", open, sessions)
		}
		if w := request("GET", "/readyz", ""); w.Code != 503 {
			t.Errorf("/readyz: %d", w.Code)
		}
		if w := request("GET", "/socket.io/?EIO=4&transport=polling", ""); w.Code != 503 {
			t.Errorf("a new client gets %d", w.Code)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}
