package ws

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Poller waits for the input of connections that are TCP and nothing else, all
// together, on Linux: one that is idle has neither a goroutine nor a buffer. Others
// have a goroutine each. The zero Poller is ready; the connections of a server share one.
// It has descriptors and a goroutine while there are connections, and so ends with
// the last one.
//
// Go's own poller knows the descriptors too, for those who wait to write. That one
// tells nobody of input for whom nobody waits, hence an epoll instance of our own.
// It is itself in Go's poller: no thread waits in it.
type Poller struct {
	mu    sync.Mutex
	epoll *epoll // nil without connections
	slow  atomic.Uint64
}

// epoll is an epoll instance with its connections, guarded by Poller.mu.
type epoll struct {
	fd      int // of file, which is open
	file    *os.File
	work    chan job     // for readers that have nothing to do
	resting atomic.Int32 // those readers
	places  []*Conn      // the system names the place of a connection that has input
	free    []int32      // of places
	conns   int
	lead    lead   // has a lock of its own
	events  events // of who leads
}

// job is a connection that is to be read, and what was left of a read, or nil.
type job struct {
	conn *Conn
	left *input
}

// maxEvents limits what one call of epoll brings; the rest comes with the next.
const maxEvents = 256

// Edges, each event once: nothing must be armed again for each message. Who reads goes on
// until nothing is left.
const edges = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has as a negative number

// newEpoll makes an instance whose input can be waited for.
func newEpoll() (*epoll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	e := &epoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), work: make(chan job), events: make(events, maxEvents)}
	if err := e.file.SetReadDeadline(time.Time{}); err != nil { // Go's poller does not take it
		e.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return e, nil
}

var errNotParked = errors.New("ws: the connection cannot be parked")

// add parks c, whose events come from now on.
func (p *Poller) add(c *Conn) error {
	if p == nil || c.tap.raw == nil {
		return errNotParked
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.epoll
	if e == nil {
		var err error
		if e, err = newEpoll(); err != nil {
			return err
		}
		p.epoll = e
		e.lead.timer = time.AfterFunc(time.Hour, func() { p.watch(e) })
		e.lead.timer.Stop()
		go p.run(e, 0) // ends when the last connection is removed
	}
	if len(e.free) == 0 {
		e.places = append(e.places, nil)
		e.free = append(e.free, int32(len(e.places)-1))
	}
	i := e.free[len(e.free)-1]
	e.free = e.free[:len(e.free)-1]
	e.places[i] = c
	c.place = i + 1
	e.conns++
	err := errNotParked
	c.tap.raw.Control(func(fd uintptr) { // fails when closed
		err = syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: edges, Fd: i})
	})
	if err != nil {
		p.forget(c)
	}
	return err
}

// remove comes before c is closed: the number of its descriptor may be another's then.
func (p *Poller) remove(c *Conn) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.place == 0 {
		return
	}
	c.tap.raw.Control(func(fd uintptr) { // both fail when it is gone already
		syscall.EpollCtl(p.epoll.fd, syscall.EPOLL_CTL_DEL, int(fd), &syscall.EpollEvent{})
	})
	p.forget(c)
}

// forget frees the place of c.
func (p *Poller) forget(c *Conn) {
	e := p.epoll
	e.places[c.place-1] = nil
	e.free = append(e.free, c.place-1)
	c.place = 0
	if e.conns--; e.conns == 0 {
		e.file.Close() // ends run
		p.epoll = nil
	}
}

// maxResting limits the readers that stay for the next input, until the last connection
// is removed.
const maxResting = 2

// read has a connection read by one that rests, or by a new goroutine, counted in by
// Conn.parts. It comes back for more, with the stack that it has got: to let each grow
// anew took a fifteenth of a connect.
func (e *epoll) read(j job) {
	select {
	case e.work <- j:
		return
	default:
	}
	go func() {
		for j.conn != nil {
			j.conn.readParked(j.left)
			if e.resting.Add(1) > maxResting {
				e.resting.Add(-1)
				return
			}
			j = <-e.work
			e.resting.Add(-1)
		}
	}()
}

// events are what one call of epoll brings.
type events []syscall.EpollEvent

// take takes what is there. It does not wait, so that the scheduler need not hear of it:
// in a calm node each call would wake the thread that watches system calls, for a dozen
// naps of that. Of what is open it does not fail.
func (e events) take(fd uintptr) (n int) {
	r, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&e[0])), uintptr(len(e)), 0, 0, 0)
	if err != 0 {
		return 0
	}
	return int(r)
}

// ready appends the connections of events. A place may have become another's since:
// that one is read for nothing, once.
func (p *Poller) ready(e *epoll, events []syscall.EpollEvent, ready []*Conn) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, event := range events {
		c := e.places[event.Fd]
		if c == nil {
			continue
		}
		if event.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
			c.hungUp.Store(true)
		}
		ready = append(ready, c)
	}
	return ready
}
