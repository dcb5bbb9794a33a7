package web

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/ui"
)

// clientRoutes is what the world sees.
func (s *Server) clientRoutes() http.Handler {
	mux := http.NewServeMux()
	path := strings.TrimSuffix(s.cfg.Path, "/")
	mux.Handle(path+"/", s.origins.cors(s.socketio))
	mux.Handle(path, s.origins.cors(s.socketio)) // addTrailingSlash: false
	mux.Handle(s.cfg.WSPath, s.plain)
	mux.Handle(s.cfg.SSEPath, s.origins.cors(http.HandlerFunc(s.plain.ServeEvents)))
	s.health(mux)
	if s.cfg.Demo {
		mux.Handle("/", ui.Handler())
	}
	return mux
}

// apiRoutes is what operators and backends see.
func (s *Server) apiRoutes() http.Handler {
	mux := http.NewServeMux()
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
