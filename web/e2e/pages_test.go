//go:build unix

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestChatPages runs the scenarios of clients/pages.mjs: the chat demo by
// keyboard, through outages, with hostile data, in several rooms, over reloads and
// in all its looks; and the classic chat.
// MESHRT_SHOTS keeps the screenshots.
func TestChatPages(t *testing.T) {
	need(t, "node", "chromium")
	needPackages(t)
	shots := os.Getenv("MESHRT_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	shots, _ = filepath.Abs(shots)
	chromium, _ := exec.LookPath("chromium")
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "clients/pages.mjs")
	cmd.Env = append(os.Environ(), "MESHRT="+meshrt, "CHROMIUM="+chromium, "SHOTS="+filepath.Join(shots, "pages"),
		"HTTP="+strconv.Itoa(threePorts(t)), "API="+strconv.Itoa(threePorts(t)), "BIND="+strconv.Itoa(threePorts(t)))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
