package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/socketio"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

// box is one node of a cluster in memory, with the server for its clients.
type box struct {
	*Server
	network *clustertest.Network
	host    *clustertest.Host
	clients *webtest.Server
	ops     *webtest.Server
	stop    func() // in order
}

// onBoxes runs test with n joined nodes in a bubble.
func onBoxes(t *testing.T, n int, cfg Config, test func(t *testing.T, boxes []*box)) {
	t.Helper()
	onBoxesWith(t, n, cfg, node.Config{}, test)
}

func onBoxesWith(t *testing.T, n int, cfg Config, nc node.Config, test func(t *testing.T, boxes []*box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := clustertest.NewNetwork(1)
		var boxes []*box
		for i := range n {
			boxes = append(boxes, newBoxWith(t, network, fmt.Sprint("n", i), cfg, nc))
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		test(t, boxes)
		for _, b := range boxes {
			b.stop()
			b.clients.Stop()
			b.ops.Stop()
		}
		time.Sleep(time.Minute) // memberlist
	})
}

func newBox(t *testing.T, network *clustertest.Network, name string, cfg Config) *box {
	return newBoxWith(t, network, name, cfg, node.Config{})
}

func newBoxWith(t *testing.T, network *clustertest.Network, name string, cfg Config, nc node.Config) *box {
	id, host := wire.NewNodeID(), network.Host(name)
	host.SetNode(name + "@" + id.String())
	nc.Cluster = cluster.Config{ID: id, Name: name, Cluster: "test", Seeds: []string{network.Host("n0").Advertise().String()}, Net: host}
	n, err := node.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	relay.Attach(n.Namespace("/"))
	cfg.Net = host
	s, err := New(cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	nodeCtx, stopNode := context.WithCancel(context.Background())
	web, hub := make(chan struct{}), make(chan struct{})
	go func() { defer close(web); s.Run(ctx) }()
	go func() { defer close(hub); n.Run(nodeCtx) }()
	b := &box{Server: s, network: network, host: host, clients: webtest.Serve(t, s.Handler()), ops: webtest.Serve(t, s.apiMux)}
	b.stop = func() {
		stop()
		<-web
		stopNode()
		<-hub
	}
	return b
}

// poller is a Socket.IO client on polling; each request names the node it goes to.
type poller struct {
	t     *testing.T
	query string
	sid   string
}

// open opens a session, and the namespace through another node.
func open(t *testing.T, at, via *box) *poller {
	t.Helper()
	_, body := at.clients.Get("/socket.io/?EIO=4&transport=polling")
	var hello struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &hello); err != nil {
		t.Fatalf("handshake: %s", body)
	}
	p := &poller{t, "/socket.io/?EIO=4&transport=polling&sid=" + hello.SID, hello.SID}
	p.post(via, "40")
	if got := p.get(via); !strings.HasPrefix(got, `200 40{"sid":`) {
		t.Fatalf("namespace: %s", got)
	}
	return p
}

func (p *poller) get(at *box) string {
	p.t.Helper()
	status, body := at.clients.Get(p.query)
	return fmt.Sprint(status, " ", body)
}

// hang is a get that waits.
func (p *poller) hang(at *box) <-chan string {
	got := make(chan string, 1)
	go func() {
		res, err := at.clients.Client.Get("http://meshrt.test" + p.query)
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(b)))
	}()
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	return got
}

func (p *poller) post(at *box, body string) {
	p.t.Helper()
	if status, got := at.clients.Post(p.query, body); status != 200 || got != "ok" {
		p.t.Fatalf("POST %.40q: %d %s", body, status, got)
	}
}

func (p *poller) want(at *box, want string) {
	p.t.Helper()
	if got := p.get(at); got != want {
		p.t.Errorf("GET: %.200s, want %.200s", got, want)
	}
}

// soon is the answer that must come within a moment of virtual time.
func soon(t *testing.T, got <-chan string, limit time.Duration) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(limit):
		t.Errorf("no answer within %v", limit)
		return ""
	}
}

const unknown = `400 {"code":1,"message":"Session ID unknown"}`

func TestSessionOnPollingIsServedByEveryNode(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		p.post(b[2], `421["join","r"]`)
		p.want(b[1], `200 431[{"ok":true}]`)
		waiting := p.hang(b[2])
		if status, body := b[1].ops.Post("/api/publish", `{"room":"r","event":"e","data":1}`); status != 200 {
			t.Fatal(body)
		}
		if got := soon(t, waiting, time.Second); got != `200 42["e",1]` {
			t.Errorf("got %s", got)
		}
		_, metrics := b[1].ops.Get("/metrics")
		for _, sample := range []string{`meshrt_forwarded_requests_total{dir="out",result="ok"} 3`, `meshrt_forwarded_requests{dir="in"} 0`, `meshrt_forward_connections 1`} {
			if !strings.Contains(metrics, "\n"+sample+"\n") {
				t.Errorf("no metric %s", sample)
			}
		}
	})
}

// Both ways, through another node: a megabyte of text and of bytes.
func TestLargeAndBinaryMessagesCrossNodes(t *testing.T) {
	onBoxes(t, 3, Config{SocketIO: socketio.Config{Engine: engineio.Config{QueueBytes: 8 << 20}}}, func(t *testing.T, b []*box) {
		p, q := open(t, b[0], b[1]), open(t, b[0], b[2])
		for _, one := range []*poller{p, q} {
			one.post(b[1], `420["join","r"]`)
			one.want(b[1], `200 430[{"ok":true}]`)
		}
		text := strings.Repeat("x", 999_900)
		p.post(b[2], `42["publish","r","big","`+text+`"]`)
		q.want(b[1], `200 42["big","`+text+`"]`)
		data := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00\xff\x1e", 240_000)))
		p.post(b[1], `451-["publish","r","bin",{"_placeholder":true,"num":0}]`+"\x1eb"+data)
		q.want(b[2], `200 451-["bin",{"_placeholder":true,"num":0}]`+"\x1eb"+data)
		if status, body := b[1].clients.Post(p.query, `42["x","`+text+`................................................................................................"]`); status != 413 || body != `{"code":3,"message":"Payload too large"}` {
			t.Errorf("over MaxPayload: %d %s", status, body)
		}
		time.Sleep(10 * time.Millisecond) // the owner learns it at about the same time
		p.want(b[2], unknown)
	})
}

func TestUpgradeOnAnotherNodeLosesNothing(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		ws := b[2].clients.Dial("/socket.io/?EIO=4&transport=websocket&sid=" + p.sid)
		ws.Send("2probe")
		ws.Expect("3probe")
		p.post(b[1], `421["join","r"]`)
		p.want(b[1], `200 431[{"ok":true}]`)
		// A POST through one node and the upgrade through another, at the same time.
		posted := make(chan string, 1)
		go func() {
			status, body := b[1].clients.Post(p.query, `422["join","s"]`)
			posted <- fmt.Sprint(status, " ", body)
		}()
		ws.Send("5", `423["join","t"]`)
		late := soon(t, posted, time.Second)
		want := []string{`432[{"ok":true}]`, `433[{"ok":true}]`}
		if late != "200 ok" { // it came after the upgrade, and is known not to be received
			want = want[1:]
		}
		ws.Expect(want...)
		for k := range 20 {
			if status, body := b[1].ops.Post("/api/publish", fmt.Sprintf(`{"room":"t","event":"e","data":%d}`, k)); status != 200 {
				t.Fatal(body)
			}
			ws.Expect(fmt.Sprintf(`42["e",%d]`, k))
		}
		if got := p.get(b[1]); got != `400 {"code":3,"message":"Bad request"}` {
			t.Errorf("poll after the upgrade: %s", got)
		}
		ws.Bye()
		time.Sleep(time.Second)
		if open := b[0].socketio.Stats().Engine.Open; open["polling"]+open["websocket"] != 0 {
			t.Errorf("sessions left: %v", open)
		}
	})
}

func TestTwoPollsThroughTwoNodesEndTheSession(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		first := p.hang(b[1])
		p.want(b[2], `400 {"code":3,"message":"Bad request"}`)
		if got := soon(t, first, time.Second); got != "200 1" {
			t.Errorf("the first got %s", got)
		}
	})
}

func TestClientsOfADeadNodeLearnItAtOnce(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		p, other := open(t, b[0], b[1]), open(t, b[2], b[1])
		waiting := p.hang(b[1])
		b[0].host.Kill()
		if got := soon(t, waiting, 100*time.Millisecond); got != unknown {
			t.Errorf("the poll that waited got %s", got)
		}
		p.want(b[2], unknown)
		other.post(b[1], `421["join","r"]`)
		other.want(b[1], `200 431[{"ok":true}]`)
		status, _ := b[1].clients.Post(p.query, "3")
		_, forged := b[1].clients.Get("/socket.io/?EIO=4&transport=polling&sid=" + strings.Repeat("A", 40))
		if status != 400 || "400 "+forged != unknown {
			t.Errorf("POST %d, forged id %s", status, forged)
		}
	})
}

// A node between stops, or dies: the sessions of the others go on.
func TestSessionsOutliveTheNodesBetween(t *testing.T) {
	onBoxes(t, 3, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		waiting := p.hang(b[1])
		upgraded := open(t, b[0], b[1])
		ws := b[1].clients.Dial("/socket.io/?EIO=4&transport=websocket&sid=" + upgraded.sid)
		ws.Send("2probe")
		ws.Expect("3probe")
		ws.Send("5")
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			ws.ExpectClose(websocket.StatusGoingAway)
		}()
		start := time.Now()
		b[1].stop()
		<-closed
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if got := soon(t, waiting, 100*time.Millisecond); got != "200 6" {
			t.Errorf("at the stop the poll got %s", got)
		}
		waiting = p.hang(b[2])
		b[2].host.Kill()
		soon(t, waiting, time.Second)
		p.post(b[0], `421["join","r"]`)
		p.want(b[0], `200 431[{"ok":true}]`)
	})
}

func TestStopOfTheOwnerEndsItsSessionsOnOtherNodesToo(t *testing.T) {
	onBoxes(t, 2, Config{}, func(t *testing.T, b []*box) {
		here, there := open(t, b[0], b[0]), open(t, b[0], b[1])
		one, two := here.hang(b[0]), there.hang(b[1])
		go b[0].stop()
		if got1, got2 := soon(t, one, time.Second), soon(t, two, time.Second); got1 != "200 1" || got2 != got1 {
			t.Errorf("own client got %s, the other's %s", got1, got2)
		}
		time.Sleep(10 * time.Second)
		there.want(b[1], unknown)
	})
}

func TestHeadersForBrowsersComeOnce(t *testing.T) {
	onBoxes(t, 2, Config{Origins: []string{"app.example"}}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		p.post(b[0], `421["join","r"]`)
		r, _ := http.NewRequest("GET", "http://meshrt.test"+p.query, nil)
		r.Header.Set("Origin", "https://app.example")
		res, err := b[1].clients.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary", "Content-Type", "Cache-Control", "Date"} {
			if got := res.Header[name]; len(got) != 1 {
				t.Errorf("%s: %q, want one", name, got)
			}
		}
	})
}

// The path and the transports may differ: the owner's count for its sessions.
func TestNodesWithOtherSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := clustertest.NewNetwork(1)
		x := newBox(t, network, "n0", Config{Path: "/io/", SocketIO: socketio.Config{Engine: engineio.Config{Transports: []string{"websocket"}}}})
		y := newBox(t, network, "n1", Config{})
		time.Sleep(5 * time.Second)
		p := open(t, y, y)
		p.query = strings.Replace(p.query, "/socket.io/", "/io/", 1)
		p.post(x, `421["join","r"]`)
		p.want(x, `200 431[{"ok":true}]`)
		for _, b := range []*box{x, y} {
			b.stop()
			b.clients.Stop()
			b.ops.Stop()
		}
		time.Sleep(time.Minute)
	})
}

// A websocket that is passed on takes descriptors on both nodes. Where there are
// none to spare it is refused, and its session stays on polling.
func TestWebSocketsPassedOnCountAsConnections(t *testing.T) {
	onBoxes(t, 2, Config{}, func(t *testing.T, b []*box) {
		p := open(t, b[0], b[1])
		upgrade := "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid
		limit := func(g *gate, most int) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.max = most
		}
		count := func() string {
			var n [2]int
			for i := range b {
				b[i].gate.mu.Lock()
				n[i] = b[i].gate.tunnels
				b[i].gate.mu.Unlock()
			}
			return fmt.Sprint(n)
		}
		for _, full := range b {
			limit(full.gate, 8)
			if _, status, err := b[1].clients.TryDial(upgrade); status != http.StatusServiceUnavailable {
				t.Errorf("%d, %v", status, err)
			}
			limit(full.gate, 9)
		}
		p.post(b[1], `421["join","r"]`)
		p.want(b[1], `200 431[{"ok":true}]`)
		if got := count(); got != "[0 0]" {
			t.Errorf("%s after refusals", got)
		}
		ws := b[1].clients.Dial(upgrade)
		ws.Send("2probe")
		ws.Expect("3probe")
		ws.Send("5", `422["join","s"]`)
		ws.Expect(`432[{"ok":true}]`)
		if got := count(); got != "[1 1]" {
			t.Errorf("%s with a websocket passed on", got)
		}
		ws.Bye()
		time.Sleep(time.Second)
		if got := count(); got != "[0 0]" {
			t.Errorf("%s after its end", got)
		}
	})
}
