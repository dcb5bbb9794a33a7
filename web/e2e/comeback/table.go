package comeback

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table is the verdict for a page. faults are kills, restarts of the whole cluster, or times that all connections of a node ended.
func (v *verdict) table(name, fault string, faults int) string {
	var b strings.Builder
	row := func(cells ...any) {
		for _, cell := range cells {
			fmt.Fprintf(&b, "| %v ", cell)
		}
		b.WriteString("|\n")
	}
	column := map[string]string{"kill": "kill -9", "restart": "rolling restarts", "cut": "cuts"}[fault]
	row("servers", column, "reconnects", "recovered", "of those within the window", "most within 1 s", "away, p50, p99", "published", "with ack", "ack, p50, p99", "received",
		"lost", "out of order", "twice", "not for them", "missed, and told so")
	b.WriteString(strings.Repeat("|---", 16) + "|\n")
	row(name, faults, v.reconnects, v.recovered, fmt.Sprintf("%.2f %%", 100*v.share()), fmt.Sprintf("%.1f %%", 100*v.worst),
		fmt.Sprintf("%v, %v", percentile(v.outages, 0.5), percentile(v.outages, 0.99)),
		v.published, v.acked, fmt.Sprintf("%v, %v", percentile(v.ackTimes, 0.5), percentile(v.ackTimes, 0.99)), v.received,
		v.lost, v.reordered, v.twice, v.foreign, v.missed)
	return b.String()
}

// reasons is a table of why clients were not recovered, the most frequent first: what the nodes have counted, and
// clients that came without a secret. "" when all were.
func (v *verdict) reasons() string {
	counts := maps.Clone(v.refusals)
	if counts == nil {
		counts = map[string]int{}
	}
	if v.unsecret > 0 {
		counts["(clients that had no secret to come back with)"] = v.unsecret
	}
	if len(counts) == 0 {
		return ""
	}
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	var b strings.Builder
	b.WriteString("| not recovered | times |\n|---|---|\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", name, counts[name])
	}
	return b.String()
}
