//go:build unix

package comeback

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals are what a node has counted of clients that it did not recover, over all its runs.
type refusals struct {
	mu     sync.Mutex
	before map[string]int // runs that are over
	now    map[string]int
}

// counters are those besides meshrt_recovery_refused_total that tell of clients which cannot come back.
var counters = map[string]string{
	"meshrt_recovery_unkept_total":     "(served before another node had the session)",
	"meshrt_recovery_gapped_total":     "(kept no more, as messages of a node were lost)",
	"meshrt_recovery_unmirrored_total": "(given up, as no node took a copy; messages too)",
	"meshrt_recovery_forgotten_total":  "(ended early, as too many were away)",
	"meshrt_recovery_short_total":      "(messages that left a log early)",
	"meshrt_mesh_gaps_total":           "(gaps)",
}

// begin says that the node begins to count again.
func (r *refusals) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.now = r.totalLocked(), nil
}

func (r *refusals) totalLocked() map[string]int {
	sum := maps.Clone(r.now)
	if sum == nil {
		sum = map[string]int{}
	}
	for reason, n := range r.before {
		sum[reason] += n
	}
	return sum
}

func (r *refusals) total() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totalLocked()
}

// look asks the node. One that does not answer has told last what it had counted then.
func (r *refusals) look(url string) {
	if url == "" {
		return
	}
	r.mu.Lock() // a look that ends after a new run began would be taken for one of it
	defer r.mu.Unlock()
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if now, err := readRefusals(resp.Body); err == nil {
		r.now = now
	}
}

// readRefusals reads the counters of a page of metrics.
func readRefusals(page io.Reader) (map[string]int, error) {
	of := map[string]int{}
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		reason, is := counters[name]
		if !is {
			// A reason has blanks: the value is behind the last of the line.
			i := strings.LastIndexByte(lines.Text(), ' ')
			reason, is = strings.CutPrefix(lines.Text()[:max(i, 0)], `meshrt_recovery_refused_total{reason="`)
			reason, value = strings.TrimSuffix(reason, `"}`), lines.Text()[i+1:]
		}
		if n, err := strconv.ParseFloat(value, 64); is && err == nil && n > 0 {
			of[reason] += int(n)
		}
	}
	return of, lines.Err()
}

// watchRefusals looks at all nodes now and then until the test ends, as what a killed one has counted goes with it.
func watchRefusals(t *testing.T, nodes []*server) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for tick := time.NewTicker(time.Second); ; {
				select {
				case <-tick.C:
					n.refused.look(n.metrics)
				case <-done:
					tick.Stop()
					return
				}
			}
		})
	}
	t.Cleanup(func() { close(done); wg.Wait() })
}

// allRefusals are those of all nodes.
func allRefusals(nodes []*server) map[string]int {
	sum := map[string]int{}
	for _, n := range nodes {
		n.refused.look(n.metrics)
		for reason, count := range n.refused.total() {
			sum[reason] += count
		}
	}
	return sum
}

func TestRefusalsOfAllRunsCount(t *testing.T) {
	page := func(s string) map[string]int {
		of, err := readRefusals(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	var r refusals
	r.begin()
	r.now = page("# HELP meshrt_recovery_refused_total why\nmeshrt_recovery_refused_total{reason=\"it took too long\"} 3\nother{reason=\"x\"} 4\n\nmeshrt_recovery_unkept_total 2\nmeshrt_recovery_gapped_total 0\n")
	r.begin()
	r.now = page("meshrt_recovery_refused_total{reason=\"it took too long\"} 1\nmeshrt_recovery_refused_total{reason=\"malformed\"} 1\n")
	want := map[string]int{"it took too long": 4, "malformed": 1, counters["meshrt_recovery_unkept_total"]: 2}
	if got := r.total(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
