package web

import "net/http"

// corsMaxAge is how long a browser may keep the answer to a preflight, in
// seconds: the most that any takes.
const corsMaxAge = "7200"

// cors lets pages of allowed origins read what next answers, with their
// credentials, and answers preflights. What other origins ask is next's affair,
// which refuses them by the same rule.
func (o *origins) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin, h := r.Header.Get("Origin"), w.Header()
		h.Add("Vary", "Origin")
		allowed := origin != "" && o.allows(r)
		if allowed {
			h.Set("Access-Control-Allow-Origin", origin) // "*" would exclude credentials
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		if !allowed {
			http.Error(w, errOrigin.Error(), http.StatusForbidden)
			return
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
			h.Add("Vary", "Access-Control-Request-Headers")
		}
		h.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	})
}
