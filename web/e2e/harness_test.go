//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// meshrt is the program under test, built once by TestMain.
var meshrt string

func TestMain(m *testing.M) {
	if os.Getenv("MESHRT_E2E") == "" {
		fmt.Println("e2e: skipped; make e2e runs these tests")
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "meshrt-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	meshrt = filepath.Join(dir, "meshrt")
	build := exec.Command("go", "build", "-o", meshrt, "../..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// need skips a test without a program that it needs; in CI it fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing and in CI nothing is skipped", p)
		}
		t.Skipf("%s is missing", p)
	}
}

// needPackages is need for the packages of package.json.
func needPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules/socket.io-client"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm packages are missing and in CI nothing is skipped")
		}
		t.Skip("npm packages are missing; web/e2e/deps installs them")
	}
}

// node is one meshrt process on loopback.
type node struct {
	t    *testing.T
	name string
	HTTP string // host:port
	API  string
	bind string
	args []string
	// within is a command that starts the node's, if any.
	within []string

	cmd    *exec.Cmd
	exited chan struct{}
	log    *buffer
}

// buffer collects a process's output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// given are the ports that freePort has given out: it may draw one again before its
// program has bound it.
var given sync.Map

// freePort is a loopback address whose port was free a moment ago, for UDP too. It is below
// those that Linux gives to outgoing connections: one of these would get the port of a
// node that is killed, which then could not start again.
func freePort(t *testing.T) string {
	t.Helper()
	for range 500 {
		addr := "127.0.0.1:" + strconv.Itoa(10_000+rand.IntN(22_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		if _, given := given.LoadOrStore(addr, true); !given {
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// newNode prepares a node that joins others; start starts it.
func newNode(t *testing.T, name string, join []*node, extra ...string) *node {
	t.Helper()
	n := &node{t: t, name: name, HTTP: freePort(t), API: freePort(t), bind: freePort(t)}
	n.args = append([]string{"-node", name, "-http", n.HTTP, "-api", n.API, "-bind", n.bind, "-profile", "local"}, extra...)
	for _, j := range join {
		n.args = append(n.args, "-join", j.bind)
	}
	return n
}

func (n *node) start() {
	n.t.Helper()
	command := append(slices.Clone(n.within), append([]string{meshrt}, n.args...)...)
	n.cmd = exec.Command(command[0], command[1:]...)
	n.log = &buffer{}
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	exited := make(chan struct{})
	n.exited = exited
	cmd := n.cmd
	go func() { cmd.Wait(); close(exited) }()
	n.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			<-exited
			n.t.Errorf("%s did not end within 30 s of SIGTERM", n.name)
		}
		if n.t.Failed() {
			n.t.Logf("log of %s:\n%s", n.name, n.log)
		}
	})
}

func (n *node) kill() {
	n.cmd.Process.Kill()
	<-n.exited
}

// startCluster starts count nodes and waits until all are joined.
func startCluster(t *testing.T, count int, extra ...string) []*node {
	t.Helper()
	var nodes []*node
	for i := range count {
		var join []*node
		if i > 0 {
			join = nodes[:1]
		}
		nodes = append(nodes, newNode(t, fmt.Sprint("n", i+1), join, extra...))
	}
	for _, n := range nodes {
		n.start()
	}
	waitJoined(t, 10*time.Second, nodes...)
	return nodes
}

// waitJoined waits until every node is ready and linked to all others.
func waitJoined(t *testing.T, limit time.Duration, nodes ...*node) time.Duration {
	t.Helper()
	return eventually(t, limit, "all nodes joined", func() bool {
		for _, n := range nodes {
			if n.up() != len(nodes) || n.status("/readyz") != http.StatusOK {
				return false
			}
		}
		return true
	})
}

// up counts the nodes that n is or is linked to.
func (n *node) up() int {
	var body struct{ Nodes []struct{ State string } }
	if n.getJSON("/api/nodes", &body) != nil {
		return 0
	}
	count := 0
	for _, x := range body.Nodes {
		if x.State == "self" || x.State == "up" {
			count++
		}
	}
	return count
}

func (n *node) status(path string) int {
	resp, err := http.Get("http://" + n.API + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (n *node) getJSON(path string, v any) error {
	resp, err := http.Get("http://" + n.API + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

func (n *node) post(path, body string) (int, string) {
	n.t.Helper()
	resp, err := http.Post("http://"+n.API+path, "application/json", strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// metric is the value of one sample, such as meshrt_mesh_frames_total{dir="in",type="data"}.
func (n *node) metric(sample string) float64 {
	n.t.Helper()
	resp, err := http.Get("http://" + n.API + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), sample+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				n.t.Fatal(err)
			}
			return v
		}
	}
	n.t.Fatalf("no metric %s", sample)
	return 0
}

// rss is the resident memory in bytes.
func (n *node) rss() int {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skip("no /proc here")
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		n.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// eventually waits for a condition and tells how long it took.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

// script runs a Node.js program of the folder clients with its options as JSON
// and decodes the JSON that it prints last. What it prints before is logged.
func script(t *testing.T, limit time.Duration, name string, options, result any) {
	t.Helper()
	p := startScript(t, limit, name, options)
	p.wait(result)
}

// process is a running script. Its lines "@EVENT" are events for the test.
type process struct {
	t      *testing.T
	name   string
	in     io.WriteCloser
	events chan string
	last   string
	err    error
	ended  chan struct{}
}

func startScript(t *testing.T, limit time.Duration, name string, options any) *process {
	t.Helper()
	need(t, "node")
	needPackages(t)
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := exec.CommandContext(ctx, "node", filepath.Join("clients", name), string(text))
	errs := &buffer{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, events: make(chan string, 100), ended: make(chan struct{})}
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		defer cancel()
		defer close(p.events)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "@"); ok {
				p.events <- e
			} else {
				p.last = lines.Text()
			}
		}
		if err := cmd.Wait(); err != nil {
			p.err = fmt.Errorf("%s: %w (limit %v)\n%s", name, err, limit, errs)
		}
	}()
	t.Cleanup(func() { cancel(); <-p.ended })
	return p
}

// event waits for the next event of the script.
func (p *process) event(want string) {
	p.t.Helper()
	got, ok := <-p.events
	if !ok {
		<-p.ended
		p.t.Fatalf("%s ended before %q: %v\n%s", p.name, want, p.err, p.last)
	}
	if got != want {
		p.t.Fatalf("%s: event %q, want %q", p.name, got, want)
	}
}

// tell lets the script go on.
func (p *process) tell(word string) { fmt.Fprintln(p.in, word) }

func (p *process) wait(result any) {
	p.t.Helper()
	for e := range p.events {
		p.t.Logf("%s: %s", p.name, e)
	}
	<-p.ended
	if p.err != nil {
		p.t.Fatalf("%v\n%s", p.err, p.last)
	}
	if err := json.Unmarshal([]byte(p.last), result); err != nil {
		p.t.Fatalf("%s printed %.300q: %v", p.name, p.last, err)
	}
}
