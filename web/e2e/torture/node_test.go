//go:build linux

package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/netlab"
)

const (
	clientAddr  = "127.0.0.1:8080"
	apiAddr     = "127.0.0.1:7980"
	clusterPort = 7946
	drain       = time.Second
	secret      = "torture-torture-torture-torture-torture"
)

// node is one place for a node: its namespace, and the process that runs there now.
type node struct {
	t    *testing.T
	i    int
	name string
	lab  *netlab.Lab
	w    *world
	args []string
	http *http.Client

	run atomic.Pointer[run]
}

// run is one process.
type run struct {
	n      *node
	cmd    *exec.Cmd
	exited chan struct{}
	ending atomic.Bool // it was told to end, or killed
	tail   tail        // its last words; read after exited

	before map[string]float64 // counters when they were last read
	seen                      // the world's
}

func newNode(t *testing.T, l *netlab.Lab, w *world, i int, v6 bool) *node {
	n := &node{t: t, i: i, name: fmt.Sprint("n", i+1), lab: l, w: w}
	n.http = &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	addr, bind := l.IP, "0.0.0.0"
	if v6 {
		addr, bind = l.IP6, "::"
	}
	port := strconv.Itoa(clusterPort)
	n.args = []string{"-node", n.name, "-http", clientAddr, "-api", apiAddr, "-profile", "lan", "-log-format", "json", "-drain", drain.String(),
		"-secret", secret, "-bind", net.JoinHostPort(bind, port), "-advertise", net.JoinHostPort(addr(i).String(), port)}
	for j := range l.Len() {
		if j != i {
			n.args = append(n.args, "-join", net.JoinHostPort(addr(j).String(), port))
		}
	}
	return n
}

// dial connects a client on the node's own machine: lines do not matter to it.
func (n *node) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.lab.Dial(ctx, n.i, network, addr)
}

// start starts the next process of the node.
func (n *node) start() {
	n.t.Helper()
	r := &run{n: n, cmd: exec.Command(program, n.args...), exited: make(chan struct{})}
	out, in := io.Pipe()
	r.cmd.Stderr, r.cmd.Stdout = in, in
	n.w.started(r)
	n.run.Store(r)
	if err := n.lab.Start(n.i, r.cmd); err != nil {
		n.t.Fatalf("start %s: %v", n.name, err)
	}
	go func() { r.cmd.Wait(); in.Close() }()
	go func() { r.follow(out); n.w.ended(r); close(r.exited) }()
}

// follow reads the log until the process has ended.
func (r *run) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.tail.add(lines.Text())
		var l logLine
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			r.n.w.logged(r, l)
		}
	}
	io.Copy(io.Discard, log)
}

// logLine are the members of log lines that tell of other nodes.
type logLine struct {
	Msg    string
	Boot   string
	Peer   string
	Member string
	ID     string
	Reason string
}

// tail keeps the last lines of a log.
type tail struct{ lines []string }

const maxTail = 300

func (t *tail) add(line string) {
	if t.lines = append(t.lines, line); len(t.lines) > maxTail {
		t.lines = t.lines[1:]
	}
}

func (n *node) signal(s syscall.Signal) {
	r := n.run.Load()
	if s == syscall.SIGTERM || s == syscall.SIGKILL {
		r.ending.Store(true)
	}
	if err := r.cmd.Process.Signal(s); err != nil {
		n.t.Errorf("signal %v to %s: %v", s, n.name, err)
	}
}

// kill ends the process as a crash does.
func (n *node) kill() {
	r := n.run.Load()
	n.w.killed(r)
	n.signal(syscall.SIGKILL)
	<-r.exited
}

// stop ends the process in order and tells how long that took.
func (n *node) stop() time.Duration {
	start, r := time.Now(), n.run.Load()
	n.signal(syscall.SIGTERM)
	select {
	case <-r.exited:
	case <-time.After(drain + 10*time.Second):
		n.w.problem("%s did not end within %v of SIGTERM", n.name, drain+10*time.Second)
		n.kill()
	}
	return time.Since(start)
}

func (n *node) get(path string, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+apiAddr+path, nil)
	if err != nil {
		return err
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s of %s: status %d, %w", path, n.name, resp.StatusCode, err)
	}
	if into, ok := v.(*[]byte); ok {
		*into = b
		return nil
	}
	return json.Unmarshal(b, v)
}

// counters are the metrics of the mesh that tell of trouble.
var counters = []string{"gaps", "links_down", "duplicates", "leases_expired", "lost"}

// scrape reads the counters of the process that runs now.
func (n *node) scrape() (map[string]float64, error) {
	var b []byte
	if err := n.get("/metrics", &b); err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for line := range bytes.Lines(b) {
		name, value, ok := strings.Cut(string(bytes.TrimSpace(line)), " ")
		name, _, _ = strings.Cut(name, "{") // of all priorities
		name = strings.TrimSuffix(strings.TrimPrefix(name, "meshrt_mesh_"), "_total")
		for _, c := range counters {
			if ok && name == c {
				v, _ := strconv.ParseFloat(value, 64)
				values[c] += v
			}
		}
	}
	if len(values) != len(counters) {
		return nil, fmt.Errorf("metrics of %s: %v, want %v", n.name, values, counters)
	}
	return values, nil
}
