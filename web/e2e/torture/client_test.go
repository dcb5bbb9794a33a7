//go:build linux

package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// client is one plain WebSocket.
type client struct {
	n      *node
	boot   *run // the process that it is connected to
	conn   *websocket.Conn
	events func(room, data string)
	acked  func(id uint64) // of commands that nobody waits for

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan error
	ended   chan struct{}
}

// frame is what a node says.
type frame struct {
	Type  string
	ID    json.RawMessage // of a command, or of the session
	OK    bool
	Error string
	Room  string
	Data  json.RawMessage
}

// command is what a client says.
type command struct {
	Type     string `json:"type"`
	ID       uint64 `json:"id"`
	Room     string `json:"room"`
	Event    string `json:"event,omitempty"`
	Data     string `json:"data,omitempty"`
	Priority string `json:"priority,omitempty"`
}

// connect opens a session, which takes until the node is in step with the
// cluster. The client reads until ctx or the connection ends; wait for ended.
func connect(ctx context.Context, n *node, events func(room, data string), acked func(uint64)) (*client, error) {
	c := &client{n: n, boot: n.run.Load(), events: events, acked: acked, waiting: map[uint64]chan error{}, ended: make(chan struct{})}
	dctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var err error
	c.conn, _, err = websocket.Dial(dctx, "ws://"+clientAddr+"/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}})
	if err != nil {
		return nil, err
	}
	c.conn.SetReadLimit(1 << 20)
	if f, err := c.read(dctx); err != nil || f.Type != "welcome" {
		c.conn.CloseNow()
		return nil, fmt.Errorf("welcome: %q, %w", f.Type+f.Error, err)
	}
	if n.run.Load() != c.boot {
		c.conn.CloseNow()
		return nil, fmt.Errorf("%s was started again", n.name)
	}
	go c.serve(ctx)
	return c, nil
}

func (c *client) read(ctx context.Context) (f frame, err error) {
	_, b, err := c.conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f, err
}

func (c *client) serve(ctx context.Context) {
	defer close(c.ended)
	defer c.conn.CloseNow()
	for {
		f, err := c.read(ctx)
		if err != nil {
			return
		}
		switch f.Type {
		case "event":
			var data string
			json.Unmarshal(f.Data, &data)
			c.events(f.Room, data)
		case "ack":
			c.answer(f)
		case "error":
			c.n.w.problem("a client at %s was told %q", c.n.name, f.Error)
		}
	}
}

func (c *client) answer(f frame) {
	var err error
	if !f.OK {
		err = fmt.Errorf("%s", f.Error)
		c.n.w.problem("a client at %s was refused: %q", c.n.name, f.Error)
	}
	id, _ := strconv.ParseUint(string(f.ID), 10, 64)
	c.mu.Lock()
	done, ok := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if ok {
		done <- err
	} else if err == nil {
		c.acked(id)
	}
}

func (c *client) write(ctx context.Context, cmd command) error {
	b, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.conn.Write(wctx, websocket.MessageText, b)
}

// call sends a command and waits for its answer, or the end of the connection.
func (c *client) call(ctx context.Context, cmd command) error {
	done := make(chan error, 1)
	c.mu.Lock()
	c.last++
	cmd.ID = c.last
	c.waiting[cmd.ID] = done
	c.mu.Unlock()
	if err := c.write(ctx, cmd); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-c.ended:
		return fmt.Errorf("%s to %s: connection ended", cmd.Type, c.n.name)
	case <-ctx.Done():
		return ctx.Err()
	}
}
