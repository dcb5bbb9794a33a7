package engineio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// answer is what a request got: "200 body", or "error" when the connection broke.
type answer string

const (
	unknownSID answer = `400 {"code":1,"message":"Session ID unknown"}`
	badRequest answer = `400 {"code":3,"message":"Bad request"}`
)

// payload joins packets.
func payload(packets ...string) string { return strings.Join(packets, "\x1e") }

// poller is a session on polling, seen from both sides.
type poller struct {
	h   *host
	sid string
	s   *session
}

// polling opens a session on polling.
func (h *host) polling(a *app) *poller {
	h.t.Helper()
	status, body := h.get("GET", "EIO=4&transport=polling", nil)
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &open); status != 200 || err != nil {
		h.t.Fatalf("handshake: %d %s", status, body)
	}
	return &poller{h, open.SID, <-a.opened}
}

func (p *poller) query() string { return "EIO=4&transport=polling&sid=" + p.sid }

// do makes a request of the session, without a helper of the test's goroutine.
func (p *poller) do(ctx context.Context, method string, body io.Reader, header http.Header) answer {
	r, err := http.NewRequestWithContext(ctx, method, p.h.url(p.query()), body)
	if err != nil {
		return answer(err.Error())
	}
	for key, values := range header {
		r.Header[key] = values
	}
	res, err := p.h.http.Do(r)
	if err != nil {
		return "error"
	}
	return readAnswer(res)
}

func readAnswer(res *http.Response) answer {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "error"
	}
	return answer(fmt.Sprintf("%d %s", res.StatusCode, body))
}

func (p *poller) get() answer { return p.do(context.Background(), "GET", nil, nil) }

func (p *poller) post(packets ...string) answer {
	return p.do(context.Background(), "POST", strings.NewReader(payload(packets...)), nil)
}

// hang is a GET that waits, and its answer to come. In a bubble it has arrived when
// hang returns.
func (p *poller) hang() <-chan answer {
	got := make(chan answer, 1)
	go func() { got <- p.get() }()
	synctest.Wait()
	return got
}

// wantGet checks the answer to a GET.
func (p *poller) wantGet(want answer) {
	p.h.t.Helper()
	if got := p.get(); got != want {
		p.h.t.Errorf("GET: %q, want %q", got, want)
	}
}

// wantPost checks that a POST is taken.
func (p *poller) wantPost(packets ...string) {
	p.h.t.Helper()
	if got := p.post(packets...); got != "200 ok" {
		p.h.t.Fatalf("POST of %q: %q, want 200 ok", packets, got)
	}
}

// wantNow checks, in a bubble, an answer that must be there by now.
func wantNow(t *testing.T, got <-chan answer, want answer) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-got:
		if a != want {
			t.Errorf("got %q, want %q", a, want)
		}
	default:
		t.Errorf("no answer yet, want %q", want)
	}
}

// wantNothing checks, in a bubble, that there is no answer yet.
func wantNothing(t *testing.T, got <-chan answer) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-got:
		t.Errorf("got %q, want no answer yet", a)
	default:
	}
}

// raw is a connection of a client that does as it likes.
type raw struct {
	net.Conn
	in *bufio.Reader
}

// raw sends the first part of a request. In a bubble it has arrived when raw
// returns.
func (p *poller) raw(request, rest string) *raw {
	p.h.t.Helper()
	conn, err := p.h.dial(context.Background(), "tcp", p.h.addr)
	if err != nil {
		p.h.t.Fatal(err)
	}
	p.h.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s /engine.io/?%s HTTP/1.1\r\nHost: x\r\n%s", request, p.query(), rest)
	synctest.Wait()
	return &raw{conn, bufio.NewReader(conn)}
}

// read is the answer that comes on the connection.
func (c *raw) read() answer {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return "error"
	}
	return readAnswer(res)
}

// websocket opens a websocket for the session.
func (p *poller) websocket() *client {
	p.h.t.Helper()
	ws, _, err := websocket.Dial(context.Background(), p.h.url("EIO=4&transport=websocket&sid="+p.sid),
		&websocket.DialOptions{HTTPClient: p.h.http})
	if err != nil {
		p.h.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	p.h.t.Cleanup(func() { ws.CloseNow() })
	return &client{ws, p.h.t}
}

// probe opens a websocket for the session and probes it.
func (p *poller) probe() *client {
	p.h.t.Helper()
	c := p.websocket()
	c.send("2probe")
	if got := c.read(); got != "3probe" {
		p.h.t.Fatalf("answer to the probe: %q", got)
	}
	return c
}

// upgrade moves the session to a websocket.
func (p *poller) upgrade() *client {
	p.h.t.Helper()
	c := p.probe()
	c.send("5")
	synctest.Wait()
	if got := p.s.Transport(); got != engineio.WebSocket {
		p.h.t.Fatalf("transport %q after the upgrade", got)
	}
	return c
}
