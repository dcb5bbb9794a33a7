package port

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Limits of the queue between the sockets and the reader of datagrams. The
// second bounds what a flood of large datagrams pins.
const (
	maxPackets     = 4096    // datagrams
	maxPacketBytes = 8 << 20 // bytes of all waiting datagrams
)

type packet struct {
	data []byte
	from netip.AddrPort
}

// packetQueue is a bounded FIFO with a read deadline. When it is full, new
// packets are dropped: gossip repeats itself.
type packetQueue struct {
	mu       sync.Mutex
	change   sync.Cond // a packet, the end or the deadline
	packets  []packet
	bytes    int
	closed   bool
	deadline time.Time
	timer    *time.Timer // wakes readers at the deadline
}

func newPacketQueue() *packetQueue {
	q := &packetQueue{}
	q.change.L = &q.mu
	return q
}

// push appends pk. It is false when the queue is full or closed.
func (q *packetQueue) push(pk packet) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.packets) >= maxPackets || q.bytes+len(pk.data) > maxPacketBytes {
		return false
	}
	q.packets = append(q.packets, pk)
	q.bytes += len(pk.data)
	q.change.Signal()
	return true
}

// pop waits for the oldest packet.
func (q *packetQueue) pop() (packet, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return packet{}, net.ErrClosed
		case !q.deadline.IsZero() && !time.Now().Before(q.deadline):
			return packet{}, os.ErrDeadlineExceeded
		case len(q.packets) > 0:
			pk := q.packets[0]
			q.packets[0] = packet{}
			q.packets = q.packets[1:]
			q.bytes -= len(pk.data)
			return pk, nil
		}
		q.change.Wait()
	}
}

// setDeadline is net.Conn's SetReadDeadline: it concerns waiting readers too.
func (q *packetQueue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	q.deadline = t
	if !t.IsZero() && !q.closed {
		q.timer = time.AfterFunc(time.Until(t), q.wake)
	}
	q.change.Broadcast()
}

func (q *packetQueue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.change.Broadcast()
}

func (q *packetQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.packets, q.bytes = nil, 0
	if q.timer != nil {
		q.timer.Stop()
	}
	q.change.Broadcast()
}
