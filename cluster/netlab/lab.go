//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
)

// MaxNodes is what the addresses are enough for.
const MaxNodes = 254

// ErrEnded is returned by Start once Run has ended.
var ErrEnded = errors.New("the lab has ended")

// Lab is a network of nodes, which are numbered from 0 on. Each has its loopback,
// IP and IP6, and reaches nothing but the others. All methods may be called at
// any time by many at once.
type Lab struct {
	namespaces []*os.File
	wire       *wire
	starts     chan start
	ended      chan struct{} // closed at the end of Run
}

// start is a process to be started, and the answer.
type start struct {
	ns     *os.File
	cmd    *exec.Cmd
	failed chan error
}

// New makes a network of n nodes whose lines let everything pass. The seed
// decides which packets a rule hits. It needs root, /dev/net/tun and the program ip.
// What New made goes with the end of Run.
func New(n int, seed uint64) (*Lab, error) {
	if n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("netlab: %d nodes, want 1 to %d", n, MaxNodes)
	}
	l := &Lab{wire: newWire(n, seed), starts: make(chan start), ended: make(chan struct{})}
	for i := range n {
		ns, dev, err := newNamespace(i)
		if err != nil {
			l.release(i)
			return nil, fmt.Errorf("netlab: %w", err)
		}
		l.namespaces, l.wire.devices[i] = append(l.namespaces, ns), dev
	}
	return l, nil
}

// release lets go of the first n namespaces and their devices.
func (l *Lab) release(n int) {
	for i := range n {
		l.namespaces[i].Close()
		l.wire.devices[i].Close()
	}
}

// Run carries packets until ctx ends, and then takes the network down. Processes
// that Start has started and that still run are killed.
func (l *Lab) Run(ctx context.Context) error {
	starter := make(chan error)
	stop := make(chan struct{})
	go func() { starter <- apart(func() error { l.serveStarts(stop); return nil }) }()
	err := l.wire.run(ctx)
	close(l.ended)
	close(stop)
	err = errors.Join(err, <-starter)
	for _, ns := range l.namespaces {
		ns.Close()
	}
	if err != nil {
		return fmt.Errorf("netlab: %w", err)
	}
	return nil
}

// serveStarts starts processes, all from one thread that lives as long as Run: with
// it, so also when the whole test is killed, its children get their signal.
func (l *Lab) serveStarts(stop <-chan struct{}) {
	var children []*exec.Cmd
	for {
		select {
		case s := <-l.starts:
			err := enter(s.ns)
			if err == nil {
				err = s.cmd.Start()
			}
			if err == nil {
				children = append(children, s.cmd)
			}
			s.failed <- err
		case <-stop:
			for _, c := range children {
				c.Process.Kill() // no harm to those that have been waited for
			}
			return
		}
	}
}

// Start starts cmd at node i. It blocks until Run runs. The process is killed when
// this one ends in any way; cmd's Wait is the caller's.
func (l *Lab) Start(i int, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	s := start{l.namespaces[i], cmd, make(chan error, 1)}
	select {
	case l.starts <- s:
		return <-s.failed
	case <-l.ended:
		return ErrEnded
	}
}

// Do runs f at node i: sockets that it makes on this goroutine belong there for
// good, whoever uses them.
func (l *Lab) Do(i int, f func() error) error {
	return apart(func() error {
		if err := enter(l.namespaces[i]); err != nil {
			return err
		}
		return f()
	})
}

// Dial connects from node i. The address must be numeric.
func (l *Lab) Dial(ctx context.Context, i int, network, addr string) (conn net.Conn, err error) {
	err = l.Do(i, func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Len is the number of nodes.
func (l *Lab) Len() int { return len(l.namespaces) }

// IP is node i's address.
func (l *Lab) IP(i int) netip.Addr { return addr4(i) }

// IP6 is node i's IPv6 address.
func (l *Lab) IP6(i int) netip.Addr { return addr6(i) }

// Set gives the direction from one node to another its rule. Packets on the way
// still arrive.
func (l *Lab) Set(from, to int, r Rule) {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	l.wire.lines[from][to].rule = r
}

// Both sets both directions between two nodes.
func (l *Lab) Both(a, b int, r Rule) {
	l.Set(a, b, r)
	l.Set(b, a, r)
}

// Around sets both directions between a node and every other.
func (l *Lab) Around(i int, r Rule) {
	for j := range l.Len() {
		l.Both(i, j, r)
	}
}

// All sets every direction.
func (l *Lab) All(r Rule) {
	for i := range l.Len() {
		l.Around(i, r)
	}
}

// Part cuts every direction between nodes of one side and nodes of the other.
func (l *Lab) Part(side map[int]bool) {
	for i := range l.Len() {
		for j := range l.Len() {
			if side[i] != side[j] {
				l.Set(i, j, Rule{Cut: true})
			}
		}
	}
}

// Stats counts the packets from one node to another.
func (l *Lab) Stats(from, to int) Stats {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	return l.wire.lines[from][to].Stats
}
