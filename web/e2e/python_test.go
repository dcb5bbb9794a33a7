//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Debian's python3-socketio, both of its clients, with the transports that it
// chooses by itself, and with each alone.
func TestPythonClients(t *testing.T) {
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	if exec.Command(python, "-c", "import socketio, aiohttp, requests, websocket").Run() != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3-socketio is missing and in CI nothing is skipped")
		}
		t.Skip("python3-socketio is missing; web/e2e/deps installs it")
	}
	nodes := startCluster(t, 3)
	for name, transports := range map[string][]string{"default": nil, "websocket": {"websocket"}, "polling": {"polling"}} {
		t.Run(name, func(t *testing.T) {
			options, _ := json.Marshal(map[string]any{"url": "http://" + nodes[1].HTTP, "transports": transports, "count": 200})
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, python, "clients/python_client.py", string(options)).CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}
