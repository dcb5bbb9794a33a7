package main

import (
	"encoding/json"
	"net/http"

	"github.com/meshrt/meshrt/node"
)

// broadcast is a route for backends that only speak HTTP: everyone connected
// to any node gets the event.
//
//	curl -d '{"event":"news","data":{"title":"It works"}}' http://localhost:8080/broadcast
func broadcast(ns *node.Namespace) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := ns.Emit(body.Event, body.Data); err != nil {
			status := http.StatusServiceUnavailable
			if node.CodeOf(err) != node.CodeUnavailable {
				status = http.StatusBadRequest
			}
			http.Error(w, err.Error(), status)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
}
