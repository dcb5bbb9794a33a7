//go:build linux

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The last stage of the Dockerfile, put together by hand where there is no
// Docker: an empty root with what it copies, its user, its entry point. The
// program must be content with that, and with a root that it cannot write.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for chroot")
	}
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	os.Chmod(filepath.Dir(root), 0o755)
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(text), "FROM scratch")
	entry, user := "", ""
	for line := range strings.Lines(last) {
		switch f := strings.Fields(line); {
		case len(f) == 4 && f[0] == "COPY":
			from, to := f[2], filepath.Join(root, f[3])
			if from == "/meshrt" {
				from = meshrt
			}
			if strings.HasSuffix(f[3], "/") {
				to = filepath.Join(to, filepath.Base(from))
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
				t.Fatalf("%s: %s", line, out)
			}
		case len(f) == 2 && f[0] == "USER":
			user = f[1]
		case len(f) == 2 && f[0] == "ENTRYPOINT":
			entry = strings.Trim(f[1], `[]"`)
		}
	}
	if user != "65532:65532" || entry != "/meshrt" {
		t.Fatalf("user %q, entry point %q", user, entry)
	}
	addr, bind := freePort(t), freePort(t)
	cmd := exec.Command(entry, "-node", "box", "-http", addr, "-api", "off", "-bind", bind)
	cmd.Path, cmd.Err = entry, nil
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the container serves", func() bool {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	t.Logf("%s", log)
}
