package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
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

// Whatever comes in the midst of a move, nothing is left of it, nothing waits for ever,
// and whoever is told that the client is disconnected may rely on that.
func TestMoveThatIsDisturbedLeavesNothingBehind(t *testing.T) {
	const seeds = 1 // a second each; more have found nothing
	disturb := map[string]func(b []*box, ws *webtest.Conn, p *poller){
		"old node stops":     func(b []*box, _ *webtest.Conn, _ *poller) { b[0].stop() },
		"new node stops":     func(b []*box, _ *webtest.Conn, _ *poller) { b[2].stop() },
		"third node stops":   func(b []*box, _ *webtest.Conn, _ *poller) { b[1].stop() },
		"old node dies":      func(b []*box, _ *webtest.Conn, _ *poller) { b[0].host.Kill() },
		"new node dies":      func(b []*box, _ *webtest.Conn, _ *poller) { b[2].host.Kill() },
		"third node dies":    func(b []*box, _ *webtest.Conn, _ *poller) { b[1].host.Kill() },
		"link breaks":        func(b []*box, _ *webtest.Conn, _ *poller) { b[0].host.Reset(b[2].host) },
		"client goes":        func(_ []*box, ws *webtest.Conn, _ *poller) { ws.Close() },
		"client closes":      func(_ []*box, ws *webtest.Conn, _ *poller) { ws.Bye() },
		"client polls":       func(b []*box, _ *webtest.Conn, p *poller) { b[0].clients.Get(p.query); b[2].clients.Get(p.query) },
		"another websocket":  func(b []*box, _ *webtest.Conn, p *poller) { b[1].clients.TryDial(p.upgrade()) },
		"websocket at home":  func(b []*box, _ *webtest.Conn, p *poller) { b[0].clients.TryDial(p.upgrade()) },
		"disconnected":       func(b []*box, _ *webtest.Conn, _ *poller) { b[1].node.In("/").Disconnect(context.Background(), true) },
		"namespace is over":  func(b []*box, _ *webtest.Conn, _ *poller) { b[0].node.In("/").Disconnect(context.Background(), false) },
		"link is cut for 1s": func(b []*box, _ *webtest.Conn, _ *poller) { cutFor(b[0], b[2], time.Second) },
		"link is cut for 9s": func(b []*box, _ *webtest.Conn, _ *poller) { cutFor(b[1], b[0], 9*time.Second) },
	}
	for name, f := range disturb {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				onMovers(t, Config{MaxConns: 5}, func(t *testing.T, b []*box) { moveDisturbed(t, b, seed, f) })
			})
		}
	}
}

func (p *poller) upgrade() string { return "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid }

func cutFor(a, b *box, d time.Duration) {
	a.network.Cut(a.host, b.host)
	time.AfterFunc(d, func() { a.network.Heal(a.host, b.host) })
}

func moveDisturbed(t *testing.T, b []*box, seed uint64, f func(b []*box, ws *webtest.Conn, p *poller)) {
	r := rand.New(rand.NewPCG(seed, 3))
	for _, x := range b {
		for _, y := range b {
			x.network.SetDelay(x.host, y.host, time.Duration(r.IntN(80))*time.Millisecond)
		}
	}
	p := open(t, b[0], b[0])
	p.post(b[0], `421["join","r"]`)
	p.want(b[0], `200 431[{"ok":true}]`)
	ws := p.probe(b[2])
	var done sync.WaitGroup
	time.AfterFunc(time.Duration(r.IntN(400))*time.Millisecond, func() { done.Go(func() { f(b, ws, p) }) })
	asked := make(chan int, 1)
	go func() {
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		acks, _ := b[0].node.In("/").EmitWithAck(context.Background(), "q")
		changed, _ := b[0].node.In("/").Join(context.Background(), "more")
		asked <- len(acks.Answers) + len(acks.Silent) + changed.Sockets
	}()
	time.Sleep(100 * time.Millisecond)
	ws.Send("5")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := ws.Next(); err != nil {
				return
			}
		}
	}()
	time.Sleep(15 * time.Second)
	done.Wait()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Error("a question or a change hangs")
	}
	ws.Close()
	<-ended
	time.Sleep(time.Minute)
	for i, x := range b {
		if left := openSessions(x); left != "0 polling, 0 websocket, 0 sessions" || x.node.Stats().Rooms != 0 || x.admission.open != 0 {
			t.Errorf("left behind on node %d: %s, %d rooms, %d clients", i, left, x.node.Stats().Rooms, x.admission.open)
		}
		if topics := x.node.Cluster().Stats().Topics; topics != 0 {
			t.Errorf("node %d is interested in %d topics", i, topics)
		}
	}
}
