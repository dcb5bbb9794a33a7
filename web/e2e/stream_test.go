//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// follower is curl -N on an event stream, which comes back with the id of the last event.
type follower struct {
	t    *testing.T
	curl *exec.Cmd
	over chan struct{}

	mu      sync.Mutex
	id      string
	numbers []int
	gaps    int
}

func (f *follower) to(n *node) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	args := []string{"-sN", "http://" + n.HTTP + "/sse?room=room"}
	if f.id != "" {
		args = append(args, "-H", "Last-Event-ID: "+f.id)
	}
	curl := exec.Command("curl", args...)
	out, err := curl.StdoutPipe()
	if err == nil {
		err = curl.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	over := make(chan struct{})
	f.curl, f.over = curl, over
	go func() {
		defer close(over)
		blocks := bufio.NewScanner(out)
		blocks.Buffer(nil, 1<<20)
		blocks.Split(splitBlocks)
		for blocks.Scan() {
			f.read(blocks.Text())
		}
		curl.Wait()
	}()
	f.t.Cleanup(func() { curl.Process.Kill(); <-over })
}

// splitBlocks leaves out what the end of a stream has cut, as a browser does.
func splitBlocks(data []byte, _ bool) (int, []byte, error) {
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		return i + 2, data[:i], nil
	}
	return 0, nil, nil
}

func (f *follower) read(block string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(block) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		var e struct {
			Type string
			Data int
		}
		switch {
		case field == "id":
			f.id = value
		case field != "data":
		case json.Unmarshal([]byte(value), &e) != nil:
			f.t.Errorf("data %s", value)
		case e.Type == "gap":
			f.gaps++
		default:
			f.numbers = append(f.numbers, e.Data)
		}
	}
}

func (f *follower) got() (count, gaps int, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.numbers), f.gaps, f.id
}

func (f *follower) leave() {
	f.curl.Process.Kill()
	<-f.over
}

// An event stream goes on at another node when its connection broke, and when its node
// was killed: every event once, in order, and no gap. Who makes an id up is told of one.
func TestEventStreamGoesOnAtAnotherNode(t *testing.T) {
	need(t, "curl")
	nodes := startCluster(t, 3, recovery)
	count := 0
	publish := func(more int) {
		t.Helper()
		for range more {
			if status, body := nodes[2].post("/api/publish", fmt.Sprintf(`{"room":"room","event":"e","data":%d}`, count)); status != 200 {
				t.Fatal(status, body)
			}
			count++
		}
	}
	f := &follower{t: t}
	whole := func(what string) {
		t.Helper()
		eventually(t, 15*time.Second, what, func() bool { got, _, _ := f.got(); return got >= count })
	}
	f.to(nodes[0])
	eventually(t, 10*time.Second, "the id of the session", func() bool { _, _, id := f.got(); return id != "" })
	publish(10)
	whole("the first events")
	time.Sleep(time.Second) // the mirror knows what was handed out
	f.leave()
	publish(10)
	f.to(nodes[1])
	whole("what was missed with a broken connection")
	publish(10)
	whole("events at another node")
	time.Sleep(time.Second)
	nodes[1].kill()
	<-f.over
	publish(20)
	f.to(nodes[0])
	whole("what was missed with a killed node")
	publish(10)
	whole("events behind the kill")
	for i, n := range f.numbers {
		if n != i {
			t.Fatalf("event %d is number %d: %v", i, n, f.numbers)
		}
	}
	if got, gaps, _ := f.got(); got != count || gaps > 0 {
		t.Errorf("%d of %d events, %d gaps", got, count, gaps)
	}
	f.leave()
	made := &follower{t: t, id: "." + strings.Repeat("A", 22)}
	made.to(nodes[2])
	eventually(t, 10*time.Second, "a gap", func() bool { _, gaps, _ := made.got(); return gaps == 1 })
	made.leave()
}
