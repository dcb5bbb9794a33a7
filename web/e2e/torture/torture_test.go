//go:build linux

package torture

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/netlab"
)

// program is the meshrt under test: MESHRT, or built once.
var program string

func TestMain(m *testing.M) {
	if os.Getenv("MESHRT_TORTURE") == "" {
		fmt.Println("torture: skipped; make torture runs these tests")
		os.Exit(0)
	}
	var dir string
	if program = os.Getenv("MESHRT"); program == "" {
		var err error
		if dir, err = build(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		program = filepath.Join(dir, "meshrt")
	}
	code := m.Run()
	if dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build makes the program in a directory of its own.
func build() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "meshrt-torture"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "../../..").CombinedOutput()
	if err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
}

// settings of a run: how long it goes on, and what decides about chance.
func settings(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, err := time.ParseDuration(os.Getenv("MESHRT_TORTURE"))
	if err != nil {
		t.Fatalf("MESHRT_TORTURE is no duration: %v", err)
	}
	seed, err = strconv.ParseUint(cmp.Or(os.Getenv("SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("SEED: %v", err)
	}
	return length, seed
}

// begin starts five nodes with clients, over IPv4 with odd seeds and over IPv6
// with even ones, and waits until all are linked.
func begin(t *testing.T, seed uint64) *world {
	t.Helper()
	const nodes = 5
	l, err := netlab.New(nodes, seed)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%v, and in CI nothing is skipped", err)
	}
	if err != nil {
		t.Skip(err) // a container without the right to make namespaces
	}
	w := newWorld(t, l)
	for i := range nodes {
		w.nodes = append(w.nodes, newNode(t, l, w, i, seed%2 == 0))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var lab, clients sync.WaitGroup
	lab.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	clientCtx, leave := context.WithCancel(ctx)
	t.Cleanup(func() { leave(); clients.Wait(); w.end(); cancel(); lab.Wait() })
	for _, n := range w.nodes {
		n.start()
	}
	if !w.until(time.Now().Add(15*time.Second), w.whole) {
		t.Fatal("the nodes have not found each other within 15 s")
	}
	w.clients(clientCtx, &clients, seed)
	w.settle(patience)
	w.scrape(&row{})
	return w
}

// clients start at every node: a publisher and members.
func (w *world) clients(ctx context.Context, wg *sync.WaitGroup, seed uint64) {
	for i, n := range w.nodes {
		chance := func(k int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i*100+k))) }
		wg.Go(func() { publish(ctx, n, chance(0)) })
		for k := range steady + restless {
			wg.Go(func() { belong(ctx, n, chance(k+1), k < steady) })
		}
	}
}

// end ends the nodes, all at once, and shows what they said if it matters.
func (w *world) end() {
	var wg sync.WaitGroup
	for _, n := range w.nodes {
		wg.Go(func() {
			n.stop()
			if w.t.Failed() && os.Getenv("LOGS") != "" {
				w.t.Logf("last log lines of %s:\n%s", n.name, strings.Join(n.run.Load().tail.lines, "\n"))
			}
		})
	}
	wg.Wait()
}

const (
	// patience is how long after a fault everything must have come.
	patience = 15 * time.Second
	// healing is the promise for members, interest and delivery after a fault.
	healing = 5 * time.Second
	// joining is the promise of 1.5 s for a join, and room for lost packets.
	joining = 4 * time.Second
	calm    = time.Second
)

// try does one fault and judges what came of it.
func (w *world) try(f fault, r *rand.Rand, row *row) {
	t := &trial{w: w, r: r, row: row, began: time.Now()}
	w.mu.Lock()
	w.trial = t
	w.mu.Unlock()
	row.tries++
	stop := t.watch()
	f.do(t)
	healed := time.Now()
	whole := w.until(healed.Add(patience), w.whole)
	row.whole = max(row.whole, time.Since(healed))
	if !whole {
		w.problem("not all nodes are linked %v after it was over", patience)
	}
	if w.settle(patience) {
		t.hold(&row.right, time.Since(healed), healing, "until all was right again")
	}
	time.Sleep(calm)
	stop()
	row.starved = max(row.starved, t.starved)
	w.scrape(row)
}

// hold keeps the longest time in a row, and holds it against its promise.
func (t *trial) hold(longest *time.Duration, took, limit time.Duration, what string) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	*longest = max(*longest, took)
	if took > limit+t.starved {
		t.w.problemLocked("%v %s, want %v", took, what, limit)
	}
}

// watch measures how long this machine lets a test wait that wants to go on: where that is
// long, processes are starved as well.
func (t *trial) watch() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		const step = 20 * time.Millisecond
		for last := time.Now(); ; {
			select {
			case <-time.After(step):
			case <-done:
				return
			}
			now := time.Now()
			t.w.mu.Lock()
			t.starved = max(t.starved, now.Sub(last)-step)
			t.w.mu.Unlock()
			last = now
		}
	}()
	return func() { close(done); <-ended }
}

// deal gives the faults in an order by chance, each as often as any other.
// Those of the name only are in it.
func deal(r *rand.Rand, long bool, only string) func(left time.Duration) (fault, bool) {
	var deck []fault
	out := func(f fault) bool { return f.long && !long || !strings.Contains(f.name, only) }
	return func(left time.Duration) (fault, bool) {
		for range 2 {
			for i, f := range deck {
				if f.takes <= left {
					deck = slices.Delete(deck, i, i+1)
					return f, true
				}
			}
			all := slices.DeleteFunc(slices.Clone(faults), out)
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			deck = append(deck, all...)
		}
		return fault{}, false
	}
}

// TestTorture: G1, G2, G3, G5 and G7 of MESH §6 for real nodes, whatever happens
// to them and to the lines between them.
func TestTorture(t *testing.T) {
	length, seed := settings(t)
	w := begin(t, seed)
	r, end := rand.New(rand.NewPCG(seed, 1<<32)), time.Now().Add(length)
	next, table, told := deal(r, length >= 10*time.Minute, os.Getenv("FAULT")), table{}, 0
	for {
		f, ok := next(time.Until(end))
		if !ok {
			break
		}
		w.try(f, r, table.row(f.name))
		t.Logf("%v left; after %q %d problems", time.Until(end).Round(time.Second), f.name, w.troubles())
		told = w.tell(t, told)
	}
	t.Logf("seed %d\n%v", seed, table)
	table.save(t)
	w.report(t)
	if table.sum().checked < int(length.Seconds())*100 {
		t.Error("that tests nothing")
	}
}

// TestTenMinutesTryEveryFault: the long ones too, whatever the chance, and though each takes
// longer than it says.
func TestTenMinutesTryEveryFault(t *testing.T) {
	for seed := range uint64(200) {
		next := deal(rand.New(rand.NewPCG(seed, 1<<32)), true, "")
		tried := map[string]bool{}
		for left := 10 * time.Minute; ; {
			f, ok := next(left)
			if !ok {
				break
			}
			tried[f.name] = true
			left -= f.takes + f.takes/10 + 2*time.Second
		}
		for _, f := range faults {
			if !tried[f.name] {
				t.Errorf("seed %d: %q is not tried", seed, f.name)
			}
		}
	}
}

// tell logs the problems from the told-th on, which are known before the end.
func (w *world) tell(t *testing.T, told int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems[told:] {
		t.Log(p)
	}
	return len(w.problems)
}

func (w *world) troubles() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.problems) + w.more
}

func (w *world) report(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems {
		t.Error(p)
	}
	if w.more > 0 {
		t.Errorf("and %d more", w.more)
	}
}
