package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
)

// A client that says twice that it upgrades, to a session that has just ended, is
// forgotten like any other.
func TestUpgradeSaidTwiceLeavesNothingBehind(t *testing.T) {
	onMovers(t, Config{MaxConns: 1}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		ws := p.probe(b[2])
		p.post(b[1], "1")
		ws.Send("5", "5")
		ws.ExpectClose(websocket.StatusNormalClosure)
		time.Sleep(time.Minute)
		if left := openSessions(b[2]); left != "0 polling, 0 websocket, 0 sessions" {
			t.Errorf("left behind: %s", left)
		}
		open(t, b[2], b[2]) // has its place
	})
}

// A websocket that has not upgraded holds up no node that ends.
func TestNodeEndsThoughAWebSocketHasNotUpgraded(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		ws := p.probe(b[2])
		start := time.Now()
		ended := make(chan time.Duration)
		go func() {
			b[2].stop()
			ended <- time.Since(start)
		}()
		ws.ExpectClose(websocket.StatusGoingAway)
		if took := <-ended; took > 6*time.Second {
			t.Errorf("the node took %v to end", took)
		}
		time.Sleep(time.Second)
		p.post(b[1], `421["join","r"]`) // the session is where it was
		p.want(b[1], `200 431[{"ok":true}]`)
	})
}

// Whoever makes a move of his own session fail keeps nobody else from moving.
func TestClientCannotStopTheMovesOfOthers(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		hostile := open(t, b[0], b[1])
		ws := hostile.probe(b[2])
		hostile.post(b[1], "1")
		ws.Send("5")
		ws.ExpectClose(websocket.StatusNormalClosure)
		p := open(t, b[0], b[1])
		up := p.probe(b[2])
		up.Send("5", `421["join","r"]`)
		up.Expect(`431[{"ok":true}]`)
		if here := openSessions(b[2]); here != "0 polling, 1 websocket, 1 sessions" {
			t.Errorf("sessions %s: the next client has not moved", here)
		}
	})
}

// Browsers send the headers of a page with polls, and none with a websocket.
func TestNamespaceJoinedAfterAMoveKnowsTheFirstRequest(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		for _, x := range b {
			x.node.Namespace("/two").OnConnect(func(s *node.Session) error {
				if h := s.Handshake(); h.Header.Get("Authorization") != "ann" || h.Query.Get("user") != "ann" {
					return errors.New("a stranger")
				}
				return nil
			})
		}
		_, body := b[0].clients.Get("/socket.io/?EIO=4&transport=polling&user=ann", "Authorization", "ann")
		var hello struct{ SID string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &hello); err != nil {
			t.Fatal(body)
		}
		p := &poller{t, "/socket.io/?EIO=4&transport=polling&sid=" + hello.SID, hello.SID}
		ws := p.probe(b[1])
		ws.Send("5", "40/two,")
		if got, err := ws.Next(); err != nil || !strings.HasPrefix(got, `40/two,{"sid"`) {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

// A client that has left its only namespace, and one that was disconnected from it
// and does not know yet, are not taken for ones that never joined.
func TestClientWithoutNamespacesMoves(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		p.post(b[1], "41")
		q := open(t, b[0], b[1])
		b[1].node.In("/").Disconnect(context.Background(), false)
		time.Sleep(time.Second)
		left, kicked := p.probe(b[2]), q.probe(b[2])
		left.Send("5")
		kicked.Send("5", `421["join","r"]`)
		kicked.Expect("41")
		time.Sleep(15 * time.Second)
		for range 2 { // heartbeats, past the connect timeout
			time.Sleep(10 * time.Second)
			for _, ws := range []*webtest.Conn{left, kicked} {
				ws.Expect("2")
				ws.Send("3")
			}
		}
		left.Send("40")
		if got, err := left.Next(); err != nil || !strings.HasPrefix(got, `40{"sid"`) {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

// A POST that never ends is the client's own affair.
func TestClientThatHoldsUpItsMoveHoldsUpNobodyElse(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		hostile := open(t, b[0], b[0])
		ws := hostile.probe(b[2])
		body, more := io.Pipe()
		defer more.Close()
		go b[0].clients.Client.Post("http://meshrt.test"+hostile.query, "text/plain", body)
		time.Sleep(time.Second)
		ws.Send("5")
		ws.ExpectClose(websocket.StatusNormalClosure)
		p := open(t, b[0], b[1])
		up := p.probe(b[2])
		up.Send("5", `421["join","r"]`)
		up.Expect(`431[{"ok":true}]`)
		if here := openSessions(b[2]); here != "0 polling, 1 websocket, 1 sessions" {
			t.Errorf("sessions %s: the next client has not moved", here)
		}
	})
}
