// Package ui holds the pages that meshrt serves itself: plain HTML, CSS and ES
// modules over the plain WebSocket protocol, embedded as they are. README.md says
// in which order to read those of the chat. classic/ is the first chat that people
// write with Socket.IO, for its own client.
package ui

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
)

//go:embed chat classic
var embedded embed.FS

// contentTypes are set here because package mime asks the operating system
// first, and some say text/plain for .js, which no browser takes for a module.
var contentTypes = map[string]string{
	"":      "text/html; charset=utf-8", // the root
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// classicPath is where the page of the Socket.IO tutorial's kind is.
const classicPath = "/classic/"

// Handler serves the chat at its root and the classic chat at /classic/, to GET
// and HEAD. It is safe for concurrent use and reads nothing but the program itself.
func Handler() http.Handler {
	static := pages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy(r.Host))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // a new binary has new pages
		if t, ok := contentTypes[path.Ext(r.URL.Path)]; ok {
			h.Set("Content-Type", t) // http.Error replaces it for what is not there
		}
		static.ServeHTTP(w, r)
	})
}

// pages puts the folders where their links expect them.
func pages() http.Handler {
	chat := http.FileServerFS(folder("chat"))
	classic := http.StripPrefix(strings.TrimSuffix(classicPath, "/"), http.FileServerFS(folder("classic")))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path+"/" == classicPath:
			w.Header().Del("Content-Type")
			http.Redirect(w, r, strings.TrimPrefix(classicPath, "/"), http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, classicPath):
			classic.ServeHTTP(w, r)
		default:
			chat.ServeHTTP(w, r)
		}
	})
}

func folder(name string) fs.FS {
	sub, err := fs.Sub(embedded, name)
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}

// sourceHost is what a policy can name: a host and a port, but no IPv6 address.
var sourceHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// policy lets the pages load and connect to their own server only, and lets no
// string become HTML or script. Older browsers do not count websockets to the
// own host as 'self', so the host is named too.
func policy(host string) string {
	sockets := ""
	if sourceHost.MatchString(host) {
		sockets = " ws://" + host + " wss://" + host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'" + sockets +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}
