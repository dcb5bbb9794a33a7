//go:build linux

package netlab

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// maxHeld limits the packets on the way, 96 MiB of them; more are dropped.
const maxHeld = 1 << 16

// maxPacket is more than the devices' MTU of 1,500.
const maxPacket = 2048

// wire takes packets from the devices and gives them to those that they are for.
type wire struct {
	devices []*os.File

	mu    sync.Mutex
	lines [][]*line
	queue queue
	count uint64
	wake  chan struct{} // capacity one: the next packet is due earlier
}

// packet is one on the way; count keeps those of one moment in order.
type packet struct {
	at       time.Time
	count    uint64
	from, to int
	b        []byte
}

type queue []packet

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].count < q[j].count
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(packet)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = packet{}
	*q = (*q)[:last]
	return p
}

func newWire(n int, seed uint64) *wire {
	w := &wire{wake: make(chan struct{}, 1), devices: make([]*os.File, n)}
	for i := range n {
		w.lines = append(w.lines, make([]*line, n))
		for j := range n {
			w.lines[i][j] = newLine(seed, i, j)
		}
	}
	return w
}

// run moves packets until ctx ends, and closes the devices.
func (w *wire) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range w.devices {
		wg.Go(func() {
			if err := w.read(i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Go(func() { w.deliver(ctx) })
	<-ctx.Done()
	for _, d := range w.devices {
		d.Close()
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// read forwards what node i sends until its device is closed.
func (w *wire) read(i int) error {
	b := make([]byte, maxPacket)
	for {
		n, err := w.devices[i].Read(b)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read device of node %d: %w", i, err)
		}
		if to, ok := destination(b[:n]); ok && to < len(w.devices) && to != i {
			w.forward(i, to, b[:n])
		}
	}
}

// forward gives a packet to its device, or holds a copy back until it is due. A
// line that holds packets back goes on with it, or those behind would overtake.
func (w *wire) forward(from, to int, b []byte) {
	w.mu.Lock()
	l := w.lines[from][to]
	copies, at := l.pass(time.Now(), b)
	if copies == 1 && l.held == 0 && l.rule.plain() {
		w.mu.Unlock()
		w.write(to, b)
		return
	}
	for range copies {
		if len(w.queue) >= maxHeld {
			l.Dropped++
			break
		}
		w.count++
		l.held++
		heap.Push(&w.queue, packet{at, w.count, from, to, bytes.Clone(b)})
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// write drops what the device does not take: its owner may be shutting down.
func (w *wire) write(to int, b []byte) { w.devices[to].Write(b) }

// deliver gives out the packets that were held back, each when it is due.
func (w *wire) deliver(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		due, next := w.due(time.Now())
		for _, p := range due {
			w.write(p.to, p.b)
		}
		w.gone(due)
		if len(due) > 0 {
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
		}
	}
}

// due takes the packets whose time has come, and tells how long the next one has.
func (w *wire) due(now time.Time) (due []packet, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && !w.queue[0].at.After(now) {
		due = append(due, heap.Pop(&w.queue).(packet))
	}
	if len(w.queue) > 0 {
		return due, w.queue[0].at.Sub(now)
	}
	return due, time.Hour
}

func (w *wire) gone(packets []packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range packets {
		w.lines[p.from][p.to].held--
	}
}
