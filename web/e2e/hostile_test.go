//go:build unix

package e2e

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	secret = "0123456789abcdef0123456789abcdef"
	wrong  = "fedcba9876543210fedcba9876543210"
)

// Strangers on the cluster port are refused with one log line for each address
// and minute, change no membership and cost little memory.
func TestStrangersOnTheClusterPort(t *testing.T) {
	nodes := startCluster(t, 2, "-secret", secret)
	n := nodes[0]
	before := n.rss()
	stranger := newNode(t, "stranger", nodes[:1], "-secret", wrong)
	stranger.start()
	garbage := make([]byte, 100_000)
	rand.Read(garbage)
	for i, junk := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("SSH-2.0-OpenSSH_9.2\r\n"), bytes.Repeat([]byte("A"), 100_000),
		garbage, append([]byte{0x16, 3, 1, 0xff, 0xff}, garbage...),
	} {
		for range 20 {
			c, err := net.Dial("tcp", n.bind)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(5 * time.Second))
			c.Write(junk)
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("junk %d is not refused within 5 s", i)
			}
			c.Close()
		}
		u, err := net.Dial("udp", n.bind)
		if err != nil {
			t.Fatal(err)
		}
		u.Write(junk[:min(len(junk), 60_000)])
		u.Close()
	}
	eventually(t, 10*time.Second, "the stranger says why it cannot join", func() bool {
		return strings.Contains(stranger.log.String(), "cannot join")
	})
	if grown := n.rss() - before; grown > 16<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	} else {
		t.Logf("memory grew by %d KiB", grown>>10)
	}
	if got := stranger.up(); got != 1 {
		t.Errorf("the stranger sees %d nodes", got)
	}
	for _, m := range nodes {
		if got := m.up(); got != 2 {
			t.Errorf("%s sees %d nodes, want 2", m.name, got)
		}
	}
	if lines := grep(n.log.String(), "refused"); len(lines) != 1 {
		t.Errorf("%d lines about refused connections from one address, want 1:\n%s", len(lines), strings.Join(lines, "\n"))
	} else {
		t.Log(lines[0])
	}
	t.Log(grep(stranger.log.String(), "cannot join")[0])
}

func grep(text, what string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Mistakes of an operator are one clear line; only an unresolvable name to
// join keeps trying.
// A second node of one name says so and ends, with the first undisturbed.
func TestANameInUseIsOneClearLine(t *testing.T) {
	nodes := startCluster(t, 2)
	twin := newNode(t, "n1", nodes)
	twin.start()
	select {
	case <-twin.exited:
	case <-time.After(10 * time.Second):
		t.Fatal("it runs on")
	}
	want := `meshrt: the node's name is in use: "n1", at ` + nodes[0].bind + "; -node gives this one another\n"
	if code := twin.cmd.ProcessState.ExitCode(); code != 1 || !strings.HasSuffix(twin.log.String(), want) {
		t.Errorf("exit status %d and\n%s\nwant 1 and at the end\n%s", code, twin.log, want)
	}
}

func TestMistakesAreOneClearLine(t *testing.T) {
	busy := newNode(t, "busy", nil)
	busy.start()
	eventually(t, 5*time.Second, "the node serves", func() bool { return busy.status("/healthz") == 200 })
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown flag", []string{"-jion", "x:1"}, 2, "unknown flag -jion"},
		{"bad value", []string{"-ping-interval", "fast"}, 2, `invalid value "fast" for flag -ping-interval`},
		{"short secret", []string{"-secret", "short"}, 2, "32 bytes or more"},
		{"unknown command", []string{"serve"}, 2, `unknown command "serve"`},
		{"bad name", []string{"-node", "a b"}, 2, "a b"},
		{"open API", []string{"-api", "0.0.0.0:0", "-http", "127.0.0.1:0", "-bind", "127.0.0.1:0"}, 2, "needs an API key"},
		{"busy client port", []string{"-http", busy.HTTP, "-api", "off", "-bind", "127.0.0.1:0"}, 1, busy.HTTP + ": address already in use"},
		{"busy cluster port", []string{"-http", "127.0.0.1:0", "-api", "off", "-bind", busy.bind}, 1, "already in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := exec.Command(meshrt, tt.args...)
			cmd.Stdout, cmd.Stderr = &out, &out
			timer := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
			cmd.Run()
			timer.Stop()
			lines := grep(out.String(), "meshrt: ")
			if cmd.ProcessState.ExitCode() != tt.code || len(lines) != 1 || !strings.Contains(lines[0], tt.want) || strings.Count(out.String(), "\n") > 2 {
				t.Errorf("exit %d, want %d; output, want one line with %q:\n%s", cmd.ProcessState.ExitCode(), tt.code, tt.want, &out)
			}
			t.Log(strings.TrimSpace(out.String()))
		})
	}
	t.Run("unresolvable name", func(t *testing.T) {
		n := newNode(t, "alone", nil, "-join", "no-such-host.invalid:7946")
		n.start()
		eventually(t, 15*time.Second, "a line about the name", func() bool { return len(grep(n.log.String(), "no-such-host")) > 0 })
		time.Sleep(5 * time.Second) // two more rounds
		lines := grep(n.log.String(), "no-such-host")
		if len(lines) != 1 {
			t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		t.Log(lines[0])
		if n.status("/healthz") != 200 {
			t.Error("the node does not go on")
		}
	})
}
