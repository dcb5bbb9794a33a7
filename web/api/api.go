// Package api is the HTTP API (CONTRACT §5): a backend in any language
// publishes to clients and asks about the cluster. JSON in and out, real status
// codes, errors as {"error":{"code","message"}}.
//
// Reading order: api.go (routes, who may call), publish.go, lists.go, errors.go.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/meshrt/meshrt/node"
)

// Config says who may call and how much.
type Config struct {
	// Keys are the accepted API keys. None: everybody who reaches the listener
	// may call, so it must be on loopback then.
	Keys []string
	// MaxBody is the largest request body in bytes. Default 1,100,000: a message
	// of the default payload limit with what is around it.
	MaxBody int64
	// Drain moves the clients of this node away, for POST /api/drain, and returns at once. Nil: it cannot.
	Drain  func()
	Logger *slog.Logger
}

//go:embed openapi.json
var openapi []byte

type handler struct {
	cfg  Config
	node *node.Node
}

// NewHandler serves /api/... and /broadcast on n.
func NewHandler(cfg Config, n *node.Node) http.Handler {
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 1_100_000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{cfg: cfg, node: n}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/publish", h.post(h.publish))
	mux.HandleFunc("POST /api/broadcast", h.post(h.broadcast))
	mux.HandleFunc("POST /broadcast", h.post(h.broadcast))
	mux.HandleFunc("POST /api/direct", h.post(h.direct))
	mux.HandleFunc("POST /api/drain", h.post(h.drain))
	mux.HandleFunc("GET /api/nodes", h.nodes)
	mux.HandleFunc("GET /api/rooms", h.rooms)
	mux.HandleFunc("GET /api/sockets", h.sockets)
	mux.HandleFunc("GET /api/presence", h.presence)
	mux.HandleFunc("GET /api/history", h.history)
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(openapi)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.noRoute(mux, w, r) })
	return Protect(cfg.Keys, mux)
}

// drain answers when it has begun; /readyz tells that it goes on, and metrics how many clients are left.
func (h *handler) drain(context.Context, []byte) error {
	if h.cfg.Drain == nil {
		return node.Errorf(node.CodeUnavailable, "this server cannot drain")
	}
	h.cfg.Drain()
	return nil
}

// Protect lets requests with one of the keys through to next, which may be in
// either header. Without keys, which is for loopback, it keeps browsers on this
// machine from being used by the pages that they have open.
func Protect(keys []string, next http.Handler) http.Handler {
	browsers := http.NewCrossOriginProtection()
	browsers.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusForbidden, node.CodeForbidden, "cross-origin request of a browser")
	}))
	var hashes [][sha256.Size]byte
	for _, k := range keys {
		hashes = append(hashes, sha256.Sum256([]byte(k)))
	}
	return browsers.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case len(hashes) > 0 && !keyed(r, hashes):
			w.Header().Set("WWW-Authenticate", `Bearer realm="meshrt"`)
			writeError(w, http.StatusUnauthorized, node.CodeForbidden, "missing or wrong API key")
		case len(hashes) == 0 && !localName(r.Host):
			writeError(w, http.StatusForbidden, node.CodeForbidden, "without an API key the host is localhost or an address, not "+strconv.Quote(r.Host))
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// localName tells whether a Host header can be that of a request which was
// meant for this machine. A page of any site can have its own name resolved to
// loopback (DNS rebinding); that name then is the host.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(host, "localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

func keyed(r *http.Request, keys [][sha256.Size]byte) bool {
	key := r.Header.Get("X-API-Key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = token
	}
	// Hashes have one length, so that comparing tells nothing about a key's.
	given, ok := sha256.Sum256([]byte(key)), 0
	for _, k := range keys {
		ok |= subtle.ConstantTimeCompare(k[:], given[:])
	}
	return ok == 1
}

// noRoute answers in the API's form what the mux would answer in its own.
func (h *handler) noRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	other := http.MethodGet
	if r.Method == http.MethodGet {
		other = http.MethodPost
	}
	probe := r.Clone(r.Context())
	probe.Method = other
	if _, pattern := mux.Handler(probe); pattern != "/" {
		w.Header().Set("Allow", other)
		writeError(w, http.StatusMethodNotAllowed, node.CodeInvalid, r.URL.Path+" takes "+other)
		return
	}
	writeError(w, http.StatusNotFound, node.CodeInvalid, "no such route: "+r.URL.Path)
}

// post reads the JSON body, hands it to do and answers {"ok":true} or its error.
func (h *handler) post(do func(ctx context.Context, body []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			writeError(w, http.StatusUnsupportedMediaType, node.CodeInvalid, "Content-Type must be application/json")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBody))
		if err == nil {
			err = do(r.Context(), body)
		}
		if err != nil {
			fail(w, err)
			return
		}
		writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
	}
}

func header(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	header(w, status)
	json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}
