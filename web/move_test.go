package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/socketio"
	"github.com/meshrt/meshrt/web/webtest"
)

// onMovers is onBoxes with nodes between which sessions move.
func onMovers(t *testing.T, cfg Config, test func(t *testing.T, boxes []*box)) {
	t.Helper()
	onBoxesWith(t, 3, cfg, node.Config{SessionsMove: true}, test)
}

// probe is a websocket that p opens at another node, up to its upgrade.
func (p *poller) probe(at *box) *webtest.Conn {
	p.t.Helper()
	ws := at.clients.Dial("/socket.io/?EIO=4&transport=websocket&sid=" + p.sid)
	ws.Send("2probe")
	ws.Expect("3probe")
	return ws
}

func publish(t *testing.T, at *box, room string, data int) {
	t.Helper()
	if status, body := at.ops.Post("/api/publish", fmt.Sprintf(`{"room":%q,"event":"e","data":%d}`, room, data)); status != 200 {
		t.Fatal(body)
	}
}

func openSessions(b *box) string {
	open := b.socketio.Stats().Engine.Open
	return fmt.Sprintf("%d polling, %d websocket, %d sessions", open["polling"], open["websocket"], b.node.Stats().Sessions)
}

// The node that had the session may die: its client has moved.
func TestWebSocketAtAnotherNodeTakesTheSessionThere(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		waiting := p.hang(b[1])
		ws := p.probe(b[2])
		if got := soon(t, waiting, time.Second); got != "200 6" {
			t.Errorf("the poll got %s", got)
		}
		p.post(b[1], `421["join","r"]`)
		time.Sleep(time.Second)
		publish(t, b[1], "r", 1)
		time.Sleep(time.Second)
		ws.Send("5", `422["join","s"]`) // what came for the polls that are no more, first
		ws.Expect(`431[{"ok":true}]`, `42["e",1]`, `432[{"ok":true}]`)
		if here, there := openSessions(b[0]), openSessions(b[2]); here != "0 polling, 0 websocket, 0 sessions" || there != "0 polling, 1 websocket, 1 sessions" {
			t.Errorf("sessions here %s, there %s", here, there)
		}
		b[0].host.Kill()
		for k, room := range []string{"r", "s", "r", "s"} {
			publish(t, b[1], room, k)
			ws.Expect(fmt.Sprintf(`42["e",%d]`, k))
		}
		ws.Send(`42["publish","r","x",1]`, `423["leave","r"]`)
		ws.Expect(`433[{"ok":true}]`)
		ws.Bye()
		time.Sleep(10 * time.Second)
		if left := openSessions(b[2]); left != "0 polling, 0 websocket, 0 sessions" {
			t.Errorf("left behind: %s", left)
		}
	})
}

// One answer is missing when the client upgrades, an attachment comes behind it,
// and there are two namespaces.
func TestNothingOfAClientIsLostWhenItMoves(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		for _, x := range b {
			x.node.Namespace("/two").On("echo", func(e *node.Event) { e.AckArgs(e.Args, e.Attachments) })
		}
		p := open(t, b[0], b[1])
		p.post(b[1], `40/two,`)
		p.get(b[1])
		p.post(b[2], `451-["publish","r","bin",{"_placeholder":true,"num":0}]`) // its attachment comes later
		q := open(t, b[1], b[1])
		q.post(b[1], `420["join","r"]`)
		q.want(b[1], `200 430[{"ok":true}]`)
		ws := p.probe(b[2])
		ws.Send("5")
		ws.SendBinary([]byte{1, 2, 3})
		q.want(b[1], "200 451-[\"bin\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID")
		ws.Send(`42/two,7["echo",1]`)
		ws.Expect(`43/two,7[1]`)
		ws.Send("41/two,", `42/two,8["echo",1]`)
		ws.ExpectClose(websocket.StatusNormalClosure)
	})
}

// A websocket that comes to nothing leaves the session on polling.
func TestSessionStaysWhenItsUpgradeIsGivenUp(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		for i, give := range []func(ws *webtest.Conn){
			func(ws *webtest.Conn) { ws.Close() },
			func(ws *webtest.Conn) { ws.Bye() },
			func(ws *webtest.Conn) { ws.Send("4hello"); ws.ExpectClose(websocket.StatusProtocolError) },
			func(ws *webtest.Conn) { time.Sleep(11 * time.Second) },
		} {
			give(p.probe(b[2]))
			time.Sleep(time.Second)
			p.post(b[1], fmt.Sprintf(`42%d["join","r"]`, i))
			p.want(b[1], fmt.Sprintf(`200 43%d[{"ok":true}]`, i))
		}
		ws := p.probe(b[2])
		ws.Send("5", `427["join","s"]`)
		ws.Expect(`437[{"ok":true}]`)
	})
}

// Two websockets at once, at two nodes: the first one that tries has it.
func TestOneWebSocketAtATimeMayTakeASession(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		first := p.probe(b[1])
		second := b[2].clients.Dial("/socket.io/?EIO=4&transport=websocket&sid=" + p.sid)
		second.ExpectClose(websocket.StatusPolicyViolation)
		first.Send("5", `421["join","r"]`)
		first.Expect(`431[{"ok":true}]`)
	})
}

// Where a node is out of reach of another, nobody moves: the websocket is passed on.
func TestSessionsStayWhileAMemberIsCutOff(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[0])
		b[1].host.Kill()
		time.Sleep(10 * time.Millisecond)
		ws := p.probe(b[2])
		ws.Send("5", `421["join","r"]`)
		ws.Expect(`431[{"ok":true}]`)
		if here, there := openSessions(b[0]), openSessions(b[2]); here != "0 polling, 1 websocket, 1 sessions" || there != "0 polling, 0 websocket, 0 sessions" {
			t.Errorf("sessions here %s, there %s", here, there)
		}
	})
}

// A death in the middle of a move closes the websocket: the client connects again.
func TestClientWhoseNodeDiesInAMoveIsClosed(t *testing.T) {
	onMovers(t, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		ws := p.probe(b[2])
		b[0].host.Kill()
		ws.Send("5")
		start := time.Now()
		ws.ExpectClose(websocket.StatusNormalClosure)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestSessionsMoveWithinTheLimitsOfClients(t *testing.T) {
	onMovers(t, Config{MaxConns: 1, SocketIO: socketio.Config{}}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		full := open(t, b[2], b[2])
		ws := p.probe(b[2]) // has no place there: it is passed on
		ws.Send("5", `421["join","r"]`)
		ws.Expect(`431[{"ok":true}]`)
		if got := openSessions(b[2]); got != "1 polling, 0 websocket, 1 sessions" {
			t.Errorf("sessions %s", got)
		}
		full.post(b[2], "1")
		q := open(t, b[1], b[1])
		time.Sleep(time.Second)
		up := q.probe(b[2])
		up.Send("5", `421["join","r"]`)
		up.Expect(`431[{"ok":true}]`)
		again := open(t, b[1], b[1]) // the place of the one that has moved
		again.post(b[1], "1")
	})
}
