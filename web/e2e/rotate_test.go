//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The cluster secret is replaced on all nodes while clients talk: first all accept the
// new one, then all sign with it, then nobody takes the old one. Nothing is lost, and a
// node that starts afterwards comes in.
func TestClusterSecretIsReplacedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const old, fresh = "the old secret of thirty-two bytes", "the fresh secret of thirty-two bytes"
	files := func(i int) (first, second string) {
		return filepath.Join(dir, fmt.Sprint("first", i)), filepath.Join(dir, fmt.Sprint("second", i))
	}
	write := func(i int, signs, accepted string) {
		first, second := files(i)
		for name, secret := range map[string]string{first: signs, second: accepted} {
			if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var nodes []*node
	for i := range 3 {
		first, second := files(i)
		write(i, old, old)
		nodes = append(nodes, newNode(t, fmt.Sprint("n", i+1), nodes, "-secret-file", first, "-secret-file", second))
	}
	for _, n := range nodes {
		n.start()
	}
	waitJoined(t, 10*time.Second, nodes...)
	p := startScript(t, time.Minute, "survive.mjs", map[string]any{"urls": urls(nodes)})
	p.event("talking")
	for step, secrets := range [][2]string{{old, fresh}, {fresh, old}, {fresh, fresh}} {
		for i, n := range nodes {
			write(i, secrets[0], secrets[1])
			n.cmd.Process.Signal(syscall.SIGHUP)
			eventually(t, 5*time.Second, "the secrets are read again", func() bool {
				return strings.Count(n.log.String(), "cluster secrets read again") == step+1
			})
			time.Sleep(300 * time.Millisecond) // talk between the steps
		}
	}
	nodes[2].kill()
	p.tell("killed")
	p.event("noticed")
	nodes[2].start() // with the new secret alone
	p.tell("restarted")
	waitJoined(t, 15*time.Second, nodes...)
	var result struct {
		Problems     []string
		Sent         int
		Reconnects   []int
		Back, Joined bool
	}
	p.wait(&result)
	t.Logf("%d messages of each client", result.Sent)
	for _, problem := range result.Problems {
		t.Error(problem)
	}
	if fmt.Sprint(result.Reconnects) != "[0 0]" || !result.Back || !result.Joined {
		t.Errorf("%+v", result)
	}
	for _, n := range nodes[:2] {
		if log := n.log.String(); strings.Count(log, "link lost") > 1 { // that of the killed node
			t.Errorf("links of %s broke:\n%s", n.name, log)
		}
	}
}
