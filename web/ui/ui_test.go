package ui

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func TestServesThePagesWithTheirTypes(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		status         int
		contentType    string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/?ws=/realtime", 200, "text/html; charset=utf-8"},
		{"GET", "/main.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/chat.css", 200, "text/css; charset=utf-8"},
		{"GET", "/favicon.svg", 200, "image/svg+xml"},
		{"GET", "/classic/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/classic/", 200, "text/html; charset=utf-8"},
		{"GET", "/classic/classic.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/classic", 301, "text/html; charset=utf-8"},
		{"GET", "/classic/missing.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/classic/../main.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/classic/main.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/classic.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/missing", 404, "text/plain; charset=utf-8"},
		{"GET", "/missing.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/chat/main.js", 404, "text/plain; charset=utf-8"},
		{"GET", "/../ui.go", 404, "text/plain; charset=utf-8"},
		{"POST", "/", 405, "text/plain; charset=utf-8"},
		{"POST", "/classic/", 405, "text/plain; charset=utf-8"},
	} {
		r := get(t, tt.method, tt.target)
		if r.StatusCode != tt.status || r.Header.Get("Content-Type") != tt.contentType {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.target,
				r.StatusCode, r.Header.Get("Content-Type"), tt.status, tt.contentType)
		}
	}
}

func TestEachAnswerCarriesTheHeadersThatGuardThePage(t *testing.T) {
	for _, target := range []string{"/", "/main.js", "/missing", "/classic", "/classic/", "/classic/classic.js"} {
		h := get(t, "GET", target).Header
		for name, want := range map[string]string{
			"Content-Security-Policy": policy("example.com"), // the host of httptest
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", target, name, got, want)
			}
		}
	}
}

func TestPolicyNamesNoHostButOurs(t *testing.T) {
	const self = "connect-src 'self'; "
	for host, want := range map[string]string{
		"chat.example.com":     "connect-src 'self' ws://chat.example.com wss://chat.example.com; ",
		"127.0.0.1:8080":       "connect-src 'self' ws://127.0.0.1:8080 wss://127.0.0.1:8080; ",
		"[::1]:8080":           self,
		"a.example b.example":  self,
		"a.example;script-src": self,
		"*":                    self,
		"*.example.com":        self,
		"":                     self,
	} {
		got := policy(host)
		if !strings.Contains(got, want) {
			t.Errorf("host %q: got %q, want %q in it", host, got, want)
		}
		if !strings.HasPrefix(got, "default-src 'none'; script-src 'self'; style-src 'self'; ") || strings.Contains(got, "unsafe") {
			t.Errorf("host %q: %q is not strict", host, got)
		}
	}
}

// forbidden finds what the policy would stop in the browser, or what would make
// text into HTML.
var forbidden = map[string]*regexp.Regexp{
	"another host":    regexp.MustCompile(`(?i)\b(https?|wss?):(\\?/){2}|["'(=]\s*//\w`),
	"script content":  regexp.MustCompile(`(?i)<script[^>]*>\s*[^<\s]`),
	"script handler":  regexp.MustCompile(`(?i)<\w[^>]*\son\w+\s*=|javascript:`),
	"inline style":    regexp.MustCompile(`(?i)<style|\sstyle\s*=\s*["']|setAttribute\(\s*["']style`),
	"import of style": regexp.MustCompile(`(?i)@import`),
	"text as HTML":    regexp.MustCompile(`(?i)(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser`),
}

// namespace looks like another host but is only a name.
const namespace = `xmlns="http://www.w3.org/2000/svg"`

func faults(text string) []string {
	var names []string
	text = strings.ReplaceAll(text, namespace, "")
	for name, pattern := range forbidden {
		if pattern.MatchString(text) {
			names = append(names, name)
		}
	}
	return names
}

func TestThePagesLoadNothingFromElsewhereAndHaveNothingInline(t *testing.T) {
	for name, text := range files(t) {
		for _, fault := range faults(text) {
			t.Errorf("%s has %s", name, fault)
		}
	}
}

func TestFaultsOfPagesAreFound(t *testing.T) {
	for text, want := range map[string]string{
		`<link href="https://fonts.example/x.css">`:  "another host",
		`<img src="//cdn.example/x.png">`:            "another host",
		`new WebSocket('wss://elsewhere.example')`:   "another host",
		`background: url(//cdn.example/x)`:           "another host",
		`<script>start()</script>`:                   "script content",
		`<script type="module">start()</script>`:     "script content",
		`<script src="a.js">start()</script>`:        "script content",
		`<button onclick="go()">`:                    "script handler",
		`<a href="javascript:go()">`:                 "script handler",
		`<p style="color: red">`:                     "inline style",
		`<style>p {}</style>`:                        "inline style",
		`e.setAttribute('style', 'color: red')`:      "inline style",
		`@import url(other.css);`:                    "import of style",
		`e.innerHTML = text`:                         "text as HTML",
		`<script type="module" src="a.js"></script>`: "",
		`// a comment, not a host`:                   "",
		`<svg ` + namespace + `>`:                    "",
	} {
		if got := strings.Join(faults(text), ", "); got != want {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
}

// references finds what a page names: imports of modules, links and sources.
var references = regexp.MustCompile(`(?:\bfrom\s|src=|href=)\s*['"]([^'"]+)['"]`)

// bundle is what the classic page names and another handler serves.
const bundle = "/socket.io/socket.io.js"

func TestWhatThePagesNameIsThereAndNothingElseIs(t *testing.T) {
	texts := files(t)
	unused := map[string]bool{}
	for name := range texts {
		unused[name] = path.Base(name) != "index.html"
	}
	for name, text := range texts {
		for _, m := range references.FindAllStringSubmatch(text, -1) {
			target := path.Join(path.Dir(name), m[1])
			if strings.HasSuffix(m[1], "/") {
				target = path.Join(target, "index.html")
			}
			if _, ok := texts[target]; !ok && m[1] != bundle {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
			unused[target] = false
		}
	}
	for name, is := range unused {
		if is {
			t.Errorf("nothing names %s", name)
		}
		if contentTypes[path.Ext(name)] == "" {
			t.Errorf("%s has no content type", name)
		}
	}
}

// Who knows the tutorial must find its client here.
func TestTheClassicPageIsTheTutorialsClient(t *testing.T) {
	texts := files(t)
	for name, parts := range map[string][]string{
		"classic/index.html": {`<script src="` + bundle + `"></script>`, `<form`, `<input`, `<ul`},
		"classic/classic.js": {"const socket = io();", "socket.emit('chat message', input.value)", "socket.on('chat message', "},
	} {
		for _, part := range parts {
			if !strings.Contains(texts[name], part) {
				t.Errorf("%s has no %s", name, part)
			}
		}
	}
}

// The script opens drawers at the widths at which the styles take the columns away.
func TestTheWidthsOfScriptAndStylesAreTheSame(t *testing.T) {
	texts := files(t)
	queries := regexp.MustCompile(`'(\(max-width: [0-9]+rem\))'`).FindAllStringSubmatch(texts["main.js"], -1)
	if len(queries) != 2 {
		t.Fatalf("main.js has %d widths, want 2", len(queries))
	}
	for _, m := range queries {
		if !strings.Contains(texts["chat.css"], "@media "+m[1]+" {") {
			t.Errorf("chat.css does not have the width %s of main.js", m[1])
		}
	}
}

// Tests in browsers find the parts of the page by these names.
func TestThePageHasTheHooksForTests(t *testing.T) {
	html := files(t)["index.html"]
	for _, id := range []string{"name-input", "room-input", "enter", "message-input", "send", "log", "message",
		"connection-state", "node-name", "room", "leave", "retry", "jump", "room-list", "room-link", "join-input", "join",
		"unread-elsewhere", "people", "person", "open-rooms", "open-people", "drawer", "drawer-close", "classic", "empty"} {
		if n := strings.Count(html, `data-testid="`+id+`"`); n != 1 {
			t.Errorf("data-testid %q is there %d times, want 1", id, n)
		}
	}
}

// files is the text of each file by its path below the root.
func files(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, root := range []string{"chat", "classic"} {
		err := fs.WalkDir(embedded, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(embedded, name)
			texts[strings.TrimPrefix(name, "chat/")] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}
