package web

import (
	"encoding/json"
	"net/http"
)

// health answers balancers and orchestrators, without a key on both listeners.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", s.readyz)
}

type health struct {
	Status string   `json:"status"`        // ok, starting, draining
	Cut    []string `json:"cut,omitempty"` // members without a link; never a reason to be unready
}

// readyz is 503 until the node has been in step with the cluster that it
// started into, and while it drains.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	ready, cut := s.node.Cluster().Ready()
	h, status := health{Status: "ok", Cut: cut}, http.StatusOK
	switch {
	case s.draining.Load():
		h.Status, status = "draining", http.StatusServiceUnavailable
	case !ready:
		h.Status, status = "starting", http.StatusServiceUnavailable
	}
	writeHealth(w, status, h)
}

func writeHealth(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(h) // whoever asked may be gone
}
