//go:build unix

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ws "github.com/coder/websocket"
)

// buildConformance builds the program beside meshrt.
var buildConformance = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(meshrt), "conformance")
	if out, err := exec.Command("go", "build", "-o", program, "./conformance").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
})

// startConformance starts the conformance server and tells its host:port.
func startConformance(t *testing.T, flags ...string) string {
	t.Helper()
	program, err := buildConformance()
	if err != nil {
		t.Fatal(err)
	}
	addr := freePort(t)
	cmd := exec.Command(program, append([]string{"-http", addr, "-max-payload", "2000000"}, flags...)...)
	log := &buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("conformance: %v", err)
			}
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			t.Errorf("conformance did not end within 10 s of SIGTERM")
		}
		if t.Failed() {
			t.Logf("log of conformance:\n%s", log)
		}
	})
	eventually(t, 5*time.Second, "the conformance server listens", func() bool { return strings.Contains(log.String(), "serving") })
	return addr
}

// byTransport are the ways that official clients take.
var byTransport = []struct {
	name       string
	transports []string
	last       string
}{
	{"default", nil, "websocket"},
	{"polling", []string{"polling"}, "polling"},
	{"websocket", []string{"websocket"}, "websocket"},
}

// runChecks runs a script of checks, which must pass at least so many.
func runChecks(t *testing.T, name string, least int, options map[string]any) {
	t.Helper()
	var result struct{ Passed, Problems []string }
	script(t, time.Minute, name, options, &result)
	for _, p := range result.Problems {
		t.Error(p)
	}
	if len(result.Passed)+len(result.Problems) < least {
		t.Errorf("%d checks ran, want %d", len(result.Passed), least)
	}
}

// needsTimeout names the check for a method that clients have since 4.4.
const needsTimeout = "an ack that does not come times out at the client"

func TestOfficialClientsSpeakAllOfTheProtocol(t *testing.T) {
	needPackages(t)
	addr := startConformance(t)
	for _, client := range []string{"4", "3"} {
		for _, by := range byTransport {
			t.Run(fmt.Sprintf("socket.io-client %s by %s", client, by.name), func(t *testing.T) {
				options := map[string]any{"url": "http://" + addr, "client": client, "transports": by.transports, "last": by.last}
				least := 15
				if client != "4" {
					options["skip"] = []string{needsTimeout}
					least--
				}
				runChecks(t, "conformance.mjs", least, options)
			})
		}
	}
}

func TestMessagePackClientsSpeakAllOfTheProtocol(t *testing.T) {
	needPackages(t)
	addr := startConformance(t)
	for _, by := range byTransport {
		t.Run(by.name, func(t *testing.T) {
			options := map[string]any{"url": "http://" + addr, "client": "4", "msgpack": true, "transports": by.transports, "last": by.last}
			runChecks(t, "conformance.mjs", 15, options)
		})
	}
}

func TestSocketIO2Clients(t *testing.T) {
	needPackages(t)
	addr := startConformance(t, "-allow-eio3")
	for _, by := range byTransport {
		t.Run("socket.io-client 2 by "+by.name, func(t *testing.T) {
			options := map[string]any{"url": "http://" + addr, "client": "2", "transports": by.transports, "last": by.last, "skip": []string{needsTimeout}}
			runChecks(t, "conformance.mjs", 14, options)
		})
	}
	t.Run("others go on as before", func(t *testing.T) {
		runChecks(t, "conformance.mjs", 15, map[string]any{"url": "http://" + addr, "client": "4"})
	})
	addr = startConformance(t, "-allow-eio3", "-ping-interval", "300ms", "-ping-timeout", "200ms")
	for _, by := range byTransport {
		t.Run("engine.io-client 3 by "+by.name, func(t *testing.T) {
			runChecks(t, "engine.mjs", 1, map[string]any{"url": "http://" + addr, "version": 3, "transports": by.transports, "last": by.last, "idle": 1500})
		})
	}
}

func TestOfficialClientsOverTLS(t *testing.T) {
	needPackages(t)
	cert, key := selfSigned(t)
	addr := startConformance(t, "-tls-cert", cert, "-tls-key", key)
	for _, by := range byTransport {
		t.Run(by.name, func(t *testing.T) {
			options := map[string]any{"url": "https://" + addr, "client": "4", "transports": by.transports, "last": by.last}
			runChecks(t, "conformance.mjs", 15, options)
		})
	}
}

func TestEngineIOClientEchoesOverHeartbeats(t *testing.T) {
	needPackages(t)
	addr := startConformance(t, "-ping-interval", "300ms", "-ping-timeout", "200ms")
	for _, by := range byTransport {
		t.Run(by.name, func(t *testing.T) {
			runChecks(t, "engine.mjs", 1, map[string]any{"url": "http://" + addr, "transports": by.transports, "last": by.last, "idle": 1500})
		})
	}
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER)
}

// unalterable are arguments that no JavaScript client can send as they are.
const unalterable = `9007199254740993,-12345678901234567890.10,1.0,"\ud800 \u00e9é","\/",{"b":1,"a":2,"10":3,"2":4,"b":5}, [ ]`

func TestWhatJavaScriptWouldAlterArrivesUnchanged(t *testing.T) {
	addr := startConformance(t)
	send := `42["message",` + unalterable + `]`
	want := strings.Replace(strings.ReplaceAll(send, ", [", ",["), "message", "message-back", 1)
	t.Run("websocket", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, _, err := ws.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		for _, packet := range []string{"40", send} {
			if err := c.Write(ctx, ws.MessageText, []byte(packet)); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for !slices.Contains(got, want) {
			_, data, err := c.Read(ctx)
			if err != nil {
				t.Fatalf("%v; got %q, want %q", err, got, want)
			}
			got = append(got, string(data))
		}
	})
	t.Run("polling", func(t *testing.T) {
		url := "http://" + addr + "/socket.io/?EIO=4&transport=polling"
		var open struct{ SID string }
		if err := json.Unmarshal([]byte(exchange(t, url, "")[1:]), &open); err != nil {
			t.Fatal(err)
		}
		url += "&sid=" + open.SID
		exchange(t, url, "40")
		exchange(t, url, send)
		var got []string
		eventually(t, 10*time.Second, "the echo", func() bool {
			got = append(got, strings.Split(exchange(t, url, ""), "\x1e")...)
			return len(got) >= 3
		})
		if !slices.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// exchange is a POST of a body, or a GET without one.
func exchange(t *testing.T, url, body string) string {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", method, resp.StatusCode, text, err)
	}
	return string(text)
}
