package web

import (
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/ui"
)

// clientRoutes is what the world sees.
func (s *Server) clientRoutes() http.Handler {
	mux := http.NewServeMux()
	path := strings.TrimSuffix(s.cfg.Path, "/")
	engine := bodyless(s.origins.cors(s.origins.guard(s.onward(s.socketio))), http.MethodPost)
	mux.Handle(path+"/", engine)
	mux.Handle(path, engine) // addTrailingSlash: false
	rest := http.NewServeMux()
	mux.Handle("/", bodyless(rest))
	rest.Handle(s.cfg.WSPath, s.onward(s.plain))
	rest.Handle(s.cfg.SSEPath, s.heartbeats().readers(s.origins.cors(s.onward(http.HandlerFunc(s.plain.ServeEvents)))))
	s.health(rest)
	if s.cfg.Demo {
		rest.Handle("/", ui.Handler())
	}
	return mux
}

// bodyless reads away the body of requests that should have none, but those of a
// method: net/http would do so before it answers, for as long as the client likes.
func bodyless(next http.Handler, but ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || slices.Contains(but, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		rc.SetReadDeadline(time.Now().Add(bodyTimeout))
		if n, err := io.CopyN(io.Discard, r.Body, maxHeader); err != io.EOF || n == maxHeader {
			w.Header().Set("Connection", "close")
			http.Error(w, "this request takes no body", http.StatusBadRequest)
			return
		}
		rc.SetReadDeadline(time.Time{})
		next.ServeHTTP(w, r)
	})
}

// apiRoutes is what operators and backends see.
func (s *Server) apiRoutes() http.Handler {
	mux := http.NewServeMux()
	s.cfg.APIConfig.Drain = s.Drain
	calls := api.NewHandler(s.cfg.APIConfig, s.node)
	mux.Handle("/api/", calls)
	mux.Handle("/broadcast", calls)
	protected := func(pattern string, h http.Handler) { mux.Handle(pattern, api.Protect(s.cfg.APIConfig.Keys, h)) }
	protected("GET /metrics", s.metrics())
	protected("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
	protected("GET /debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	protected("GET /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
	protected("GET /debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	// Not cmdline: secrets may be on it.
	protected("GET /debug/pprof/cmdline", http.NotFoundHandler())
	s.health(mux)
	return mux
}
