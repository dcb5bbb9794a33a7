package api

import (
	"net/http"
	"time"
)

type nodeJSON struct {
	Name   string  `json:"name"`
	Boot   string  `json:"boot"` // changes with every start
	State  string  `json:"state"`
	Addr   string  `json:"addr,omitempty"`
	Region string  `json:"region,omitempty"`
	RTT    float64 `json:"rtt_ms,omitempty"`
	Since  string  `json:"since,omitempty"`
	// Sockets is known of this node only.
	Sockets *int `json:"sockets,omitempty"`
}

func (h *handler) nodes(w http.ResponseWriter, _ *http.Request) {
	list := []nodeJSON{}
	for _, n := range h.node.Cluster().Nodes() {
		j := nodeJSON{Name: n.Name, Boot: n.ID.String(), State: n.State, Addr: n.Addr, Region: n.Region,
			RTT: float64(n.RTT.Microseconds()) / 1000}
		if !n.Since.IsZero() {
			j.Since = n.Since.UTC().Format(time.RFC3339)
		}
		if n.State == "self" {
			sockets := h.node.Stats().Sessions
			j.Sockets = &sockets
		}
		list = append(list, j)
	}
	writeJSON(w, http.StatusOK, map[string]any{"nodes": list})
}
