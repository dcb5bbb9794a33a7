//go:build linux

package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster/history"
)

const (
	rooms        = 12
	steadyRooms  = 4                     // the first ones; in the others interest comes and goes
	publishEvery = 25 * time.Millisecond // at each node
	steady       = 2                     // members at each node that stay
	restless     = 2                     // and that come and go
	retry        = 100 * time.Millisecond
)

func room(i int) string { return fmt.Sprint("r", i) }

// message is what a publisher numbered, all priorities together; publishers are
// numbered too, each connection anew.
type message = history.Message[uint64]

// priorities are their names, by the numbers that they have in a message.
var priorities = []string{"normal", "high", "low"}

func text(m message) string {
	return fmt.Sprintf("%d.%d.%s", m.Origin, m.Seq, priorities[m.Priority])
}

func parse(s string) (m message, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return m, false
	}
	var err1, err2 error
	m.Origin, err1 = strconv.ParseUint(parts[0], 10, 64)
	m.Seq, err2 = strconv.ParseUint(parts[1], 10, 64)
	p := slices.Index(priorities, parts[2])
	m.Priority = uint8(p)
	return m, err1 == nil && err2 == nil && p >= 0
}

// publish connects again and again and publishes to rooms by chance.
func publish(ctx context.Context, n *node, r *rand.Rand) {
	for ctx.Err() == nil {
		p := n.w.newPublisher(n)
		c, err := connect(ctx, n, func(string, string) {}, func(id uint64) { n.w.took(p, id) })
		if err == nil {
			n.w.connected(p, c.boot)
			publishOn(ctx, c, p, r)
			c.conn.CloseNow()
			<-c.ended
		}
		n.w.debug("publisher", n, err)
		n.w.lostPublisher(p)
		pause(ctx, retry)
	}
}

func publishOn(ctx context.Context, c *client, p *publisher, r *rand.Rand) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.n.w.quiet.Load() {
				continue
			}
			if err := publishTo(ctx, c, p, r.IntN(rooms), uint8(r.IntN(len(priorities))), false); err != nil {
				return
			}
		case done := <-p.last:
			for i := range rooms * len(priorities) {
				publishTo(ctx, c, p, i%rooms, uint8(i/rooms), true)
			}
			close(done)
		case <-c.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func publishTo(ctx context.Context, c *client, p *publisher, i int, priority uint8, last bool) error {
	m := c.n.w.publishing(p, room(i), priority, last)
	return c.write(ctx, command{Type: "publish", ID: m.Seq, Room: room(i), Event: "m", Data: text(m), Priority: priorities[priority]})
}

// belong connects again and again as a member of rooms. A steady one stays in
// two, a restless one joins and leaves.
func belong(ctx context.Context, n *node, r *rand.Rand, steady bool) {
	for ctx.Err() == nil {
		m := n.w.newMember(n)
		c, err := connect(ctx, n, func(room, data string) { n.w.delivered(m, room, data) }, func(uint64) {})
		if err == nil {
			m.boot.Store(c.boot)
			if steady {
				err = remain(ctx, c, m, r)
			} else {
				err = wander(ctx, c, m, r)
			}
			if err != nil && ctx.Err() == nil && !c.hasEnded() {
				n.w.problem("member at %s: %v", n.name, err)
			}
			c.conn.CloseNow()
			<-c.ended
		}
		n.w.debug("member", n, err)
		n.w.lostMember(m)
		pause(ctx, retry)
	}
}

func (c *client) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(time.Second):
		return false
	}
}

func remain(ctx context.Context, c *client, m *member, r *rand.Rand) error {
	first := r.IntN(steadyRooms)
	for _, i := range []int{first, (first + 1) % steadyRooms} {
		if err := join(ctx, c, m, room(i)); err != nil {
			return err
		}
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	return nil
}

func wander(ctx context.Context, c *client, m *member, r *rand.Rand) error {
	for ctx.Err() == nil {
		name := room(r.IntN(rooms))
		if err := join(ctx, c, m, name); err != nil {
			return err
		}
		select {
		case <-time.After(between(r, 50*time.Millisecond, 3*time.Second)):
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return nil
		}
		c.n.w.leaving(m, name)
		if err := c.call(ctx, command{Type: "leave", Room: name}); err != nil {
			return err
		}
		c.n.w.left(m, name)
		pause(ctx, between(r, 0, 500*time.Millisecond))
	}
	return nil
}

func join(ctx context.Context, c *client, m *member, name string) error {
	c.n.w.joining(m, name)
	err := c.call(ctx, command{Type: "join", Room: name})
	if err == nil {
		c.n.w.joined(m, name)
	}
	return err
}

func between(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(r.Int64N(int64(b-a)))
}

// pause sleeps unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// debug logs why connections end, on demand.
func (w *world) debug(who string, n *node, err error) {
	if os.Getenv("LOGS") != "" {
		w.t.Logf("%s at %s: %v", who, n.name, err)
	}
}
