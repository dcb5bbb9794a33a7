package engineio_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/web/engineio"
)

// Whatever the order of sends, polls, posts and the upgrade, and also when the
// client does not wait for its requests before it upgrades: each message arrives
// once and in order, in both directions. What a request was refused for is not
// received.
func TestUpgradeLosesDoublesAndReordersNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		plan := rapid.SliceOfN(rapid.SampledFrom(strings.Split("send,send,flush,get,get,post,post,settle,sleep,probe,upgrade,hasty", ",")), 1, 40).Draw(r, "plan")
		slow := rapid.IntRange(0, 3).Draw(r, "milliseconds of a Received")
		var fault string
		app := newApp(func(*session, string, bool) { time.Sleep(time.Duration(slow) * time.Millisecond) })
		inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
			m := &mover{poller: h.polling(app)}
			for _, step := range plan {
				m.step(step)
			}
			fault = m.finish()
		})
		if fault != "" {
			r.Fatal(fault)
		}
	})
}

// mover is a client that does one thing of each kind at a time, and counts.
type mover struct {
	*poller
	requests sync.WaitGroup
	ws       *client
	moved    bool
	wsReader sync.WaitGroup

	sent     []string // by the server
	messages int      // of the client

	mu                        sync.Mutex
	getting, posting, writing bool
	posted, written           []string // by the client, and taken by the server
	polled, heard             []string // by the client, from polls and from the websocket
}

func (m *mover) step(step string) {
	switch step {
	case "send":
		m.sent = append(m.sent, fmt.Sprint("4s", len(m.sent)))
		m.s.Send(message(m.sent[len(m.sent)-1][1:], false))
	case "flush":
		m.s.Flush()
	case "get":
		m.get()
	case "post":
		m.say()
	case "settle":
		synctest.Wait()
	case "sleep":
		time.Sleep(2 * time.Millisecond)
	case "probe":
		if m.ws == nil {
			m.ws = m.websocket()
			m.wsReader.Go(m.listen)
			m.ws.send("2probe")
		}
	case "upgrade": // as official clients do: when no request is under way
		if m.ws != nil && !m.moved {
			m.requests.Wait()
			m.move()
		}
	case "hasty":
		if m.ws != nil && !m.moved {
			m.move()
		}
	}
}

func (m *mover) move() {
	m.moved = true
	m.ws.send("5")
}

// get starts a poll, unless one is under way.
func (m *mover) get() {
	if !m.take(&m.getting) {
		return
	}
	m.requests.Go(func() {
		got := m.poller.get()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.getting = false
		if packets, ok := strings.CutPrefix(string(got), "200 "); ok && packets != "6" {
			m.polled = append(m.polled, strings.Split(packets, "\x1e")...)
		}
	})
}

// say sends two messages, by the websocket once the client has moved, else by a
// POST, unless one is under way there.
func (m *mover) say() {
	busy, send := &m.posting, m.sayByPost
	if m.moved {
		busy, send = &m.writing, m.sayByWebSocket
	}
	if !m.take(busy) {
		return
	}
	packets := []string{fmt.Sprint("c", m.messages), fmt.Sprint("c", m.messages+1)}
	m.messages += 2
	m.requests.Go(func() {
		said := send(packets)
		m.mu.Lock()
		defer m.mu.Unlock()
		*busy = false
		*said = append(*said, packets...)
	})
}

func (m *mover) sayByPost(packets []string) (said *[]string) {
	if m.post("4"+packets[0], "4"+packets[1]) == "200 ok" {
		return &m.posted
	}
	return new([]string) // refused
}

func (m *mover) sayByWebSocket(packets []string) (said *[]string) {
	for _, one := range packets {
		m.ws.Write(context.Background(), websocket.MessageText, []byte("4"+one))
	}
	return &m.written
}

// take sets busy, unless it is set.
func (m *mover) take(busy *bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if *busy {
		return false
	}
	*busy = true
	return true
}

// listen keeps what comes by the websocket.
func (m *mover) listen() {
	for {
		_, data, err := m.ws.Read(context.Background())
		if err != nil {
			return
		}
		if string(data) != "3probe" {
			m.mu.Lock()
			m.heard = append(m.heard, string(data))
			m.mu.Unlock()
		}
	}
}

// finish lets everything arrive and says what was wrong.
func (m *mover) finish() string {
	m.s.Flush()
	time.Sleep(time.Second)
	if !m.moved {
		m.s.Send(message("end", false))
		m.sent = append(m.sent, "4end")
		m.s.Flush()
		m.get()
	}
	m.requests.Wait()
	if ends := m.s.ends(); len(ends) != 0 {
		return fmt.Sprintf("the session ended: %v", ends)
	}
	m.s.Close(engineio.ReasonTransportError)
	if m.ws != nil {
		m.ws.CloseNow()
	}
	m.wsReader.Wait()
	// A poll that began after the end was fetched waits for a ping.
	m.polled = slices.DeleteFunc(m.polled, func(p string) bool { return p == "2" })
	if got, want := payload(append(m.polled, m.heard...)...), payload(m.sent...); got != want {
		return fmt.Sprintf("the client got %q and then %q, want %q", m.polled, m.heard, m.sent)
	}
	if got, want := m.s.messages(), strings.Join(append(m.posted, m.written...), ","); got != want {
		return fmt.Sprintf("the server got %s, want %s", got, want)
	}
	return ""
}
