package socketio

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
)

//go:embed client
var clientFiles embed.FS

// serveClient serves the official client's bundles, as the official server
// does, under the names that it gives them. It tells whether the request was
// for one.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) bool {
	name := path.Base(r.URL.Path)
	if !strings.HasPrefix(name, "socket.io.") || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	text, err := clientFiles.ReadFile("client/" + name)
	if err != nil {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "This program was built without %s. make build takes it from npm; or load socket.io-client from your own site.\n", name)
		return true
	}
	kind := "text/javascript; charset=utf-8"
	if strings.HasSuffix(name, ".map") {
		kind = "application/json"
	}
	sum := sha256.Sum256(text)
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	if r.Header.Get("If-None-Match") == h.Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	w.Write(text)
	return true
}
