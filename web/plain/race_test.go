package plain_test

import (
	"context"
	"fmt"
	"net"
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
