//go:build unix

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// balancer is an nginx with the configuration of the README.
type balancer struct {
	t   *testing.T
	url string
	log string // a line "status method upstreams uri" for each request
}

// startNginx puts an nginx in plain round robin before nodes.
func startNginx(t *testing.T, nodes []*node) *balancer {
	t.Helper()
	need(t, "nginx")
	sample, err := os.ReadFile("../../deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir, front := t.TempDir(), freePort(t)
	site := strings.Replace(string(sample), "listen 80;", "listen "+front+";", 1)
	for i, n := range nodes {
		site = strings.Replace(site, fmt.Sprintf("10.0.0.%d:8080", i+1), n.HTTP, 1)
	}
	b := &balancer{t: t, url: "http://" + front, log: filepath.Join(dir, "access.log")}
	conf := fmt.Sprintf(`worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; events { worker_connections 4096; }
http { log_format short '$status $request_method $upstream_addr $request_uri'; access_log %[2]s short;
client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
%[3]s }`, dir, b.log, site)
	if os.Geteuid() == 0 {
		conf = "user root;\n" + conf
	}
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", name, "-g", "daemon off;")
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if text, _ := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() {
			t.Logf("nginx: %s%.3000s", out, text)
		}
	})
	eventually(t, 5*time.Second, "nginx serves", func() bool {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return b
}

// statuses counts the requests by status.
func (b *balancer) statuses() map[string]int {
	b.t.Helper()
	text, err := os.ReadFile(b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(text)) {
		count[line[:3]]++
	}
	return count
}

// wantOnly fails for each status that is not among those wanted.
func (b *balancer) wantOnly(want ...string) {
	b.t.Helper()
	count := b.statuses()
	b.t.Logf("requests by status: %v", count)
	for status, n := range count {
		if !strings.Contains(strings.Join(want, " "), status) {
			b.t.Errorf("%d requests were answered with %s", n, status)
		}
	}
}

// A hundred official clients behind a balancer that is not sticky, 10,000 messages:
// no request goes to a node that does not know what to do with it.
func TestRoundRobinNeedsNoStickiness(t *testing.T) {
	for _, tt := range []struct {
		name       string
		transports []string
		last       string
	}{
		{"polling only", []string{"polling"}, "polling"},
		{"polling, then websocket", nil, "websocket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startCluster(t, 3)
			b := startNginx(t, nodes)
			const clients, each = 100, 100
			var result struct {
				Problems, Disconnects []string
				Sent                  int
				First, Last           map[string]int
			}
			script(t, 5*time.Minute, "many.mjs", map[string]any{"urls": []string{b.url}, "clients": clients, "each": each,
				"transports": tt.transports, "limit": 240000}, &result)
			for _, p := range append(result.Problems, result.Disconnects...) {
				t.Error(p)
			}
			if result.Sent != clients*each || result.First["polling"] != clients || result.Last[tt.last] != clients {
				t.Errorf("%d messages, transports %v, then %v", result.Sent, result.First, result.Last)
			}
			for _, n := range nodes {
				t.Logf("%s: %v requests passed on, %v taken for others", n.name,
					n.metric(`meshrt_forwarded_requests_total{dir="out",result="ok"}`), n.metric(`meshrt_forwarded_requests_total{dir="in",result="ok"}`))
			}
			b.wantOnly("200", "101", "499") // 499: a client hung up, at the end
		})
	}
}

func TestLargeMessagesBehindABalancer(t *testing.T) {
	nodes := startCluster(t, 3)
	b := startNginx(t, nodes)
	for _, transports := range [][]string{{"polling"}, {"polling", "websocket"}} {
		var result struct{ Sent, Received, Disconnects []string }
		script(t, time.Minute, "large.mjs", map[string]any{"url": b.url, "transports": transports, "text": 990_000, "binary": 740_000}, &result)
		if len(result.Sent) != 4 || fmt.Sprint(result.Sent) != fmt.Sprint(result.Received) || len(result.Disconnects) != 0 {
			t.Errorf("%v: %+v", transports, result)
		}
	}
	b.wantOnly("200", "101", "499")
}

// A node goes, and the sessions of the others go on, though a third of their
// requests was on its way through that node: their websockets, where they have such,
// hang on the node that took the session. Nobody's errors go in circles.
func TestOnlyTheClientsOfANodeReconnectWithIt(t *testing.T) {
	for _, tt := range []struct {
		name       string
		transports []string
		end        func(n *node)
	}{
		{"kill -9, polling", []string{"polling"}, (*node).kill},
		{"SIGTERM, polling", []string{"polling"}, (*node).stop},
		{"kill -9, polling, then websocket", nil, (*node).kill},
		{"SIGTERM, polling, then websocket", nil, (*node).stop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startCluster(t, 3)
			b := startNginx(t, nodes)
			const clients = 100
			p := startScript(t, 2*time.Minute, "behind.mjs", map[string]any{"url": b.url, "clients": clients, "transports": tt.transports})
			ids := strings.Split(strings.TrimPrefix(<-p.events, "ids "), ",")
			count := 0
			talker, victim := nodes[0], nodes[2]
			talk := func(n int) {
				for range n {
					if status, body := talker.post("/api/publish", fmt.Sprintf(`{"room":"room","event":"m","data":%d}`, count)); status != http.StatusOK {
						t.Fatalf("publish: %d %s", status, body)
					}
					count++
					time.Sleep(10 * time.Millisecond)
				}
			}
			talk(50)
			time.Sleep(300 * time.Millisecond) // no answer is on its way
			where := whereAre(t, talker, ids)
			if len(where[victim.name]) == 0 {
				talker, victim = victim, talker
			}
			if len(where[victim.name]) == 0 {
				victim = nodes[1]
			}
			b.wantOnly("200", "101")
			tt.end(victim)
			// Until the others have noticed, answers may be lost on the way through it,
			// which ends their sessions.
			eventually(t, 10*time.Second, "the others have noticed", func() bool {
				return !slices.ContainsFunc(nodes, func(n *node) bool { return n != victim && n.up() != 2 })
			})
			p.tell(strings.Join(where[victim.name], ","))
			talk(100)
			p.event("back")
			talk(50)
			p.tell(fmt.Sprint(count))
			checkOnlyItsClients(t, p, count)
			statuses := b.statuses()
			t.Logf("requests by status: %v", statuses)
			if statuses["400"] > clients || statuses["502"] > clients {
				t.Error("errors go in circles")
			}
		})
	}
}

// checkOnlyItsClients judges what behind.mjs tells.
func checkOnlyItsClients(t *testing.T, p *process, count int) {
	t.Helper()
	var result struct {
		Back    bool
		Clients []struct {
			Victim            bool
			Transport         string
			Disconnects       []string
			Errors, Got, Last int
			Ordered           bool
		}
	}
	p.wait(&result)
	its, others, errors := 0, 0, 0
	for i, c := range result.Clients {
		errors = max(errors, c.Errors)
		switch {
		case len(c.Disconnects) > 1 || c.Last != count-1 || !c.Ordered:
			t.Errorf("client %d: %+v", i, c)
		case c.Victim:
			its++
			if len(c.Disconnects) != 1 {
				t.Errorf("client %d of the node did not reconnect", i)
			}
		case len(c.Disconnects) == 1:
			others++
		case c.Got != count:
			t.Errorf("client %d did not reconnect and has %d messages of %d", i, c.Got, count)
		}
	}
	t.Logf("%d of its clients reconnected, and %d others; at most %d failed attempts of one client", its, others, errors)
	if !result.Back || its == 0 || others > 0 || errors > 3 {
		t.Errorf("back %v", result.Back)
	}
}

// whereAre tells on which nodes sockets are, by the name of the node.
func whereAre(t *testing.T, n *node, ids []string) map[string][]string {
	t.Helper()
	var body struct{ Sockets []struct{ ID, Node string } }
	if err := n.getJSON("/api/sockets?limit=1000", &body); err != nil {
		t.Fatal(err)
	}
	where := map[string][]string{}
	for _, s := range body.Sockets {
		if slices.Contains(ids, s.ID) {
			where[s.Node] = append(where[s.Node], s.ID)
		}
	}
	for name, list := range where {
		t.Logf("%d clients on %s", len(list), name)
	}
	return where
}

// stop ends n in order.
func (n *node) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	<-n.exited
}
