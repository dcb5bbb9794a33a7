//go:build unix

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	wslib "github.com/coder/websocket"
)

// alone starts one node, with so many descriptors unless that is 0, and waits until
// it serves.
func alone(t *testing.T, files int, extra ...string) *node {
	t.Helper()
	n := newNode(t, "n1", nil, extra...)
	if files > 0 {
		n.within = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)}
	}
	n.start()
	eventually(t, 10*time.Second, "the node serves", func() bool { return n.status("/readyz") == 200 })
	return n
}

// peak is the largest resident memory so far, in bytes.
func (n *node) peak() int {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skip("no /proc here")
	}
	_, line, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		n.t.Fatal(err)
	}
	return kib << 10
}

// connects is how long a client takes from the first packet to a session, on a
// plain websocket and by Socket.IO over polling.
func (n *node) connects() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	start := time.Now()
	c, _, err := wslib.Dial(ctx, "ws://"+n.HTTP+"/ws", nil)
	if err != nil {
		return 0, err
	}
	defer c.CloseNow()
	if _, _, err := c.Read(ctx); err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + n.HTTP + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	return time.Since(start), nil
}

// descriptorsHere is how many connections this process may open.
func descriptorsHere() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 256
	}
	return int(min(uint64(limit.Cur), 1<<20))
}

// halfOpen opens count connections that send nothing, or half of a request.
func halfOpen(t *testing.T, addr string, count int) {
	t.Helper()
	for i := range count {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		switch i % 3 {
		case 1:
			io.WriteString(c, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgra")
		case 2:
			io.WriteString(c, "POST /socket.io/?EIO=4&transport=polling HT")
		}
	}
}

// Thousands of connections that never become clients keep no client out.
func TestHalfOpenHandshakesKeepNobodyOut(t *testing.T) {
	n := alone(t, 0)
	count := min(10_000, descriptorsHere()-500)
	before := n.rss()
	start := time.Now()
	halfOpen(t, n.HTTP, count)
	took, err := n.connects()
	t.Logf("%d half-open connections made in %v, %v are open; %d KiB each", count, time.Since(start).Round(time.Millisecond),
		n.metric("meshrt_client_sockets_half_open"), (n.rss()-before)/count>>10)
	if err != nil || took > time.Second {
		t.Errorf("a client connects in %v, %v; want less than a second", took, err)
	}
	t.Logf("a client connects in %v", took)
	if status := n.status("/readyz"); status != 200 {
		t.Errorf("readiness on the API's listener: %d", status)
	}
	eventually(t, 15*time.Second, "they are given up", func() bool { return n.metric("meshrt_client_sockets_half_open") == 0 })
}

// When descriptors are few, connections without a request make room for clients,
// and the API has its own.
func TestStrangersDoNotTakeTheLastDescriptor(t *testing.T) {
	n := alone(t, 300)
	for range 3 {
		halfOpen(t, n.HTTP, 400)
		if status := n.status("/readyz"); status != 200 {
			t.Errorf("readiness on the API's listener: %d", status)
		}
		time.Sleep(2 * time.Second)
		if took, err := n.connects(); err != nil || took > time.Second {
			t.Errorf("a client connects in %v, %v; want less than a second", took, err)
		}
	}
	if hits := n.metric(`meshrt_limit_hits_total{limit="file descriptors"}`); hits < 500 {
		t.Errorf("%v counted as closed", hits)
	}
	if lines := grep(n.log.String(), "to make room"); len(lines) != 1 {
		t.Errorf("%d lines in the log, want 1", len(lines))
	} else {
		t.Log(lines[0])
	}
}

// The same from the side of the API: its listener fails to accept for want of
// descriptors of its own, and nothing ends.
func TestStrangersAtTheAPIEndNothing(t *testing.T) {
	n := alone(t, 300)
	halfOpen(t, n.API, 400)
	if took, err := n.connects(); err != nil || took > time.Second {
		t.Errorf("a client connects in %v, %v; want less than a second", took, err)
	}
	eventually(t, 15*time.Second, "the API answers again", func() bool { return n.status("/readyz") == 200 })
}

// The last of -max-conns gets in, the next one is refused, and health is not.
func TestMaxConnsOfTheProgram(t *testing.T) {
	n := alone(t, 0, "-max-conns", "2")
	dial := func() (*wslib.Conn, int) {
		c, resp, err := wslib.Dial(context.Background(), "ws://"+n.HTTP+"/ws", nil)
		if err != nil && resp == nil {
			t.Fatal(err)
		}
		return c, resp.StatusCode
	}
	a, _ := dial()
	b, _ := dial()
	defer b.CloseNow()
	if _, status := dial(); status != 503 {
		t.Errorf("one too many: %d, want 503", status)
	}
	if resp, err := http.Get("http://" + n.HTTP + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("health: %v", err)
	}
	a.CloseNow()
	eventually(t, 5*time.Second, "who leaves makes room", func() bool {
		c, status := dial()
		if c != nil {
			c.CloseNow()
		}
		return status == 101
	})
}

// deaf are clients that join the room "r" and then read no more.
var deaf = map[string]func(t *testing.T, n *node) (protocol string){
	"socket.io websocket": func(t *testing.T, n *node) string {
		c := dialDeaf(t, n, "/socket.io/?EIO=4&transport=websocket")
		c.expect("0{")
		c.send("40")
		c.expect("40{")
		c.send(`420["join","r"]`)
		c.expect(`430[{"ok":true}]`)
		return "socket.io"
	},
	"plain websocket": func(t *testing.T, n *node) string {
		c := dialDeaf(t, n, "/ws")
		c.expect(`{"type":"welcome"`)
		c.send(`{"type":"join","id":1,"room":"r"}`)
		c.expect(`{"type":"ack"`)
		return "websocket"
	},
	"event stream": func(t *testing.T, n *node) string {
		in := request(t, n, "GET", "/sse?room=r", "")
		for {
			if line, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			} else if strings.HasPrefix(line, ": session") {
				return "sse"
			}
		}
	},
	"socket.io polling": func(t *testing.T, n *node) string {
		path := "/socket.io/?EIO=4&transport=polling"
		ask := func(method, query, body, want string) string {
			resp, err := http.ReadResponse(request(t, n, method, path+query, body), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			if !strings.HasPrefix(string(b), want) {
				t.Fatalf("%s: %s", method, b)
			}
			return string(b)
		}
		_, sid, _ := strings.Cut(ask("GET", "", "", "0{"), `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		path += "&sid=" + sid
		ask("POST", "", "40", "ok")
		ask("GET", "", "", "40{")
		ask("POST", "", `420["join","r"]`, "ok")
		ask("GET", "", "", `430[{"ok":true}]`)
		request(t, n, "GET", path, "") // whose answer it does not read
		return "socket.io"
	},
}

type deafClient struct {
	t *testing.T
	*wslib.Conn
}

func dialDeaf(t *testing.T, n *node, path string) deafClient {
	t.Helper()
	c, _, err := wslib.Dial(context.Background(), "ws://"+n.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return deafClient{t, c}
}

func (c deafClient) send(text string) {
	c.t.Helper()
	if err := c.Write(context.Background(), wslib.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c deafClient) expect(prefix string) {
	c.t.Helper()
	if _, b, err := c.Read(context.Background()); err != nil || !strings.HasPrefix(string(b), prefix) {
		c.t.Fatalf("got %s, %v, want %s", b, err, prefix)
	}
}

// request sends one on a connection of its own and gives what can be read of it.
func request(t *testing.T, n *node, method, path, body string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("tcp", n.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	return bufio.NewReaderSize(c, 512)
}

// flood publishes about size bytes to a room.
func (n *node) flood(room string, size int) {
	n.t.Helper()
	const each = 64 << 10
	body := fmt.Sprintf(`{"room":%q,"event":"e","data":%q}`, room, strings.Repeat("x", each))
	for range size / each {
		if status, answer := n.post("/api/publish", body); status != 200 {
			n.t.Fatalf("publish: %d %s", status, answer)
		}
	}
}

// A client that reads nothing of 200 MB for its room costs the server no more than
// its queue, and is cut for that reason.
func TestDeafClientCostsItsQueueOnly(t *testing.T) {
	const size, most = 200 << 20, 8 << 20
	for name, join := range deaf {
		t.Run(name, func(t *testing.T) {
			n := alone(t, 0)
			n.flood("nobody", size/4) // what publishing costs by itself
			protocol := join(t, n)
			before := n.peak()
			n.flood("r", size)
			grown := n.peak() - before
			sample := fmt.Sprintf(`meshrt_slow_consumers_total{cause="queue bytes",protocol=%q}`, protocol)
			eventually(t, 5*time.Second, "it is cut", func() bool { return n.metric(sample) == 1 })
			if grown > most {
				t.Errorf("memory grew by %d KiB, want less than %d", grown>>10, most>>10)
			}
			lines := grep(n.log.String(), "client cut")
			if len(lines) != 1 || !strings.Contains(lines[0], `cause="queue bytes"`) {
				t.Errorf("the log does not tell why: %q", lines)
			}
			t.Logf("memory grew by %d KiB over %d KiB", grown>>10, before>>10)
		})
	}
}
