package comeback

import (
	"fmt"
	"slices"
)

// span is a time, from a millisecond up to another one: a kill and what follows, or a restart of all nodes.
type span struct{ from, until int64 }

// maxShare is the most of the reconnects of a rolling restart that may come within one second: a node's
// clients are moved away over its drain, not at once.
const maxShare = 0.2

// rounds finds the worst second of each span: that with the most reconnects, wherever it begins, as a
// share of all in the span.
func (v *verdict) rounds(h *history, spans []span) {
	for _, s := range spans {
		var back []int64
		for i := range h.clients {
			for _, a := range h.clients[i].absences {
				if a.until >= s.from && a.until < s.until {
					back = append(back, a.until)
				}
			}
		}
		if most := busiest(back); most > 0 {
			v.worst = max(v.worst, float64(most)/float64(len(back)))
		}
	}
}

// busiest is how many of some times lie within one second, wherever it begins. It sorts them.
func busiest(times []int64) (most int) {
	slices.Sort(times)
	first := 0
	for i, at := range times {
		for times[first] <= at-1000 {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// broken says which promises a run has broken. A killed node may cost a client in a hundred its session; one
// that ends in order none.
func (v *verdict) broken(fault string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if v.lost+v.reordered+v.foreign+v.twiceUnasked+v.never > 0 {
		say("%d lost, %d out of order, %d for others, %d twice without a reason, %d clients that did not come back",
			v.lost, v.reordered, v.foreign, v.twiceUnasked, v.never)
	}
	if v.reconnects == 0 {
		say("no client was moved: nothing was shown")
	}
	if fault != "restart" {
		if v.twice > v.allowed {
			say("%d messages came twice, want %d at most", v.twice, v.allowed)
		}
		if v.share() < 0.99 && v.within > 0 {
			say("%d of %d reconnects within the window were recovered, want more than 99 %%", v.within-v.anew, v.within)
		}
		return problems
	}
	if v.twice > 0 {
		say("%d messages came twice", v.twice)
	}
	if v.anew > 0 {
		say("%d clients came back within the window and were not recovered", v.anew)
	}
	if v.worst > maxShare {
		say("%.1f %% of the reconnects of a restart came within one second, want %.0f %% at most", 100*v.worst, 100*maxShare)
	}
	return problems
}
