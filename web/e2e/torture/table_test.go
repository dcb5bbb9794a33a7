//go:build linux

package torture

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// row is what came of all trials of one fault.
type row struct {
	name                        string
	tries                       int
	published                   int // messages, while it lasted and until all was right again
	checked, discarded          int // messages of members: those that came, those whose publisher died
	lost, doubled, reordered    int
	told, gaps                  int // messages in gaps that were told; gaps
	strangers                   int // messages of nodes that had not met the receiver's
	stuck, early                int
	excused                     int           // early deaths while this machine stood still
	join, whole, right          time.Duration // the longest
	known, asked, starved       time.Duration
	linksDown, dups, leasesLost float64
}

// table is the rows by name of the fault.
type table map[string]*row

func (t table) row(name string) *row {
	if t[name] == nil {
		t[name] = &row{name: name}
	}
	return t[name]
}

func (t table) sum() row {
	s := row{name: "all"}
	for _, r := range t {
		s.tries += r.tries
		s.published += r.published
		s.checked += r.checked
		s.discarded += r.discarded
		s.lost += r.lost
		s.doubled += r.doubled
		s.reordered += r.reordered
		s.told += r.told
		s.strangers += r.strangers
		s.gaps += r.gaps
		s.stuck += r.stuck
		s.early += r.early
		s.excused += r.excused
		s.linksDown += r.linksDown
		s.dups += r.dups
		s.leasesLost += r.leasesLost
		s.join, s.whole, s.right = max(s.join, r.join), max(s.whole, r.whole), max(s.right, r.right)
		s.known, s.asked, s.starved = max(s.known, r.known), max(s.asked, r.asked), max(s.starved, r.starved)
	}
	return s
}

func (t table) String() string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "fault\ttries\tpublished\tchecked\tlost\tdoubled\treordered\tgaps told\tmessages in them\tof strangers\tdead publisher\tstuck\tearly deaths\texcused\tlinks lost\tcame twice\tleases over\tlongest join\tlinked after\tright after\tdeath known\tasked\tstarved\t")
	for _, r := range t.rows() {
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t%v\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, r.tries, r.published, r.checked, r.lost, r.doubled, r.reordered,
			r.gaps, r.told, r.strangers, r.discarded, r.stuck, r.early, r.excused, r.linksDown, r.dups, r.leasesLost, short(r.join), short(r.whole), short(r.right), short(r.known), short(r.asked), short(r.starved))
	}
	out.Flush()
	return b.String()
}

// rows are those of the faults by name, and their sum.
func (t table) rows() []*row {
	rows := slices.SortedFunc(maps.Values(t), func(a, b *row) int { return cmp.Compare(a.name, b.name) })
	s := t.sum()
	return append(rows, &s)
}

// markdown is the table of what was tried and what came of it, for a page. A message for
// many members counts once where it was published and once at each that got it.
func (t table) markdown() string {
	var b strings.Builder
	b.WriteString("| fault | tried | published | received | lost | twice | out of order | stuck | in gaps that were told | of nodes that had not met | of killed publishers | taken for dead early | right again after |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows() {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", r.name, r.tries, r.published, r.checked,
			r.lost, r.doubled, r.reordered, r.stuck, r.told, r.strangers, r.discarded, r.early, short(r.right))
	}
	return b.String()
}

// save writes the markdown where TABLE says.
func (t table) save(tb testing.TB) {
	if path := os.Getenv("TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(t.markdown()), 0o644); err != nil {
			tb.Error(err)
		}
	}
}

func short(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3fs", d.Seconds())
}

// scrape adds what the nodes have counted since the last time.
func (w *world) scrape(row *row) {
	for _, n := range w.nodes {
		now, err := n.scrape()
		if err != nil {
			w.problem("%v", err)
			continue
		}
		before := n.run.Load().before
		row.linksDown += now["links_down"] - before["links_down"]
		row.dups += now["duplicates"] - before["duplicates"]
		row.leasesLost += now["leases_expired"] - before["leases_expired"]
		n.run.Load().before = now
	}
}
