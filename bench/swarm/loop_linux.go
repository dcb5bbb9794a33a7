package swarm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// engine is the loops.
type engine struct {
	loops []*loop
	life  sync.RWMutex // held by dial, so that the descriptors below stay
	ended bool
	// handshakes are of TLS; they end before the descriptors that they use are closed.
	handshakes sync.WaitGroup
}

// loop is one thread with its connections.
type loop struct {
	number int
	epoll  int
	wake   int // an eventfd: the end
	swarm  *Swarm
	buf    []byte // what was read, shared by the connections
	busy   atomic.Int64
}

// wakeID stands in epoll for the eventfd.
const wakeID = -1

// maxEvents limits what one call of epoll brings; the rest comes with the next.
const maxEvents = 256

func (s *Swarm) open(count int) error {
	for i := range count {
		l := &loop{number: i, epoll: -1, wake: -1, swarm: s, buf: make([]byte, MaxMessage+maxResponse)}
		s.loops = append(s.loops, l)
		if err := l.open(); err != nil {
			s.release()
			return err
		}
	}
	return nil
}

func (l *loop) open() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeID})
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (s *Swarm) release() {
	for _, l := range s.loops {
		for _, fd := range []int{l.epoll, l.wake} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
}

// Run serves the connections until ctx is done, closes them and returns after its
// loops ended.
func (s *Swarm) Run(ctx context.Context) error {
	defer s.release()
	defer s.leave()
	var wg sync.WaitGroup
	defer wg.Wait()
	errs := make([]error, len(s.loops))
	for i, l := range s.loops {
		wg.Go(func() { errs[i] = l.run(ctx) })
	}
	<-ctx.Done()
	for _, l := range s.loops {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it is set already
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// goodbye is the close frame of a client that leaves: code 1000. Bare TCP has none,
// and one that is not open yet cannot say it.
func (c *Conn) goodbye() []byte {
	if c.target.Split != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	frame := AppendFrame(nil, Close, []byte{0x03, 0xe8}, 0)
	if c.target.TLS {
		if c.tls == nil {
			return nil
		}
		frame, _ = c.tls.seal(frame) // a courtesy
	}
	return frame
}

// over tells whether the swarm has ended.
func (s *Swarm) over() bool {
	s.life.RLock()
	defer s.life.RUnlock()
	return s.ended
}

// leave closes what is open; nothing opens any more.
func (s *Swarm) leave() {
	s.life.Lock()
	s.ended = true
	s.life.Unlock()
	s.handshakes.Wait()
	for i := range s.conns {
		if c := s.conns[i].Swap(nil); c != nil {
			c.close(c.goodbye())
		}
	}
}

// Busy is for how many nanoseconds the loops have not waited, that of the busiest:
// near to the time that passed, the swarm is too slow for what it reads.
func (s *Swarm) Busy() (nanoseconds int64) {
	for _, l := range s.loops {
		nanoseconds = max(nanoseconds, l.busy.Load())
	}
	return nanoseconds
}

func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, maxEvents)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: %w", err)
		}
		began := l.swarm.Now()
		for _, e := range events[:max(n, 0)] {
			if e.Fd == wakeID {
				if ctx.Err() != nil {
					return nil
				}
				continue
			}
			if c := l.swarm.conns[e.Fd].Load(); c != nil {
				c.ready(e.Events)
			}
		}
		l.busy.Add(l.swarm.Now() - began)
	}
}
