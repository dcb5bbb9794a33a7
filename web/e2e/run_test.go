//go:build unix

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// threePorts are three neighbouring ports of loopback that were free a moment ago.
func threePorts(t *testing.T) int {
	t.Helper()
	for range 200 {
		_, text, _ := net.SplitHostPort(freePort(t))
		first, _ := strconv.Atoi(text)
		free := first+2 < 65536
		for p := first + 1; free && p <= first+2; p++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no three free ports")
	return 0
}

// What make run promises: three joined nodes within 5 s, whose chats talk to
// each other in a browser while the third is killed, which comes back by
// itself when it is started again; and Ctrl-C stops all.
func TestMakeRun(t *testing.T) {
	need(t, "bash", "chromium")
	http, api, bind := threePorts(t), threePorts(t), threePorts(t)
	cmd := exec.Command("../../deploy/three-nodes")
	cmd.Env = append(os.Environ(), "BIN="+meshrt, "HTTP="+strconv.Itoa(http), "API="+strconv.Itoa(api), "BIND="+strconv.Itoa(bind))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
			ended <- nil
		case <-time.After(10 * time.Second):
			t.Error("Ctrl-C does not stop the nodes within 10 s")
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	defer stop()

	var nodes []*node
	var urls []string
	for i := range 3 {
		at := func(base int) string { return "127.0.0.1:" + strconv.Itoa(base+i) }
		nodes = append(nodes, &node{t: t, name: "n" + strconv.Itoa(i+1), HTTP: at(http), API: at(api), bind: at(bind)})
		urls = append(urls, "http://"+at(http)+"/")
	}
	waitJoined(t, 5*time.Second, nodes...)
	t.Logf("three nodes up and joined %v after the start", time.Since(start).Round(time.Millisecond))

	shots := os.Getenv("MESHRT_SHOTS")
	if shots != "" {
		shots, _ = filepath.Abs(shots)
	}
	chromium, _ := exec.LookPath("chromium")
	p := startScript(t, 2*time.Minute, "chat.mjs", map[string]any{"urls": urls, "chromium": chromium, "shots": shots})
	p.event("talking")
	hint := regexp.MustCompile(`kill -9 (\d+) +\(n3; start it again with: (.+)\)`).FindStringSubmatch(log.String())
	if hint == nil {
		t.Fatalf("no hint how to kill the third node in:\n%s", log)
	}
	pid, _ := strconv.Atoi(hint[1])
	syscall.Kill(pid, syscall.SIGKILL)
	p.tell("killed")
	p.event("went on")
	again := exec.Command("bash", "-c", "cd ../.. && exec "+hint[2])
	again.Stdout, again.Stderr = log, log
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { again.Process.Signal(syscall.SIGTERM); again.Wait() }()
	t.Logf("the third node is back after %v", waitJoined(t, 10*time.Second, nodes...).Round(time.Millisecond))
	p.tell("restarted")
	var result struct {
		Problems, Complaints, Nodes []string
		Breaks                      []int
		Sent                        int
	}
	p.wait(&result)
	t.Logf("%d messages of pages on %v; connections lost by pages on living nodes: %v", result.Sent, result.Nodes, result.Breaks)
	for _, problem := range append(result.Problems, result.Complaints...) {
		t.Error(problem)
	}
	if got := strings.Join(result.Nodes, " "); got != "n1 n2 n3" {
		t.Errorf("messages show the nodes %q", got)
	}
	for _, n := range result.Breaks {
		if n != 0 {
			t.Errorf("pages on living nodes lost their connection: %v", result.Breaks)
		}
	}
	if t.Failed() {
		t.Logf("log:\n%s", log)
	}
}
