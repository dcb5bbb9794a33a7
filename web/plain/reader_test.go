package plain_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// reader is one end of an event stream.
type reader struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Reader
	id    string // of its session
	leave context.CancelFunc
}

// request makes a request for a stream. Cancelling it is the client's hanging up,
// as is a time after which no test waits: heartbeats would let a bubble's clock run
// for ever.
func (h *host) request(method, query string, header ...string) (*http.Response, context.CancelFunc) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	h.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://host/sse"+query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, cancel
}

// refused makes a request that gets no session.
func (h *host) refused(method, query string, header ...string) (res *http.Response, body string) {
	h.t.Helper()
	res, leave := h.request(method, query, header...)
	defer leave()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, string(all)
}

var opening = regexp.MustCompile("^retry: 1000\n: session ([^\n]+)\n\n$")

// stream opens a stream and reads its opening.
func (h *host) stream(query string, header ...string) *reader {
	h.t.Helper()
	res, leave := h.request("GET", query, header...)
	c := &reader{t: h.t, res: res, lines: bufio.NewReader(res.Body), leave: leave}
	first := c.read()
	m := opening.FindStringSubmatch(first)
	if res.StatusCode != http.StatusOK || m == nil {
		h.t.Fatalf("stream %s: %d %q", query, res.StatusCode, first)
	}
	c.id = m[1]
	return c
}

func (h *host) streamOf(rooms ...string) *reader {
	h.t.Helper()
	return h.stream("?" + url.Values{"room": rooms}.Encode())
}

// read is the next event with its blank line, or heartbeat, or what came of them
// before the end.
func (c *reader) read() (block string) {
	for {
		line, err := c.lines.ReadString('\n')
		block += line
		if err != nil || line == "\n" || block == ":\n" {
			return block
		}
	}
}

func (c *reader) want(blocks ...string) {
	c.t.Helper()
	for _, want := range blocks {
		if got := c.read(); got != want {
			c.t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// readAll reads until the response ends: what came, and whether it ended in order.
func (c *reader) readAll() (got string, inOrder bool) {
	all, err := io.ReadAll(c.lines)
	return string(all), err == nil
}

// wantEnd reads to the end, which must look like this to the client.
func (c *reader) wantEnd(got string, inOrder bool) {
	c.t.Helper()
	if g, o := c.readAll(); g != got || o != inOrder {
		c.t.Errorf("client got %q, in order %v, want %q, %v", g, o, got, inOrder)
	}
}

// wantBeat waits for a heartbeat, which must come at that time exactly.
func (c *reader) wantBeat(at time.Time) {
	c.t.Helper()
	c.want(":\n")
	if late := time.Since(at); late != 0 {
		c.t.Errorf("heartbeat came %v after its time", late)
	}
}

// event is an event as a stream has it.
func event(name, data string) string {
	return "event: " + name + "\ndata: " + strings.ReplaceAll(data, "\n", "\ndata: ") + "\n\n"
}
