package web

import (
	"net/http"
	"net/url"
	"strings"
)

// handshakeRoom is the longest head of a request that parseHandshake is asked about,
// in bytes: those of browsers with some cookies are half of it. A longer one is
// net/http's.
const handshakeRoom = 4 << 10

// handshakeFields limits the fields of its header.
const handshakeFields = 40

// parseHandshake makes the request that text begins with what net/http would make of
// it, if it asks for a websocket in the way that clients do: GET of a plain path, each
// field once, and nothing that could be read in two ways. It takes n bytes. Of all else
// it is no judge: ok is false, and net/http is to have it.
func parseHandshake(text string) (r *http.Request, n int, ok bool) {
	end := strings.Index(text, "\r\n\r\n")
	if end < 0 {
		return nil, 0, false
	}
	line, rest, _ := strings.Cut(text[:end+2], "\r\n")
	target, ok := strings.CutPrefix(line, "GET ")
	if !ok {
		return nil, 0, false
	}
	if target, ok = strings.CutSuffix(target, " HTTP/1.1"); !ok {
		return nil, 0, false
	}
	u, ok := parseTarget(target)
	if !ok {
		return nil, 0, false
	}
	r = &http.Request{Method: http.MethodGet, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, RequestURI: target}
	if r.Header, ok = parseFields(rest); !ok {
		return nil, 0, false
	}
	if r.Header["Pragma"] != nil && r.Header["Cache-Control"] == nil {
		return nil, 0, false // net/http would add one
	}
	if r.Host, ok = takeHost(r.Header); !ok {
		return nil, 0, false
	}
	return r, end + 4, true
}

// parseTarget takes a path of letters, digits, "-._~/" and a query without escapes:
// neither reads otherwise when it is unescaped.
func parseTarget(target string) (*url.URL, bool) {
	path, query, queried := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") || queried && query == "" || !only(path, pathByte) || !only(query, queryByte) {
		return nil, false
	}
	return &url.URL{Path: path, RawQuery: query}, true
}

// parseFields takes lines of "Name: value" that end with CRLF, no name twice, and
// those only that a handshake has.
func parseFields(lines string) (http.Header, bool) {
	count := strings.Count(lines, "\r\n")
	if count > handshakeFields {
		return nil, false
	}
	header, values := make(http.Header, count), make([]string, count)
	for i := range values {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, colon := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !colon || name == "" || !only(name, nameByte) || !only(value, valueByte) {
			return nil, false
		}
		name = http.CanonicalHeaderKey(name)
		if _, twice := header[name]; twice || !plainField(name, value) {
			return nil, false
		}
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	return header, true
}

// plainField says that a field changes neither what the request is nor how long. The
// first two must say what they say in a handshake, and no more.
func plainField(name, value string) bool {
	switch name {
	case "Connection":
		return strings.EqualFold(value, "upgrade") || strings.EqualFold(value, "keep-alive, upgrade")
	case "Upgrade":
		return strings.EqualFold(value, "websocket")
	case "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Expect", "Proxy-Connection", "Keep-Alive", "Http2-Settings":
		return false
	}
	return true
}

// takeHost takes the host out of the header, as net/http does. There must be one, and
// a handshake besides.
func takeHost(h http.Header) (string, bool) {
	host := h["Host"]
	if len(host) == 0 || host[0] == "" || !only(host[0], hostByte) || h["Connection"] == nil || h["Upgrade"] == nil {
		return "", false
	}
	delete(h, "Host")
	return host[0], true
}

// The bytes of each part of a head: fewer than RFC 9112 and 3986 allow.
const (
	pathByte uint8 = 1 << iota
	queryByte
	nameByte
	valueByte
	hostByte
)

var byteKinds = func() (kinds [256]uint8) {
	for b := '!'; b <= '~'; b++ {
		kinds[b] = valueByte
	}
	kinds[' '], kinds['\t'] = valueByte, valueByte
	add := func(chars string, kind uint8) {
		for i := range len(chars) {
			kinds[chars[i]] |= kind
		}
	}
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	add(plain, pathByte|queryByte|nameByte|hostByte)
	add("-._~/", pathByte)
	add("-._~/=&:,@!*", queryByte)
	add("-", nameByte)
	add("-.:[]", hostByte)
	return kinds
}()

// only says that all bytes of s are of a kind.
func only(s string, kind uint8) bool {
	for i := range len(s) {
		if byteKinds[s[i]]&kind == 0 {
			return false
		}
	}
	return true
}
