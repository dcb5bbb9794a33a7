//go:build unix

package comeback

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is the processes with the clients, and what they tell.
type crowd struct {
	t       *testing.T
	ins     []io.WriteCloser
	done    sync.WaitGroup
	refused map[string]int // publishes that were not acknowledged, by what was said
	errors  map[string]int // clients that may not connect, by what was said

	mu sync.Mutex
	h  *history
}

// startCrowd starts the clients, some in each process.
func startCrowd(t *testing.T, h *history, url string, processes, rate int, transports []string) *crowd {
	t.Helper()
	c := &crowd{t: t, h: h, refused: map[string]int{}, errors: map[string]int{}}
	each := len(h.clients) / processes
	for i := range processes {
		options, _ := json.Marshal(map[string]any{"url": url, "first": i * each, "clients": each, "rooms": h.rooms, "rate": rate / processes, "transports": transports, "breaks": os.Getenv("BREAK")})
		cmd := exec.Command("node", "../clients/comeback.mjs", string(options))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c.ins = append(c.ins, in)
		c.done.Go(func() { c.read(out); cmd.Wait() })
		t.Cleanup(func() { cmd.Process.Kill() })
	}
	return c
}

// tell says a word to all processes.
func (c *crowd) tell(word string) {
	for _, in := range c.ins {
		fmt.Fprintln(in, word)
	}
}

// end lets the processes end, and returns when all that they told is in the history.
func (c *crowd) end() {
	c.tell("end")
	c.done.Wait()
}

func (c *crowd) read(out io.Reader) {
	defer func() { io.Copy(io.Discard, out) }()
	if dir := os.Getenv("HISTORY"); dir != "" { // to look into what the judge says
		file, err := os.CreateTemp(dir, "history")
		if err != nil {
			c.t.Error(err)
			return
		}
		defer file.Close()
		out = io.TeeReader(out, file)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if err := c.line(strings.Fields(lines.Text())); err != nil {
			c.t.Errorf("%q: %v", lines.Text(), err)
			return
		}
	}
}

// line takes in one line: see comeback.mjs.
func (c *crowd) line(words []string) error {
	if len(words) == 0 {
		return nil
	}
	var n [5]int64
	numbers := map[string]int{"C": 4, "J": 2, "D": 2, "E": 2, "P": 4, "A": 4, "N": 4, "R": 5}[words[0]]
	if numbers == 0 || len(words) <= numbers {
		return fmt.Errorf("no line of a client")
	}
	for i := range numbers {
		var err error
		if n[i], err = strconv.ParseInt(words[i+1], 10, 64); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n[0] < 0 || int(n[0]) >= len(c.h.clients) {
		return fmt.Errorf("no client has this number")
	}
	switch words[0] {
	case "C":
		c.h.connected(int(n[0]), n[1], n[2] == 1, n[3] == 1)
	case "J":
		c.h.joined(int(n[0]), n[1])
	case "D":
		c.h.lost(int(n[0]), n[1])
	case "E":
		c.errors[words[3]]++
	case "P":
		c.h.sent[message{int(n[0]), int(n[2]), int(n[3])}] = &published{at: n[1]}
	case "A":
		c.h.sent[message{int(n[0]), int(n[2]), int(n[3])}].acked = n[1]
	case "N":
		c.refused[words[len(words)-1]]++
	case "R":
		x := &c.h.clients[n[0]]
		x.receipts = append(x.receipts, receipt{message{int(n[2]), int(n[3]), int(n[4])}, n[1]})
	}
	return nil
}

// calm waits until nothing has come for 3 s, at most a minute: what is late on a busy machine is not lost.
func (c *crowd) calm() {
	for end, before := time.Now().Add(time.Minute), -1; time.Now().Before(end); time.Sleep(3 * time.Second) {
		now := c.received()
		if now == before {
			return
		}
		before = now
	}
}

func (c *crowd) received() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.h.clients {
		n += len(c.h.clients[i].receipts)
	}
	return n
}

// state counts the clients that are members now, and those without a connection.
func (c *crowd) state() (members, away int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.h.clients {
		switch x := &c.h.clients[i]; {
		case x.away():
			away++
		case x.member():
			members++
		}
	}
	return members, away
}
