package engineio_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
)

// As TestEverySessionEndsExactlyOnce, for clients that poll, post, upgrade and
// leave in different ways.
func TestEveryPollingSessionEndsExactlyOnce(t *testing.T) {
	const clients = 60
	app := newApp(echo)
	l, _ := listenTCP(t)
	h := newHost(t, l, engineio.Config{QueueGroups: 64}, app)
	defer h.stop()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { h.livePolling(i) })
	}
	sessions := make([]*session, clients)
	for i := range sessions {
		sessions[i] = <-app.opened
		all.Go(func() { disturb(sessions[i], i) })
	}
	all.Wait()
	h.stop()
	for i, s := range sessions {
		if got := s.ends(); len(got) != 1 {
			t.Errorf("session %d: Closed was called with %v, want one reason", i, got)
		}
	}
	checkEnded(t, h.server.Stats(), clients)
}

// livePolling is a client of one of six manners, of which two just stop polling.
func (h *host) livePolling(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, body := h.get("GET", "EIO=4&transport=polling", nil)
	sid, _, _ := strings.Cut(strings.TrimPrefix(body, `0{"sid":"`), `"`)
	p := &poller{h: h, sid: sid}
	var requests sync.WaitGroup
	defer requests.Wait()
	poll := func(ctx context.Context, n int) {
		requests.Go(func() {
			for range n { // errors are the other side's end
				p.do(ctx, "GET", nil, nil)
			}
		})
	}
	hanging, abort := context.WithCancel(ctx)
	defer abort()
	poll(hanging, 3)
	for n := range 5 {
		p.do(ctx, "POST", strings.NewReader(fmt.Sprintf("4%d\x1e4x", n)), nil)
	}
	switch i % 6 {
	case 0: // leaves in order
		p.do(ctx, "POST", strings.NewReader("1"), nil)
	case 1: // polls twice at once
		poll(hanging, 1)
	case 2, 3:
		p.move(ctx, i%6 == 3)
	}
	abort()
	last, done := context.WithTimeout(ctx, 50*time.Millisecond)
	defer done()
	for strings.HasPrefix(string(p.do(last, "GET", nil, nil)), "200") { // the last one is aborted
	}
}

// move upgrades, hastily, and leaves without a word.
func (p *poller) move(ctx context.Context, probes bool) {
	ws, _, err := websocket.Dial(ctx, p.h.url("EIO=4&transport=websocket&sid="+p.sid), &websocket.DialOptions{HTTPClient: p.h.http})
	if err != nil {
		return // the session has ended
	}
	defer ws.CloseNow()
	if probes {
		ws.Write(ctx, websocket.MessageText, []byte("2probe"))
		ws.Read(ctx)
	}
	ws.Write(ctx, websocket.MessageText, []byte("5"))
	for range 5 {
		ws.Write(ctx, websocket.MessageText, []byte("4y"))
		ws.Read(ctx)
	}
}
