//go:build linux

package netlab_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/netlab"
)

// newLab skips the test where there is no such network; in CI too, where
// these tests run again as root.
func newLab(t *testing.T, n int) *netlab.Lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	l, err := netlab.New(n, 1)
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

// echo answers every packet to node i, and sends back what TCP brings.
func echo(t *testing.T, l *netlab.Lab, i int) (port string) {
	t.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	if err := l.Do(i, func() (err error) {
		if tcp, err = net.Listen("tcp", "[::]:7"); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp", "[::]:7")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			udp.WriteTo(b[:n], from)
		}
	})
	wg.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { io.Copy(conn, conn); conn.Close() })
		}
	})
	t.Cleanup(func() { udp.Close(); tcp.Close(); wg.Wait() })
	return "7"
}

func dial(t *testing.T, l *netlab.Lab, i int, network string, to netip.Addr) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := l.Dial(ctx, i, network, net.JoinHostPort(to.String(), "7"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// pings sends packets and tells which came back, how often, and the least time
// that one took.
func pings(t *testing.T, conn net.Conn, count int, patience time.Duration) (back map[uint32]int, least time.Duration) {
	t.Helper()
	sent := make([]time.Time, count)
	var mu sync.Mutex
	back, least = map[uint32]int{}, time.Hour
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 64)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			if k := binary.BigEndian.Uint32(b); n == 4 && int(k) < count {
				back[k]++
				least = min(least, time.Since(sent[k]))
			}
			mu.Unlock()
		}
	}()
	for k := range count {
		mu.Lock()
		sent[k] = time.Now()
		mu.Unlock()
		conn.Write(binary.BigEndian.AppendUint32(nil, uint32(k)))
		if k%20 == 19 {
			time.Sleep(time.Millisecond) // no queue is that long
		}
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	<-read
	conn.SetReadDeadline(time.Time{})
	return back, least
}

func TestNodesReachEachOther(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3)
	echo(t, l, 2)
	for _, from := range []int{0, 1} {
		for _, to := range []netip.Addr{l.IP(2), l.IP6(2)} {
			if back, _ := pings(t, dial(t, l, from, "udp", to), 10, 100*time.Millisecond); len(back) != 10 {
				t.Errorf("from %d to %v: %d of 10 packets came back", from, to, len(back))
			}
			conn := dial(t, l, from, "tcp", to)
			fmt.Fprintln(conn, "hello")
			if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" {
				t.Errorf("from %d to %v: %q, %v", from, to, line, err)
			}
		}
	}
	if s := l.Stats(0, 2); s.Passed < 10 || s.Bytes < s.Passed*20 || s.Dropped != 0 {
		t.Errorf("stats from 0 to 2: %+v", s)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3)
	echo(t, l, 1)
	conn, beside := dial(t, l, 0, "udp", l.IP(1)), dial(t, l, 2, "udp", l.IP(1))
	const count = 500
	for _, tt := range []struct {
		name           string
		there, back    netlab.Rule
		least, most    int // packets that come back, of count
		doubled        bool
		longer, within time.Duration
	}{
		{name: "nothing", least: count, most: count, within: 20 * time.Millisecond},
		{name: "delay", there: netlab.Rule{Delay: 20 * time.Millisecond}, back: netlab.Rule{Delay: 10 * time.Millisecond},
			least: count, most: count, longer: 30 * time.Millisecond, within: 60 * time.Millisecond},
		{name: "loss", there: netlab.Rule{Loss: 0.2}, least: 350, most: 450},
		{name: "loss both ways", there: netlab.Rule{Loss: 0.5}, back: netlab.Rule{Loss: 0.5}, least: 80, most: 170},
		{name: "duplicates", back: netlab.Rule{Duplicate: 0.5}, least: count, most: count, doubled: true},
		{name: "one way cut", back: netlab.Rule{Cut: true}},
		{name: "UDP blocked", there: netlab.Rule{BlockUDP: true}},
		{name: "healed", least: count, most: count},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.Set(0, 1, tt.there)
			l.Set(1, 0, tt.back)
			back, took := pings(t, conn, count, 150*time.Millisecond)
			if len(back) < tt.least || len(back) > tt.most {
				t.Errorf("%d of %d packets came back, want %d to %d", len(back), count, tt.least, tt.most)
			}
			if took < tt.longer || tt.within > 0 && took > tt.within {
				t.Errorf("the fastest packet took %v, want %v to %v", took, tt.longer, tt.within)
			}
			copies := 0
			for _, n := range back {
				copies += n
			}
			if doubled := copies > len(back)+count/4; doubled != tt.doubled {
				t.Errorf("%d copies of %d packets came back", copies, len(back))
			}
			if back, _ := pings(t, beside, 5, 50*time.Millisecond); len(back) != 5 {
				t.Errorf("of another node %d of 5 packets came back", len(back))
			}
		})
	}
}

func TestTCPOverAPoorLine(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	echo(t, l, 1)
	for name, rule := range map[string]netlab.Rule{
		"throttled": {BytesPerSec: 200_000},
		"lossy":     {Loss: 0.05, Duplicate: 0.1, Delay: time.Millisecond, Jitter: 5 * time.Millisecond, BlockUDP: true},
	} {
		t.Run(name, func(t *testing.T) {
			l.All(rule)
			defer l.All(netlab.Rule{})
			conn := dial(t, l, 0, "tcp", l.IP6(1))
			const size = 100_000
			start := time.Now()
			go conn.Write(make([]byte, size))
			conn.SetReadDeadline(start.Add(30 * time.Second))
			if n, err := io.ReadFull(conn, make([]byte, size)); err != nil {
				t.Fatalf("%d bytes came back: %v", n, err)
			}
			if took := time.Since(start); rule.BytesPerSec > 0 && took < 400*time.Millisecond {
				t.Errorf("%d bytes took %v at %d bytes/s", size, took, rule.BytesPerSec)
			}
		})
	}
}

func TestPart(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3)
	echo(t, l, 1)
	echo(t, l, 2)
	l.Part(map[int]bool{0: true, 1: true})
	for _, tt := range []struct{ from, to, want int }{{0, 1, 5}, {0, 2, 0}, {1, 2, 0}} {
		if back, _ := pings(t, dial(t, l, tt.from, "udp", l.IP(tt.to)), 5, 50*time.Millisecond); len(back) != tt.want {
			t.Errorf("from %d to %d: %d of 5 packets came back, want %d", tt.from, tt.to, len(back), tt.want)
		}
	}
}

func TestProcessesRunAtTheirNodeAndEndWithTheLab(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	l, err := netlab.New(2, 1)
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	ip := exec.Command("ip", "addr")
	var out strings.Builder
	ip.Stdout = &out
	if err := l.Start(1, ip); err != nil {
		t.Fatal(err)
	}
	if err := ip.Wait(); err != nil || !strings.Contains(out.String(), l.IP(1).String()+"/24") || strings.Contains(out.String(), l.IP(0).String()) {
		t.Errorf("ip addr at node 1: %v, %s", err, &out)
	}
	sleep := exec.Command("sleep", "1000")
	if err := l.Start(0, sleep); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	sleep.Wait()
	if s := sleep.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
		t.Errorf("sleep ended with %v, want SIGKILL", s)
	}
	if err := l.Start(0, exec.Command("true")); !errors.Is(err, netlab.ErrEnded) {
		t.Errorf("start after the end: %v", err)
	}
}

// TestNothingOutlivesAKilledTest kills a process that has a lab with a process in it.
func TestNothingOutlivesAKilledTest(t *testing.T) {
	if os.Getenv("NETLAB_VICTIM") != "" {
		l := newLab(t, 1)
		sleep := exec.Command("sleep", "1000")
		if err := l.Start(0, sleep); err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", sleep.Process.Pid)
		select {}
	}
	newLab(t, 1)
	victim := exec.Command(os.Args[0], "-test.run=^TestNothingOutlivesAKilledTest$")
	victim.Env = append(os.Environ(), "NETLAB_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	victim.Process.Kill()
	victim.Wait()
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
	if err != nil {
		t.Fatalf("the victim said %q", line)
	}
	for start := time.Now(); running(pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("its process goes on")
		}
	}
}

// running tells whether there is a process that is not only waited for.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z")
}
