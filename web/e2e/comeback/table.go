package comeback

import (
	"fmt"
	"strings"
)

// table is the verdict for a page.
func (v *verdict) table(name string, kills int) string {
	var b strings.Builder
	row := func(cells ...any) {
		for _, cell := range cells {
			fmt.Fprintf(&b, "| %v ", cell)
		}
		b.WriteString("|\n")
	}
	row("servers", "kill -9", "reconnects", "recovered", "of those within the window", "away, p50, p99", "published", "with ack", "ack, p50, p99", "received",
		"lost", "out of order", "twice", "not for them")
	b.WriteString(strings.Repeat("|---", 14) + "|\n")
	row(name, kills, v.reconnects, v.recovered, fmt.Sprintf("%.2f %%", 100*v.share()),
		fmt.Sprintf("%v, %v", percentile(v.outages, 0.5), percentile(v.outages, 0.99)),
		v.published, v.acked, fmt.Sprintf("%v, %v", percentile(v.ackTimes, 0.5), percentile(v.ackTimes, 0.99)), v.received,
		v.lost, v.reordered, v.twice, v.foreign)
	return b.String()
}
