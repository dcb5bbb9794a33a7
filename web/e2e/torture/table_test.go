//go:build linux

package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what came of all trials of one fault.
type row struct {
	name                        string
	tries                       int
	checked, discarded          int // messages of members: those that came, those whose publisher died
	lost, doubled, reordered    int
	told, gaps                  int // messages in gaps that were told; gaps
	strangers                   int // messages of nodes that had not met the receiver's
	stuck, early                int
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
	fmt.Fprintln(out, "fault\ttries\tchecked\tlost\tdoubled\treordered\tgaps told\tmessages in them\tof strangers\tdead publisher\tstuck\tearly deaths\tlinks lost\tcame twice\tleases over\tlongest join\tlinked after\tright after\tdeath known\tasked\tstarved\t")
	rows := []*row{}
	for _, r := range t {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.name, b.name) })
	s := t.sum()
	for _, r := range append(rows, &s) {
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t%v\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, r.tries, r.checked, r.lost, r.doubled, r.reordered,
			r.gaps, r.told, r.strangers, r.discarded, r.stuck, r.early, r.linksDown, r.dups, r.leasesLost, short(r.join), short(r.whole), short(r.right), short(r.known), short(r.asked), short(r.starved))
	}
	out.Flush()
	return b.String()
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
