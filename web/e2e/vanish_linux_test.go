package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// command runs one as root and fails the test if it does.
func command(t *testing.T, line string) {
	t.Helper()
	args := strings.Fields(line)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// A reader of an event stream that vanishes without a FIN, as a phone in a tunnel
// does, is gone within the interval and the timeout of the heartbeat: it sends
// nothing whose absence would tell.
func TestReaderThatVanishesIsGoneInTime(t *testing.T) {
	need(t, "ip", "bash")
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	pid := os.Getpid() // another run of this test may be under way
	space, link := fmt.Sprint("meshrt-vanish-", pid), fmt.Sprint("mrv", pid%1_000_000)
	subnet := fmt.Sprintf("10.%d.%d.", 128+pid/256%64, pid%256)
	here, there := subnet+"1", subnet+"2"
	if out, err := exec.Command("ip", "netns", "add", space).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %s", out)
	}
	t.Cleanup(func() {
		exec.Command("ip", "link", "del", link+"a").Run() // the namespace goes later
		exec.Command("ip", "netns", "del", space).Run()
	})
	command(t, "ip link add "+link+"a type veth peer name "+link+"b netns "+space)
	command(t, "ip addr add "+here+"/24 dev "+link+"a")
	command(t, "ip link set "+link+"a up")
	command(t, "ip -n "+space+" addr add "+there+"/24 dev "+link+"b")
	command(t, "ip -n "+space+" link set "+link+"b up")

	n := newNode(t, "n1", nil, "-ping-interval", "1s", "-ping-timeout", "2s")
	_, port, _ := net.SplitHostPort(n.HTTP)
	n.HTTP = here + ":" + port
	n.args = append(n.args, "-http", n.HTTP)
	n.start()
	eventually(t, 10*time.Second, "the node serves", func() bool { return n.status("/readyz") == 200 })
	reader := exec.Command("ip", "netns", "exec", space, "bash", "-c",
		fmt.Sprintf(`exec 3<>/dev/tcp/%s/%s; printf 'GET /sse?room=r HTTP/1.1\r\nHost: x\r\n\r\n' >&3; exec cat <&3 >/dev/null`, here, port))
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Process.Kill(); reader.Wait() })
	const open = `meshrt_connections{protocol="sse",transport="sse"}`
	eventually(t, 10*time.Second, "the stream is open", func() bool { return n.metric(open) == 1 })
	time.Sleep(5 * time.Second) // heartbeats go through
	if n.metric(open) != 1 {
		t.Fatal("a reader that is there is gone")
	}
	command(t, "ip -n "+space+" addr del "+there+"/24 dev "+link+"b") // what comes for it is nobody's
	took := eventually(t, 20*time.Second, "the reader is gone", func() bool { return n.metric(open) == 0 })
	if took > 4*time.Second {
		t.Errorf("the reader was gone after %v, want 3s", took)
	}
	t.Logf("the reader was gone after %v", took.Round(time.Millisecond))
}
