//go:build unix

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/coder/websocket"
)

// The time that the rude client has. MESHRT_RUDE sets another, MESHRT_SEED
// repeats a run.
const rudeTime = 30 * time.Second

// rudeMemory is what a node may grow by while one client does its worst.
const rudeMemory = 128 << 20

// TestRudeClients: whatever one client after the other sends, the node stays up,
// its memory bounded, and those who behave notice nothing.
func TestRudeClients(t *testing.T) {
	limit, seed := rudeTime, uint64(time.Now().UnixNano())
	if d, err := time.ParseDuration(os.Getenv("MESHRT_RUDE")); err == nil {
		limit = d
	}
	if s, err := strconv.ParseUint(os.Getenv("MESHRT_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("MESHRT_SEED=%d", seed)
	n := newNode(t, "n", nil, "-namespaces", "*", "-allow-eio3", "-ping-interval", "2s", "-ping-timeout", "2s", "-connect-timeout", "2s", "-upgrade-timeout", "2s")
	n.start()
	eventually(t, 10*time.Second, "the node is ready", func() bool { return n.status("/readyz") == http.StatusOK })

	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	talk := startTalk(t, n)
	before := n.rss()
	done := map[string]int{}
	r := rude{grammar{rand.New(rand.NewPCG(seed, 1))}, n.HTTP}
	grown := 0
	for i := 0; ctx.Err() == nil; i++ {
		done[r.bother()]++
		time.Sleep(time.Millisecond)
		if i%100 == 0 {
			grown = max(grown, n.rss()-before)
		}
	}
	count, worst := talk.end()
	t.Logf("%v; memory grew by %d KiB; %d messages of those who behave, the slowest in %v", done, grown>>10, count, worst)
	for _, m := range []string{`parse_errors_total{protocol="socket.io"}`, `parse_errors_total{protocol="websocket"}`, "events_total", "events_unhandled_total"} {
		t.Logf("%s %.0f", m, n.metric("meshrt_"+m))
	}
	if grown > rudeMemory {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	if count < int(limit.Seconds())*10 || worst > 2*time.Second {
		t.Errorf("%d messages, the slowest in %v", count, worst)
	}
	if got := n.status("/healthz"); got != http.StatusOK {
		t.Errorf("healthz: %d", got)
	}
	if lines := grep(n.log.String(), "panic"); len(lines) > 0 {
		t.Errorf("%d panics, the first: %s", len(lines), lines[0])
	}
	eventually(t, 15*time.Second, "all sessions have ended", func() bool { return n.metric("meshrt_sessions") == 0 })
}

// rude is a client that keeps to the forms and not to the rules.
type rude struct {
	grammar
	addr string
}

// rudeLimit is how long one of its clients lasts.
const rudeLimit = time.Second

// bother is one client from its first byte to its last. It tells what it was.
func (r rude) bother() string {
	version := pick(r.grammar, "4", "4", "4", "3")
	switch r.IntN(8) {
	case 0, 1:
		r.websocket("/socket.io/?EIO="+version+"&transport=websocket", r.frame)
		return "websocket"
	case 2:
		r.websocket("/socket.io/?EIO="+version+"&transport=websocket", func() string { return binaryFrame(r.packed()) })
		return "msgpack"
	case 3:
		r.websocket("/ws", func() string { return pick(r.grammar, textFrame(r.command()), textFrame(r.command()), r.frame()) })
		return "plain"
	case 4:
		r.raw(pick(r.grammar, "GET", "POST", "PUT", "OPTIONS", r.junk(5))+" "+pick(r.grammar, "/socket.io/", "/ws", "/sse", "/", "/socket.io/socket.io.js")+
			"?"+pick(r.grammar, "EIO=4", "EIO=4&transport=polling", "room="+strings.Repeat("r", 300), "sid=x&EIO=4&transport=polling", r.junk(9))+
			" HTTP/1.1\r\nHost: x\r\n"+pick(r.grammar, "", "Content-Length: 10\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n", r.junk(50))+"\r\n"+r.junk(20), r.patience())
		return "http"
	}
	r.polling(version)
	return "polling " + version
}

// websocket makes a handshake and then sends frames, the first often right.
func (r rude) websocket(path string, frame func() string) {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(rudeLimit))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path)
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		return
	}
	read := make(chan struct{})
	go func() { defer close(read); io.Copy(io.Discard, in) }()
	if !r.one(3) {
		io.WriteString(c, textFrame(r.or("40", "40/a,", "2probe", "42")))
	}
	for range r.IntN(40) {
		if _, err := io.WriteString(c, frame()); err != nil {
			break
		}
	}
	if r.one(3) {
		return // hangs up
	}
	c.(*net.TCPConn).CloseWrite()
	<-read
}

func textFrame(s string) string   { return header(0x81, len(s)) + s }
func binaryFrame(s string) string { return header(0x82, len(s)) + s }

// header is that of a frame with a mask of zeros.
func header(first byte, n int) string {
	if n < 126 {
		return string([]byte{first, 0x80 | byte(n), 0, 0, 0, 0})
	}
	return string([]byte{first, 0xfe, byte(n >> 8), byte(n), 0, 0, 0, 0})
}

func (r rude) patience() time.Duration { return time.Duration(r.IntN(50)) * time.Millisecond }

// raw sends bytes and reads what comes, for a moment.
func (r rude) raw(request string, patience time.Duration) {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, request)
	io.Copy(io.Discard, io.LimitReader(c, 10_000))
}

// polling opens a session and makes requests of it, in order and at once,
// whole and half.
func (r rude) polling(version string) {
	path := "/socket.io/?EIO=" + version + "&transport=polling" + pick(r.grammar, "", "", "&b64=1")
	_, body := r.request("GET", path, "", "")
	_, text, _ := strings.Cut(body, "{")
	var open struct{ SID string }
	if json.Unmarshal([]byte("{"+text), &open) != nil {
		return
	}
	path += "&sid=" + open.SID
	var polls sync.WaitGroup
	defer polls.Wait()
	connect := r.or("40", "40/a,", "42")
	if version == "3" {
		connect = "2:" + connect
	}
	r.request("POST", path, "text/plain", connect)
	for range 1 + r.IntN(6) {
		switch r.IntN(6) {
		case 0:
			patience := r.patience()
			polls.Go(func() { r.raw("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", patience) })
		case 1:
			r.raw("POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4"+r.packet(), r.patience())
		case 2:
			r.websocket(strings.Replace(path, "polling", "websocket", 1), r.frame)
		default:
			bytes := r.one(3)
			kind, body := pick(r.grammar, "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"), r.payload()
			if version == "3" {
				body = r.payloadV3(bytes)
			}
			if bytes {
				kind = "application/octet-stream"
			}
			if status, _ := r.request("POST", path, kind, body); status != http.StatusOK {
				return
			}
		}
	}
}

func (r rude) request(method, path, kind, body string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), rudeLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, ""
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// talk is two clients that behave: one publishes, and waits until the other has it.
type talk struct {
	t     *testing.T
	stop  context.CancelFunc
	ended chan struct{}
	count int
	worst time.Duration
}

func startTalk(t *testing.T, n *node) *talk {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k := &talk{t: t, stop: cancel, ended: make(chan struct{})}
	t.Cleanup(cancel)
	speaker, listener := behaved(t, ctx, n.HTTP), behaved(t, ctx, n.HTTP)
	listener.send(`421["join","talk"]`)
	if got := <-listener.got; got != `431[{"ok":true}]` {
		t.Fatalf("join: %s", got)
	}
	go func() {
		defer close(k.ended)
		for i := 0; ctx.Err() == nil; i++ {
			start := time.Now()
			speaker.send(fmt.Sprintf(`42%d["publish","talk","said",%d]`, i, i))
			if !speaker.wait(ctx, fmt.Sprintf(`43%d[{"ok":true}]`, i)) || !listener.wait(ctx, fmt.Sprintf(`42["said",%d]`, i)) {
				return
			}
			k.count, k.worst = i+1, max(k.worst, time.Since(start))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return k
}

// end ends the talk and tells how it went.
func (k *talk) end() (count int, worst time.Duration) {
	k.t.Helper()
	select {
	case <-k.ended:
		k.t.Error("the talk of those who behave broke off")
	default:
	}
	k.stop()
	<-k.ended
	return k.count, k.worst
}

// polite is a client that behaves.
type polite struct {
	t    *testing.T
	conn *ws.Conn
	got  chan string // what is not a heartbeat; closed at the end
}

func behaved(t *testing.T, ctx context.Context, addr string) *polite {
	t.Helper()
	c, _, err := ws.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	p := &polite{t, c, make(chan string, 100)}
	p.send("40")
	go func() {
		defer close(p.got)
		defer c.CloseNow()
		for {
			_, data, err := c.Read(ctx)
			switch text := string(data); {
			case err != nil:
				return
			case text == "2":
				p.send("3")
			case strings.HasPrefix(text, "43"), strings.HasPrefix(text, `42["said",`):
				p.got <- text
			}
		}
	}()
	return p
}

func (p *polite) send(text string) { p.conn.Write(context.Background(), ws.MessageText, []byte(text)) }

// wait takes the next message, which must be the one.
func (p *polite) wait(ctx context.Context, want string) bool {
	select {
	case got, ok := <-p.got:
		if got != want && ctx.Err() == nil {
			p.t.Errorf("got %q (open: %v), want %q", got, ok, want)
		}
		return got == want
	case <-time.After(10 * time.Second):
		p.t.Errorf("not within 10 s: %s", want)
		return false
	}
}
