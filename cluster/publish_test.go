package cluster_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/wire"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var benchTopic = wire.Topic{Namespace: "/", Room: "room"}

// sink is the node that gets the messages.
type sink interface {
	received() int64
	cpu() time.Duration
}

// BenchmarkPublish is one message of 128 bytes from a node to another over a real
// link, TLS and all bookkeeping included; CPU is of both nodes together.
func BenchmarkPublish(b *testing.B) {
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	b.Run("one process", func(b *testing.B) {
		one := start(b, "one")
		publishAll(b, one, startSink(b, one.addr))
	})
	b.Run("two processes", func(b *testing.B) {
		one := start(b, "one")
		publishAll(b, one, execSink(b, "TestSink", one.addr))
	})
	b.Run("floor, two processes", benchmarkFloor)
}

// floorFrame is a message of BenchmarkPublish as it is on a link, and floorBatch what a
// link writes at a time.
const (
	floorFrame = 170
	floorBatch = 64 << 10 / floorFrame * floorFrame
)

// benchmarkFloor is what TLS and the kernel take for as many bytes, written in batches and
// found again by their lengths: figure (d) of MESH §3, beside the others in one run.
func benchmarkFloor(b *testing.B) {
	p, stop := floorPort(b)
	defer stop()
	to := execSink(b, "TestFloorSink", p.Advertise().String())
	conn, err := p.AcceptLink()
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]byte, floorBatch)
	for at := 0; at < len(batch); at += floorFrame {
		binary.BigEndian.PutUint32(batch[at:], floorFrame-4)
	}
	theirs, used := to.cpu(), cpu()+to.cpu()
	b.ResetTimer()
	for left := b.N * floorFrame; left > 0; left -= len(batch) {
		if _, err := conn.Write(batch[:min(left, len(batch))]); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, time.Minute, "all arrive", func() bool { return to.received() >= int64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64((cpu()+to.cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64((to.cpu()-theirs).Nanoseconds())/float64(b.N), "receiver-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func floorPort(t testing.TB) (p *port.Port, stop func()) {
	t.Helper()
	p, err := port.Listen(port.Config{Cluster: "floor", Node: "floor@" + wire.NewNodeID().String(), Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	return p, func() { cancel(); <-done }
}

// TestFloorSink is the process that reads.
func TestFloorSink(t *testing.T) {
	addr := os.Getenv(sinkEnv)
	if addr == "" {
		t.Skip("part of BenchmarkPublish")
	}
	p, stop := floorPort(t)
	defer stop()
	conn, err := p.DialLink(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64
	go func() {
		for r := bufio.NewReaderSize(conn, 64<<10); ; got.Add(1) {
			head, err := r.Peek(4)
			if err != nil {
				return
			}
			if _, err := r.Discard(4 + int(binary.BigEndian.Uint32(head))); err != nil {
				return
			}
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("sink", got.Load(), cpu().Nanoseconds())
	}
	conn.Close()
}

func publishAll(b *testing.B, one *onPort, to sink) {
	payload := fmt.Appendf(nil, `["e","%0120d"]`, 0)
	publish := func() {
		for one.Congested() {
			time.Sleep(time.Millisecond)
		}
		one.Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: benchTopic.Namespace, Rooms: []string{benchTopic.Room}}, Payload: payload})
		one.Flush()
	}
	eventually(b, 10*time.Second, "messages flow", func() bool { publish(); return to.received() > 0 })
	time.Sleep(100 * time.Millisecond)
	before, theirs, used := to.received(), to.cpu(), cpu()+to.cpu()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		publish()
	}
	eventually(b, time.Minute, "all arrive", func() bool { return to.received() >= before+int64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64((cpu()+to.cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64((to.cpu()-theirs).Nanoseconds())/float64(b.N), "receiver-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// here is a sink in this process, whose CPU is counted with the publisher's.
type here struct{ *onPort }

func startSink(t testing.TB, seed string) sink {
	other := start(t, "other", seed)
	other.SetInterest(benchTopic, true)
	return here{other}
}

func (h here) received() int64  { return h.messages.Load() }
func (here) cpu() time.Duration { return 0 }

// sinkEnv makes this test's binary a sink in a process of its own, which joins the node
// at the address.
const sinkEnv = "MESHRT_BENCH_SINK"

// ballastBytes is what the program keeps so that the garbage collector does not run for
// each few thousand messages of a heap that is nearly empty.
const ballastBytes = 4 << 20

// TestSink is that process: for each line that it reads it writes what it has
// received, and its CPU.
func TestSink(t *testing.T) {
	seed := os.Getenv(sinkEnv)
	if seed == "" {
		t.Skip("part of BenchmarkPublish")
	}
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	s := startSink(t, seed)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("sink", s.received(), cpu().Nanoseconds())
	}
}

// elsewhere is a sink in another process.
type elsewhere struct {
	b   *testing.B
	in  *os.File
	out *bufio.Scanner
}

func execSink(b *testing.B, test, seed string) sink {
	c := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	c.Env = append(os.Environ(), sinkEnv+"="+seed)
	read, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	c.Stdin = read
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	read.Close()
	b.Cleanup(func() { in.Close(); c.Wait() })
	return &elsewhere{b, in, bufio.NewScanner(out)}
}

func (e *elsewhere) ask() (received, nanoseconds int64) {
	fmt.Fprintln(e.in)
	for e.out.Scan() {
		if line := e.out.Text(); strings.HasPrefix(line, "sink ") {
			fmt.Sscanf(line, "sink %d %d", &received, &nanoseconds)
			return received, nanoseconds
		}
	}
	e.b.Fatal("the other process ended")
	return 0, 0
}

func (e *elsewhere) received() int64 { n, _ := e.ask(); return n }

func (e *elsewhere) cpu() time.Duration { _, ns := e.ask(); return time.Duration(ns) }
