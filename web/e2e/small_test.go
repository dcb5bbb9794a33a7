//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryGroup makes a control group that may use limit bytes, and tells its folder
// and the file with its peak. Without root, or where there is none, both are empty.
func memoryGroup(t *testing.T, limit int) (dir, peak string) {
	t.Helper()
	name := "meshrt-e2e-" + strconv.Itoa(os.Getpid())
	for _, version := range []struct{ root, limit, peak string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.peak"},
	} {
		dir := filepath.Join(version.root, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(dir, version.limit), []byte(strconv.Itoa(limit)), 0) != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		return dir, filepath.Join(dir, version.peak)
	}
	return "", ""
}

// The kernel kills a node that wants more than its control group has.
func TestFiveHundredClientsChatIn64MB(t *testing.T) {
	const limit = 64_000_000
	dir, peakFile := memoryGroup(t, limit)
	n := newNode(t, "small", nil)
	t.Setenv("GOMEMLIMIT", "48MiB") // as the README says
	if dir == "" {
		t.Log("no control group for memory: the peak of the process is looked at alone")
	} else {
		n.within = []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(dir, "cgroup.procs")}
	}
	n.start()
	eventually(t, 5*time.Second, "the node serves", func() bool { return n.status("/readyz") == 200 })
	var result struct {
		Problems, Disconnects []string
		Sent                  int
	}
	script(t, 3*time.Minute, "many.mjs", map[string]any{"urls": urls([]*node{n}), "clients": 500, "each": 2, "transports": []string{"websocket"}}, &result)
	for _, p := range append(result.Problems, result.Disconnects...) {
		t.Error(p)
	}
	if text, err := os.ReadFile(peakFile); err == nil {
		t.Logf("the control group had %d MB, the most in use was %s bytes", limit/1_000_000, strings.TrimSpace(string(text)))
	}
	peak := peakMemory(t, n)
	t.Logf("%d messages to 500 clients; peak resident memory %.1f MB", result.Sent, float64(peak)/1e6)
	if peak > limit {
		t.Errorf("peak resident memory %d bytes, want at most %d", peak, limit)
	}
}

// peakMemory is the largest resident memory of a node so far, in bytes.
func peakMemory(t *testing.T, n *node) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &bytes)
	}
	if bytes == 0 {
		t.Error("the kernel tells no VmHWM")
	}
	return bytes << 10
}
