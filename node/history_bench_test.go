//go:build unix

package node_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire/plain"
)

// BenchmarkHistory is what one history costs all three nodes, of 400,000 messages that they keep in 1,000 rooms, as JSON for a client.
func BenchmarkHistory(b *testing.B) {
	const all, rooms = 400_000, 1000
	nodes := realNodesWith(b, 3, node.Config{Recovery: time.Hour, RecoveryBytes: 1 << 30})
	text := strings.Repeat("x", 100)
	for i := range all {
		if err := nodes[i%3].In("/").To(fmt.Sprint("room", i/3%rooms)).Emit("e", i, text); err != nil {
			b.Fatal(err)
		}
	}
	for _, limit := range []int{50, node.MaxHistory} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			ask := func() {
				h, err := nodes[0].History(b.Context(), "/", "room7", node.HistoryOptions{Limit: limit})
				if err != nil || len(h.Missing) > 0 || len(h.Messages) < min(limit, all/rooms) {
					b.Fatal(len(h.Messages), h.Missing, err)
				}
				for _, m := range h.Messages {
					if _, err := plain.AppendPast(nil, m.Message, m.ID, m.Age); err != nil {
						b.Fatal(err)
					}
				}
			}
			ask()
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				ask()
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
