package web

import (
	"bufio"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// browserHandshake is what a browser sends.
const browserHandshake = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: app.example.com:8080\r\nConnection: keep-alive, Upgrade\r\n" +
	"Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nUpgrade: websocket\r\nOrigin: https://app.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate\r\nCookie: a=b; c=\"d\"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"

// asNetHTTP fails unless net/http reads text as r, which takes n bytes of it.
func asNetHTTP(t *testing.T, text string, r *http.Request, n int) {
	t.Helper()
	in := bufio.NewReaderSize(strings.NewReader(text), len(text)+16)
	want, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", text, err)
	}
	if rest, _ := io.ReadAll(in); len(text)-len(rest) != n {
		t.Errorf("%q: %d bytes were taken, net/http takes %d", text, n, len(text)-len(rest))
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%q is\n%+v, net/http has\n%+v", text, r, want)
	}
}

func TestHandshakesOfClientsAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"a program's":  connectRequest,
		"a browser's":  browserHandshake,
		"with frames":  connectRequest + "\x81\x82\x00\x00\x00\x0040",
		"spaces":       strings.Replace(connectRequest, "Upgrade: websocket", "uPGRADE:\t WebSocket \t", 1),
		"an empty one": strings.Replace(connectRequest, "Host:", "X-Empty:\r\nHost:", 1),
	} {
		r, n, ok := parseHandshake(text)
		if !ok {
			t.Errorf("%s: is not read", name)
			continue
		}
		asNetHTTP(t, text, r, n)
	}
}

// connectRequest is what a program that is a client of the official kind sends.
const connectRequest = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n" +
	"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

func TestWhatIsNoPlainHandshakeIsLeftToNetHTTP(t *testing.T) {
	with := func(field string) string {
		return strings.Replace(connectRequest, "\r\n\r\n", "\r\n"+field+"\r\n\r\n", 1)
	}
	target := func(target string) string {
		return strings.Replace(connectRequest, "/socket.io/?EIO=4&transport=websocket", target, 1)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"half of it":           connectRequest[:len(connectRequest)-2],
		"POST":                 strings.Replace(connectRequest, "GET", "POST", 1),
		"lower case":           strings.Replace(connectRequest, "GET", "get", 1),
		"a space more":         strings.Replace(connectRequest, "GET ", "GET  ", 1),
		"a space behind":       strings.Replace(connectRequest, " HTTP/1.1", "  HTTP/1.1", 1),
		"HTTP/1.0":             strings.Replace(connectRequest, "HTTP/1.1", "HTTP/1.0", 1),
		"HTTP/2":               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"bare LF":              strings.ReplaceAll(connectRequest, "\r\n", "\n"),
		"an LF within":         strings.Replace(connectRequest, "127.0.0.1\r\n", "127.0.0.1\n", 1),
		"a CR within":          strings.Replace(connectRequest, "127.0.0.1\r\n", "127.0.0.1\r", 1),
		"an empty line before": "\r\n" + connectRequest,
		"an absolute URI":      target("http://127.0.0.1/socket.io/?EIO=4&transport=websocket"),
		"no path":              target("*"),
		"an authority":         target("127.0.0.1:80"),
		"an escape":            target("/socket.io/?EIO=4&transport=websocket&a=%20"),
		"an escape in path":    target("/socket%2eio/?EIO=4&transport=websocket"),
		"a fragment":           target("/socket.io/?EIO=4&transport=websocket#a"),
		"an empty query":       target("/socket.io/?"),
		"a semicolon":          target("/socket.io/?EIO=4;transport=websocket"),
		"no host":              strings.Replace(connectRequest, "Host: 127.0.0.1\r\n", "", 1),
		"an empty host":        strings.Replace(connectRequest, "127.0.0.1", "", 1),
		"two hosts":            with("Host: other"),
		"a host with a path":   strings.Replace(connectRequest, "Host: 127.0.0.1", "Host: 127.0.0.1/a", 1),
		"a field twice":        with("X-Forwarded-For: a\r\nx-forwarded-for: b"),
		"a folded field":       with("X-A: a\r\n b"),
		"space in a name":      with("X A: a"),
		"space behind a name":  with("X-A : a"),
		"no name":              with(": a"),
		"no colon":             with("X-A"),
		"a byte of 8 bits":     with("X-A: \x80"),
		"a control":            with("X-A: \x00"),
		"a length":             with("Content-Length: 5"),
		"a length of nothing":  with("Content-Length: 0"),
		"chunks":               with("Transfer-Encoding: chunked"),
		"an expectation":       with("Expect: 100-continue"),
		"a trailer":            with("Trailer: X"),
		"only Pragma":          with("Pragma: no-cache"),
		"close":                strings.Replace(connectRequest, "Connection: Upgrade", "Connection: Upgrade, close", 1),
		"another connection":   strings.Replace(connectRequest, "Connection: Upgrade", "Connection: keep-alive", 1),
		"another upgrade":      strings.Replace(connectRequest, "websocket\r\nSec", "h2c\r\nSec", 1),
		"no upgrade":           "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"very many fields":     with(manyFields(handshakeFields)),
	} {
		if _, _, ok := parseHandshake(text); ok {
			t.Errorf("%s: %q is taken", name, text)
		}
	}
	if _, _, ok := parseHandshake(with(manyFields(handshakeFields - 5))); !ok {
		t.Errorf("%d fields are too many", handshakeFields)
	}
}

// manyFields are n fields with names of their own.
func manyFields(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, "X-"+strings.Repeat("a", i)+"b: c")
	}
	return strings.Join(fields, "\r\n")
}

// What is taken, net/http would have read in the same way: nobody before us reads it in
// another either.
func FuzzParseHandshake(f *testing.F) {
	f.Add(connectRequest)
	f.Add(browserHandshake)
	f.Add(strings.Replace(connectRequest, "Host: 127.0.0.1", "Host: [::1]:80", 1))
	f.Add(strings.Replace(connectRequest, "/socket.io/?", "//a/../.?", 1))
	f.Fuzz(func(t *testing.T, text string) {
		if r, n, ok := parseHandshake(text); ok {
			asNetHTTP(t, text, r, n)
		}
	})
}
