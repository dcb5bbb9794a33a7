//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadme does what the README tells a newcomer to do, word by word, on two
// boxes (network namespaces) named first and second: every command, every
// snippet. A command that this test does not know is a failure.
func TestReadme(t *testing.T) {
	need(t, "ip", "node", "curl", "make", "chromium")
	needPackages(t)
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	r := newReadme(t)
	first, second := r.box("first", "10.77.0.1"), r.box("second", "10.77.0.2")
	r.connect(first, second)

	// "start it on every box and the boxes form one cluster"
	one := first.start("meshrt")
	two := second.start("meshrt -join first:7946")
	first.until("both are members", "meshrt members", func(out string) bool { return strings.Count(out, "\n") == 3 && strings.Contains(out, " up ") })
	second.until("the chat is served", "curl -s http://localhost:8080", func(out string) bool { return strings.Contains(out, "meshrt chat") })
	first.run("meshrt check -join first:7946     # would the server take these flags? prints what is in force", "join first:7946")
	first.run("meshrt secret                     # a new cluster secret", "")
	first.run("meshrt members                    # the nodes, as the one on this machine sees them", "self")
	first.run(`meshrt publish -room lobby hello '"hi"' '{"from":"the shell"}'`, "")
	first.run("meshrt version", "go1.")
	first.run("meshrt bench fanout -clients 1000 -rate 60    # latency, and what was lost, doubled or out of order; see meshrt bench -h", "0 lost, 0 doubled, 0 out of order")
	second.run("meshrt drain                      # moves its clients away, as SIGTERM does, but it runs on, unready: before maintenance", "")
	second.until("it is unready", "curl -s -o /dev/null -w '%{http_code}' http://localhost:8080/readyz", func(out string) bool { return strings.Contains(out, "503") })
	stop(one, two)
	little := first.start("GOMEMLIMIT=48MiB meshrt")
	first.until("the chat is served", "curl -s http://localhost:8080", func(out string) bool { return strings.Contains(out, "meshrt chat") })
	stop(little)

	// "Two commands": make run; the other is what runs this test.
	r.known["make test"] = true
	r.known["make run"] = true
	// TestImage takes the steps of the Dockerfile.
	r.known["docker build -t meshrt ."] = true
	r.known["docker run --network host --read-only meshrt -join first:7946"] = true
	nodes := first.startIn(r.root, "make run")
	first.until("three nodes", "curl -s http://127.0.0.1:7980/api/nodes", func(out string) bool { return strings.Count(out, `"state":"up"`) == 2 })

	// "Connect": the listener is the plain WebSocket one, on another node.
	listener := first.startIn(r.clients, "node "+r.snippet("const ws = new WebSocket", "import WebSocket from 'ws';\n"))
	first.wait("the listener has joined", func() bool { return strings.Contains(listener.log.String(), `"ok":true`) })
	sender := first.startIn(r.clients, "node "+r.snippet("import { io }", ""))
	first.wait("the snippets talk", func() bool { return strings.Contains(listener.log.String(), `"event":"hello","data":"hi"`) })
	for i := 0; i < 2 && !strings.Contains(sender.log.String(), "curl says hi"); i++ { // the first may come before its join
		first.run(`curl -H 'Content-Type: application/json' -d '{"room":"lobby","event":"hello","args":["hi","curl"]}' http://localhost:7980/api/publish`, `{"ok":true}`)
		time.Sleep(500 * time.Millisecond)
	}
	if !strings.Contains(sender.log.String(), "curl says hi") {
		t.Errorf("the Socket.IO snippet did not hear of curl:\n%s", sender.log)
	}
	reader := first.start("curl -N 'http://localhost:8080/sse?room=lobby'")
	first.wait("the stream is open", func() bool { return strings.Contains(reader.log.String(), "session") })
	first.output(`curl -s -H 'Content-Type: application/json' -d '{"room":"lobby","event":"hello","args":["sse"]}' http://localhost:7982/api/publish`)
	first.wait("the stream brings the event", func() bool {
		return strings.Contains(reader.log.String(), "event: hello") || strings.Contains(reader.log.String(), "event:hello")
	})
	stop(listener, sender, reader, nodes)

	pictures := t.TempDir()
	first.output("make -C " + r.root + " pictures PICTURES=" + pictures)
	for _, name := range []string{"chat.png", "chat-phone.png"} {
		if info, err := os.Stat(filepath.Join(pictures, name)); err != nil || info.Size() < 20_000 {
			t.Errorf("make pictures: %s: %v", name, err)
		}
	}
	r.complete()
}

type readme struct {
	t             *testing.T
	text          string
	root, clients string
	hosts         map[string]string
	known         map[string]bool
}

func newReadme(t *testing.T) *readme {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root, _ := filepath.Abs("../..")
	return &readme{t: t, text: string(text), root: root, clients: filepath.Join(root, "web/e2e"), hosts: map[string]string{}, known: map[string]bool{}}
}

// complete fails for commands of the README that were not run, and for links and
// pictures that lead nowhere.
func (r *readme) complete() {
	for _, m := range regexp.MustCompile(`(?:\]\(|src=")([^)"#]+)`).FindAllStringSubmatch(r.text, -1) {
		if _, err := os.Stat(filepath.Join(r.root, m[1])); err != nil {
			r.t.Errorf("link to %s: %v", m[1], err)
		}
	}
	for line := range strings.Lines(r.text) {
		command := strings.TrimSpace(line)
		if strings.HasPrefix(line, "    ") && !r.known[command] {
			if name, _, _ := strings.Cut(command, "  "); !r.known[name] {
				r.t.Errorf("nobody has run %q", command)
			}
		}
	}
}

// snippet writes a JavaScript block of the README to a file. The second box of
// make run is on this machine, so it runs as it is.
func (r *readme) snippet(start, prelude string) string {
	code := r.block(start)
	f, err := os.CreateTemp(r.clients, "readme-*.mjs")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.Remove(f.Name()) })
	fmt.Fprint(f, prelude, code)
	f.Close()
	return f.Name()
}

// block is a JavaScript block of the README that starts so.
func (r *readme) block(start string) string {
	r.t.Helper()
	for _, block := range strings.Split(r.text, "```js\n")[1:] {
		if code, _, _ := strings.Cut(block, "```"); strings.HasPrefix(code, start) {
			return code
		}
	}
	r.t.Fatalf("no snippet that starts with %q", start)
	return ""
}

// box is a network namespace with a hosts file of its own.
type box struct {
	r              *readme
	name, ns, addr string
}

func (r *readme) box(name, addr string) *box {
	b := &box{r, name, fmt.Sprintf("meshrt-%s-%d", name, os.Getpid()), addr}
	r.hosts[name] = addr
	dir := filepath.Join("/etc/netns", b.ns)
	r.t.Cleanup(func() { exec.Command("ip", "netns", "del", b.ns).Run(); os.RemoveAll(dir) })
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.ip("netns add " + b.ns)
	r.ip("-n " + b.ns + " link set lo up")
	return b
}

func (r *readme) connect(a, b *box) {
	link := fmt.Sprint("mrt", os.Getpid()%100000)
	r.ip(fmt.Sprintf("link add %sa netns %s type veth peer name %sb netns %s", link, a.ns, link, b.ns))
	hosts := "127.0.0.1 localhost\n"
	for name, addr := range r.hosts {
		hosts += addr + " " + name + "\n"
	}
	for x, end := range map[*box]string{a: "a", b: "b"} {
		r.ip(fmt.Sprintf("-n %s addr add %s/24 dev %s%s", x.ns, x.addr, link, end))
		r.ip(fmt.Sprintf("-n %s link set %s%s up", x.ns, link, end))
		if err := os.WriteFile(filepath.Join("/etc/netns", x.ns, "hosts"), []byte(hosts), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *readme) ip(args string) {
	r.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		r.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// command is a shell's, in the box.
func (b *box) command(ctx context.Context, dir, line string) *exec.Cmd {
	// Boxes have names of their own, and so have their nodes.
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", b.ns, "unshare", "--uts", "bash", "-c", "hostname "+b.name+"; "+line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(meshrt)+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

type running struct {
	cmd *exec.Cmd
	log *buffer
}

func (b *box) start(line string) *running { return b.startIn(os.TempDir(), line) }

func (b *box) startIn(dir, line string) *running {
	b.r.t.Helper()
	b.r.known[line] = true
	cmd, log := b.command(context.Background(), dir, line), &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		b.r.t.Fatal(err)
	}
	b.r.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if b.r.t.Failed() {
			b.r.t.Logf("%s:\n%s", line, log)
		}
	})
	return &running{cmd, log}
}

// run runs a command to its end.
func (b *box) run(line, want string) {
	b.r.t.Helper()
	b.r.known[line] = true
	out := b.output(line)
	if !strings.Contains(out, want) {
		b.r.t.Errorf("%s printed %q, want %q in it", line, out, want)
	}
}

func (b *box) output(line string) string {
	b.r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := b.command(ctx, os.TempDir(), line)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		b.r.t.Errorf("%s: %v\n%s", line, err, &out)
	}
	return out.String()
}

func (b *box) until(what, line string, ok func(out string) bool) {
	b.r.t.Helper()
	b.wait(what, func() bool {
		out, err := b.command(context.Background(), os.TempDir(), line).Output()
		return err == nil && ok(string(out))
	})
}

func (b *box) wait(what string, ok func() bool) {
	b.r.t.Helper()
	eventually(b.r.t, 60*time.Second, what, ok)
}

// stop is Ctrl-C.
func stop(all ...*running) {
	for _, r := range all {
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT)
	}
	for _, r := range all {
		r.cmd.Wait()
	}
}
