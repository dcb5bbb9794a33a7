package plain_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

// Real sockets, real time: commands, broadcasts and ends from everywhere at once.
// The race detector, the leak check of TestMain and host.stop judge too.
func TestEveryConnectionEndsExactlyOnce(t *testing.T) {
	const clients = 40
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, l, plain.Config{QueueGroups: 64}, cluster.Config{})
	h.use(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
	h.main.OnConnect(func(s *node.Session) error {
		if s.Handshake().Query.Has("kick") {
			s.Disconnect(false)
		}
		return nil
	})
	h.main.On("bye", func(e *node.Event) { e.Session.Disconnect(true) })
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { h.live(i) })
	}
	for i := range 100 {
		h.main.To("r").Emit("noise", i)
	}
	all.Wait()
	h.stop()
	stats := h.server.Stats()
	var closed uint64
	for _, n := range stats.Closed {
		closed += n
	}
	if stats.Opened != clients || closed != clients || len(h.left) != clients {
		t.Errorf("stats %+v and %d sessions left, want %d", stats, len(h.left), clients)
	}
}

// The same of streams, half of them over HTTP/2.
func TestEveryStreamEndsExactlyOnce(t *testing.T) {
	const readers = 40
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, l, plain.Config{QueueGroups: 64, PingTimeout: 50 * time.Millisecond}, cluster.Config{})
	h.main.OnConnect(func(s *node.Session) error {
		if s.Handshake().Query.Has("kick") {
			s.Disconnect(false)
		}
		return nil
	})
	h.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	h.useHTTP2()
	http2 := h.http
	h.use(h.dial)
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			if i%2 == 0 {
				h.follow(h.http, i/2)
			} else {
				h.follow(http2, i/2)
			}
		})
	}
	noise := strings.Repeat("x", 50_000)
	for range 100 {
		h.main.To("r").Emit("noise", noise)
		time.Sleep(time.Millisecond)
	}
	h.stopRun()
	all.Wait()
	h.stop()
	stats := h.server.Stats().Streams
	var closed uint64
	for _, n := range stats.Closed {
		closed += n
	}
	if stats.Opened == 0 || closed != stats.Opened || len(h.left) != int(closed) || stats.Closed["internal error"] != 0 {
		t.Errorf("stats %+v and %d sessions left, want one end for each that opened", stats, len(h.left))
	}
}

// follow is a reader of one of four manners, which reads to the end of Run at the
// latest.
func (h *host) follow(client *http.Client, i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	query := map[int]string{0: "&kick"}[i%4]
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://host/sse?room=r"+query, nil)
	res, err := client.Do(req)
	if err != nil {
		h.t.Errorf("reader %d: %v", i, err)
		return
	}
	defer res.Body.Close()
	switch i % 4 {
	case 1:
		io.CopyN(io.Discard, res.Body, 1<<20)
	case 2:
		<-h.ran // reads nothing
	default:
		io.Copy(io.Discard, res.Body)
	}
}

// live is a client of one of five manners.
func (h *host) live(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	query := map[int]string{0: "?kick"}[i%5]
	ws, _, err := websocket.Dial(ctx, "http://host/ws"+query, &websocket.DialOptions{HTTPClient: h.http})
	if err != nil {
		h.t.Errorf("client %d: %v", i, err)
		return
	}
	defer ws.CloseNow()
	for n := range 20 { // errors are the other side's end
		ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"join","id":%d,"room":"r"}`, n))
		ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"publish","room":"r","event":"n","data":%d}`, n))
		if i%5 > 1 {
			ws.Read(ctx)
		}
	}
	switch i % 5 {
	case 3:
		ws.Close(websocket.StatusNormalClosure, "")
	case 4:
		ws.Write(ctx, websocket.MessageText, []byte(`{"type":"emit","event":"bye"}`))
		for err == nil {
			_, _, err = ws.Read(ctx)
		}
	}
}
