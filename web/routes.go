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
	mux.Handle(path+"/", s.socketio)
	mux.Handle(path, s.socketio) // addTrailingSlash: false
	mux.Handle(s.cfg.WSPath, s.plain)
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
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.health(mux)
	return mux
}
