package web

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/web/ws"
)

// Drain begins what the end of Run's context begins, and goes no further: the server is unready, takes no new
// client and moves those that it has away, over Config.Drain. Its listeners answer, and its node is a member, until the context
// ends. It returns at once, may be called from anywhere, and is not undone.
func (s *Server) Drain() {
	s.drained.Do(func() {
		s.log.Info("draining: clients are moved away, no new ones are taken")
		close(s.drain)
	})
}

// untilDrained ends with ctx, or by Drain. From before that on, who comes is passed on.
func (s *Server) untilDrained(ctx context.Context, g *errgroup.Group) context.Context {
	stay, leave := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer leave()
		select {
		case <-s.drain:
		case <-ctx.Done():
		}
		s.draining.Store(true)
		return nil
	})
	return stay
}

// frontKey is the key of true in the context of a request that is served within Accept, where nothing may take long.
type frontKey struct{}

// onward has another node take a client that comes while this one sends its own away: a balancer that asks nobody sends it new ones
// until the end. If none does, next refuses it.
func (s *Server) onward(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() && s.comes(r) && r.Context().Value(frontKey{}) == nil && s.forward.Open(w, r) == nil {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// comes tells whether a client comes with r.
func (s *Server) comes(r *http.Request) bool {
	query := r.URL.Query()
	return r.Method == http.MethodGet && query.Get("sid") == "" &&
		(ws.IsUpgrade(r) || query.Get("transport") != "" || r.URL.Path == s.cfg.SSEPath)
}

// comers serves clients that other nodes pass on, who have judged their origins.
func (s *Server) comers() http.Handler {
	mux := http.NewServeMux()
	path := strings.TrimSuffix(s.cfg.Path, "/")
	mux.Handle(path+"/", s.socketio.Engine())
	mux.Handle(path, s.socketio.Engine())
	mux.Handle(s.cfg.WSPath, s.plain)
	mux.HandleFunc(s.cfg.SSEPath, s.plain.ServeEvents)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() { // whoever asks goes on to the next node
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
