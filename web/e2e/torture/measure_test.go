//go:build linux

package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/netlab"
)

// times are what was measured of one promise.
type times []time.Duration

func (m times) median() time.Duration { return m.sorted()[len(m)/2] }
func (m times) worst() time.Duration  { return slices.Max(m) }
func (m times) sorted() times         { s := slices.Clone(m); slices.Sort(s); return s }

func (m times) String() string {
	return fmt.Sprintf("median %s, worst %s of %d", short(m.median()), short(m.worst()), len(m))
}

// repeat tries one fault and collects what its row says.
func repeat(t *testing.T, w *world, count int, seed uint64, f fault, of ...func(*row) time.Duration) []times {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	all := make([]times, len(of))
	for range count {
		row := &row{name: f.name}
		w.try(f, r, row)
		for i, value := range of {
			all[i] = append(all[i], value(row))
		}
	}
	return all
}

func named(name string) fault {
	i := slices.IndexFunc(faults, func(f fault) bool { return strings.HasPrefix(f.name, name) })
	return faults[i]
}

const measurements = 10

// TestMeasureCrash: kill -9 at five nodes is known to all in 3.5 s by the median and
// 5 s at worst; a question to the cluster is answered meanwhile.
func TestMeasureCrash(t *testing.T) {
	_, seed := settings(t)
	w := begin(t, seed)
	m := repeat(t, w, measurements, seed, named("kill -9, back in 6 s"), func(r *row) time.Duration { return r.known }, func(r *row) time.Duration { return r.asked })
	t.Logf("a crash is known to all: %v", m[0])
	t.Logf("/api/sockets after it: %v", m[1])
	if m[0].median() > 3500*time.Millisecond || m[0].worst() > known {
		t.Errorf("want 3.5 s and %v", known)
	}
	w.report(t)
}

// TestMeasureHealing: after a partition of 30 s members, interest and delivery are
// right within 5 s.
func TestMeasureHealing(t *testing.T) {
	_, seed := settings(t)
	w := begin(t, seed)
	m := repeat(t, w, measurements, seed, named("partition 30 s"), func(r *row) time.Duration { return r.whole }, func(r *row) time.Duration { return r.right })
	t.Logf("linked after a partition: %v", m[0])
	t.Logf("all delivers after it: %v", m[1])
	if m[1].worst() > healing {
		t.Errorf("want %v", healing)
	}
	w.report(t)
}

// TestMeasureLoss: nobody is taken for dead while every fifth packet is lost.
func TestMeasureLoss(t *testing.T) {
	length, seed := settings(t)
	w := begin(t, seed)
	f := fault{name: "loss 20 %", do: func(t *trial) { t.weather(length, netlab.Rule{Loss: 0.2}) }}
	row := &row{name: f.name}
	w.try(f, rand.New(rand.NewPCG(seed, 3)), row)
	t.Logf("\n%v", table{f.name: row})
	table{f.name: row}.save(t)
	w.report(t)
	if row.early+row.excused > 0 {
		t.Errorf("%d deaths", row.early+row.excused)
	}
	if row.checked < int(length.Seconds())*100 {
		t.Error("that tests nothing")
	}
}
