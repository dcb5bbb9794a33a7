package ws

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestMemoRemembersARequest(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for name, r := range map[string]*http.Request{
		"plain":   httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=websocket&t=a%20b%2Fc", nil),
		"escaped": httptest.NewRequest("GET", "/a%2Fb/%20c?;;&x", nil),
		"long":    httptest.NewRequest("GET", "/?token="+long, nil),
		"proxy":   httptest.NewRequest("GET", "http://example.com:99/x", nil),
	} {
		r.Header = http.Header{"Cookie": {"a=b; c=d", "", long}, "X-Empty": {""}, "X-Two": {"1", "2"}}
		r.TLS = &tls.ConnectionState{}
		m := Remember(r)
		if got := m.Header(); !maps.EqualFunc(got, r.Header, slices.Equal) {
			t.Errorf("%s: header %.200v", name, got)
		}
		if got := m.URL(); *got != *r.URL {
			t.Errorf("%s: URL %#v, want %#v", name, got, r.URL)
		}
		if m.Host() != r.Host || m.RemoteAddr != r.RemoteAddr || !m.TLS {
			t.Errorf("%s: %s, %s, TLS %v", name, m.Host(), m.RemoteAddr, m.TLS)
		}
		m.Header().Set("X-Two", "changed")
		if got := m.Header().Get("X-Two"); got != "1" {
			t.Errorf("%s: a header that was given out is shared", name)
		}
	}
}
