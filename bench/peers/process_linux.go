package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout is how long a server may take until it is ready.
	startTimeout = 20 * time.Second
	// stopTimeout is how long it may take to end; then it is killed.
	stopTimeout = 3 * time.Second
	// maxLog limits what is kept of the output of a process, in bytes.
	maxLog = 64 << 10
)

// process is a running program.
type process struct {
	cmd   *exec.Cmd
	log   *tail
	ended chan struct{}
}

// spawn starts a program, which ends with this one.
func spawn(env []string, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C is for us alone
	p := &process{cmd: cmd, log: &tail{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		_ = cmd.Wait() // stop asks for the end
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and waits for that.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// await waits until ok, the end of the process, or too long.
func (p *process) await(ctx context.Context, ok func() bool) error {
	limit := time.After(startTimeout)
	for !ok() {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.log)
		case <-limit:
			return fmt.Errorf("%s is not ready after %v: %s", p.cmd.Path, startTimeout, p.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - maxLog; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// ports gives out loopback addresses that are free for TCP and UDP, none twice.
type ports struct{ given map[string]bool }

func (p *ports) next() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		if !p.given[addr] {
			p.given[addr] = true
			return addr, nil
		}
	}
	return "", errors.New("no free port")
}
