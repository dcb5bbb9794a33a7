//go:build unix

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cycles are the lives of clients that come and go, by kind.
var cycles = []func(c *cycler) error{
	func(c *cycler) error { // Socket.IO, joins and leaves without a word
		return c.websocket("/socket.io/?EIO=4&transport=websocket", "0{", "40", "40{", `420["join","r"]`, "430[")
	},
	func(c *cycler) error { // the same, and says goodbye
		return errors.Join(c.websocket("/socket.io/?EIO=4&transport=websocket", "0{", "40", "40{", "41", ""), c.text("1"))
	},
	func(c *cycler) error { // plain
		return c.websocket("/ws", `{"type":"welcome"`, `{"type":"join","id":1,"room":"r"}`, `{"type":"ack"`)
	},
	func(c *cycler) error { // plain, and says goodbye
		return errors.Join(c.websocket("/ws", `{"type":"welcome"`), c.write(frame(0x88, []byte{3, 0xe8})))
	},
	func(c *cycler) error { // polling, and says goodbye
		const path = "/socket.io/?EIO=4&transport=polling"
		open, err := c.ask("GET", path, "")
		if err != nil {
			return err
		}
		_, sid, _ := strings.Cut(open, `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		for _, body := range []string{"40", `420["join","r"]`, "1"} {
			if _, err := c.ask("POST", path+"&sid="+sid, body); err != nil {
				return err
			}
		}
		return nil
	},
	func(c *cycler) error { // a reader of events
		if err := c.write([]byte("GET /sse?room=r HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			return err
		}
		for {
			if line, err := c.in.ReadString('\n'); err != nil || strings.HasPrefix(line, ": session") {
				return err
			}
		}
	},
	func(c *cycler) error { return c.write([]byte("GET /ws HTTP/1.1\r\nHos")) }, // never one
}

// cycler is one connection.
type cycler struct {
	net.Conn
	in *bufio.Reader
}

func (c *cycler) write(b []byte) error { _, err := c.Write(b); return err }

func (c *cycler) text(s string) error { return c.write(frame(0x81, []byte(s))) }

func (c *cycler) ask(method, path, body string) (string, error) {
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s %s: %d %s", method, body, resp.StatusCode, b)
	}
	return string(b), err
}

// websocket opens one, expects the first text, and then sends and expects in turn;
// nothing is expected for "".
func (c *cycler) websocket(path, first string, turns ...string) error {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%s: %d", path, resp.StatusCode)
	}
	if err := c.expect(first); err != nil {
		return err
	}
	for i := 0; i+1 < len(turns); i += 2 {
		if err := c.text(turns[i]); err != nil {
			return err
		}
		if err := c.expect(turns[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cycler) expect(prefix string) error {
	if prefix == "" {
		return nil
	}
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return err
	}
	size := int(head[1])
	if size == 126 {
		if _, err := io.ReadFull(c.in, head[2:]); err != nil {
			return err
		}
		size = int(head[2])<<8 | int(head[3])
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(c.in, data); err != nil {
		return err
	}
	if !strings.HasPrefix(string(data), prefix) {
		return fmt.Errorf("got %s, want %s", data, prefix)
	}
	return nil
}

// round lets count clients come and go, some at once.
func (n *node) round(count int) {
	n.t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 24 {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= count || n.t.Failed() {
					return
				}
				if err := n.cycle(i); err != nil {
					n.t.Errorf("cycle %d: %v", i, err)
				}
			}
		})
	}
	workers.Wait()
	eventually(n.t, 30*time.Second, "all are forgotten", func() bool {
		return n.metric("meshrt_sessions") == 0 && n.metric("meshrt_client_sockets") == 0
	})
}

func (n *node) cycle(i int) error {
	conn, err := net.Dial("tcp", n.HTTP)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if i/len(cycles)%2 == 0 {
		conn.(*net.TCPConn).SetLinger(0) // is reset
	}
	return cycles[i%len(cycles)](&cycler{conn, bufio.NewReaderSize(conn, 1024)})
}

// usage is what a process holds, after a collection of garbage.
type usage struct{ goroutines, descriptors, heap float64 }

func (n *node) usage() usage {
	n.status("/debug/pprof/heap?gc=1")
	return usage{n.metric("go_goroutines"), n.metric("process_open_fds"), n.metric("go_memstats_heap_alloc_bytes")}
}

// Clients that come and go leave nothing behind, however they go. MESHRT_CYCLES is
// how many there are; 1,000,000 is for a long night.
func TestClientsThatComeAndGoLeaveNothing(t *testing.T) {
	count := 20_000
	if s := os.Getenv("MESHRT_CYCLES"); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	const rounds = 5
	n := alone(t, 0)
	var first, last usage
	start := time.Now()
	for i := range rounds {
		n.round(count / rounds)
		last = n.usage()
		if i == 0 {
			first = last
		}
		t.Logf("after %d clients and %v: %.0f goroutines, %.0f descriptors, heap %.0f KiB, resident %d KiB", (i+1)*count/rounds,
			time.Since(start).Round(time.Second), last.goroutines, last.descriptors, last.heap/1024, n.rss()>>10)
	}
	if last.goroutines > first.goroutines+10 || last.descriptors > first.descriptors+10 || last.heap > first.heap+2<<20 {
		t.Errorf("after the first round %+v, after the last %+v", first, last)
	}
}
