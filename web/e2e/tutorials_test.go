//go:build unix

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// The servers of web/e2e/tutorials do for official clients what their comments say.
func TestTutorialsServeTheOfficialClient(t *testing.T) {
	need(t, "node")
	needPackages(t)
	program := filepath.Join(t.TempDir(), "tutorials")
	if out, err := exec.Command("go", "build", "-o", program, "./tutorials").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var urls []string
	first := ""
	for _, name := range []string{"one", "two"} {
		addr, bind := freePort(t), freePort(t)
		cmd := exec.Command(program, "-node", name, "-http", addr, "-bind", bind, "-join", first, "-key", "k3y")
		log := &buffer{}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Signal(os.Interrupt)
			if err := cmd.Wait(); err != nil || t.Failed() {
				t.Errorf("%v\n%s", err, log)
			}
		})
		urls = append(urls, "http://"+addr)
		if first == "" {
			first = bind
		}
	}
	for _, url := range urls {
		eventually(t, 10*time.Second, url+" is ready", func() bool {
			resp, err := http.Get(url + "/readyz")
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
	var got map[string]any
	script(t, 30*time.Second, "tutorials.mjs", map[string]any{"urls": urls, "key": "k3y"}, &got)
	want := map[string]any{
		"there":     []any{"ann", "bob"},
		"chat":      true,
		"left":      true,
		"refused":   []any{"wrong key", map[string]any{"code": "forbidden"}},
		"move":      map[string]any{"legal": true, "you": true},
		"state":     []any{1., 2., 3.},
		"kicked":    []any{"io server disconnect"},
		"broadcast": []any{202., true},
		"users":     []any{"ann", "bob"},
		"receipt":   map[string]any{"seen": 1.},
		"self":      map[string]any{"seen": 1.},
	}
	for name, w := range want {
		if !reflect.DeepEqual(got[name], w) {
			t.Errorf("%s: %v, want %v", name, got[name], w)
		}
	}
}
