//go:build unix

package comeback

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is one process that is killed and started again.
type server struct {
	t       *testing.T
	name    string
	http    string // where clients connect
	health  string // answers 200 when it is up, if any
	metrics string // where it counts whom it does not recover, if anywhere
	command []string
	env     []string
	refused refusals

	cmd    *exec.Cmd
	exited chan struct{}
	log    *log
}

// log keeps the end of a process's output.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const maxLog = 1 << 20

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > maxLog {
		l.b.Next(maxLog / 2)
	}
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// freeAddr is a loopback address whose port was free a moment ago, below those that Linux
// gives to outgoing connections: one of these would take that of a node that is killed.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 500 {
		addr := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(22_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		if u, err := net.ListenPacket("udp", addr); err == nil {
			u.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// meshrtNodes are three nodes of the program under test.
func meshrtNodes(t *testing.T, program string, window, drain time.Duration) (nodes []*server) {
	t.Helper()
	binds := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	for i, bind := range binds {
		s := &server{t: t, name: fmt.Sprint("n", i+1), http: freeAddr(t)}
		api := freeAddr(t)
		s.health, s.metrics = "http://"+api+"/readyz", "http://"+api+"/metrics"
		s.command = append([]string{program, "-node", s.name, "-http", s.http, "-api", api, "-bind", bind, "-recovery", window.String(),
			"-drain", drain.String(), "-join", strings.Join(binds, ",")}, strings.Fields(os.Getenv("FLAGS"))...)
		nodes = append(nodes, s)
	}
	return nodes
}

// socketIONodes are three nodes of Socket.IO with its adapter for Redis streams, and a
// Redis that nobody kills. kept is how many messages it keeps: by itself 10,000, which may be less than what
// is published within the window.
func socketIONodes(t *testing.T, window time.Duration, kept int) (nodes []*server) {
	t.Helper()
	addr := freeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	redis := &server{t: t, name: "redis", http: addr, command: []string{"redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no"}}
	redis.start()
	redis.await(10 * time.Second)
	for i := range 3 {
		s := &server{t: t, name: fmt.Sprint("s", i+1), http: freeAddr(t), command: []string{"node", "../../../bench/peers/server.js"}}
		host, port, _ := net.SplitHostPort(s.http)
		s.env = []string{"NODE_ENV=production", "HOST=" + host, "PORT=" + port, "ADAPTER=streams", "REDIS=redis://" + addr,
			fmt.Sprint("RECOVERY=", window.Milliseconds()), fmt.Sprint("MAXLEN=", kept)}
		nodes = append(nodes, s)
	}
	return nodes
}

func (s *server) start() {
	s.t.Helper()
	cmd := exec.Command(s.command[0], s.command[1:]...)
	s.log = &log{}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), s.env...), s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	s.cmd, s.exited = cmd, exited
	s.refused.begin()
	output := s.log
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		<-exited
		if text := output.String(); s.t.Failed() && os.Getenv("LOGS") != "" {
			s.t.Logf("log of %s:\n%s", s.name, text)
		}
	})
}

func (s *server) kill() {
	s.refused.look(s.metrics)
	s.cmd.Process.Kill()
	<-s.exited
}

// stop asks it to end, and waits until it has.
func (s *server) stop(limit time.Duration) {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(limit):
		s.t.Fatalf("%s has not ended %v after SIGTERM:\n%s", s.name, limit, s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("%s ended with %d:\n%s", s.name, code, s.log)
	}
}

// up tells whether it takes clients.
func (s *server) up() bool {
	if s.health == "" {
		c, err := net.DialTimeout("tcp", s.http, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	resp, err := http.Get(s.health)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (s *server) await(limit time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(limit); !s.up(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s is not up within %v:\n%s", s.name, limit, s.log)
		}
	}
}
