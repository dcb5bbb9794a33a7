package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// origins are the web origins that may connect. Browsers send a page's origin
// with every websocket and every cross-origin request; programs send none and
// are let in: what keeps them out is authentication. Unchecked, any page that a
// user has open could talk to us in that user's network (CSWSH, MESH §8).
type origins struct {
	all   bool
	exact map[string]bool // "https://host[:port]" or "host[:port]"
	under []string        // ".example.com"

	refused atomic.Uint64
}

var errOrigin = errors.New("this web origin is not allowed")

func parseOrigins(patterns []string) (*origins, error) {
	o := &origins{exact: map[string]bool{}}
	for _, p := range patterns {
		p = strings.ToLower(strings.TrimSpace(p))
		scheme, host, full := strings.Cut(p, "://")
		if !full {
			host = p
		}
		suffix, wild := strings.CutPrefix(host, "*.")
		switch {
		case p == "*":
			o.all = true
		case host == "" || strings.ContainsAny(host, "/?#@ ") || full && scheme == "",
			strings.Contains(suffix, "*") || wild && (full || suffix == ""):
			return nil, fmt.Errorf("-origins: %q is no origin; write https://host, host, *.example.com or *", p)
		case wild:
			o.under = append(o.under, "."+suffix) // whole labels: never the end of another name
		default:
			o.exact[p] = true
		}
	}
	return o, nil
}

// check lets requests without an origin, of the same host and of allowed
// origins in, and counts the others.
func (o *origins) check(r *http.Request) error {
	if !o.allows(r) {
		o.refused.Add(1)
		return errOrigin
	}
	return nil
}

// guard checks requests that name a session too, which the protocol's Accept is
// not asked about: GETs and POSTs of long polling. The body is the one of its other
// refusals.
func (o *origins) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if namesSession(r.URL) && o.check(r) != nil {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"code":4,"message":"Forbidden"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// namesSession says that a query has a sid. Most that open a session cannot have one,
// and are not taken apart for that: neither plainly nor in escapes.
func namesSession(u *url.URL) bool {
	return (strings.Contains(u.RawQuery, "sid") || strings.Contains(u.RawQuery, "%")) && u.Query().Get("sid") != ""
}

func (o *origins) allows(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || o.all {
		return true
	}
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil || u.Host == "" {
		return false // "null" is a sandboxed frame or a file: anybody's
	}
	web := u.Scheme == "http" || u.Scheme == "https"
	if !web { // an app's own scheme, which must be named
		if o.exact[u.Scheme+"://"+u.Host] {
			return true
		}
		return false
	}
	if strings.EqualFold(u.Host, r.Host) || o.exact[u.Scheme+"://"+u.Host] || o.exact[u.Host] {
		return true
	}
	for _, suffix := range o.under {
		if strings.HasSuffix(u.Hostname(), suffix) {
			return true
		}
	}
	return false
}
