package bench

// verdict is what a message is to the one that got it.
type verdict int

const (
	fresh   verdict = iota // the first time, in order
	late                   // the first time, after one that was sent later: out of order
	doubled                // not the first time
	stray                  // never sent, or not to this client
)

// span is numbers from first on, before end.
type span struct{ first, end uint32 }

// maxSpans limits what a tally remembers of gaps. When there are more, the oldest is
// given up: its messages count as lost, and as doubled if they come after all.
const maxSpans = 4096

// tally is what one client got of one stream.
type tally struct {
	next    uint32 // behind the highest number that came
	missing []span // ascending, below next
	unique  uint32
}

// add counts message number.
func (t *tally) add(number uint32) verdict {
	if number == t.next {
		t.next++
		t.unique++
		return fresh
	}
	if number > t.next {
		if len(t.missing) == maxSpans {
			t.missing = append(t.missing[:0], t.missing[1:]...)
		}
		t.missing = append(t.missing, span{t.next, number})
		t.next = number + 1
		t.unique++
		return fresh
	}
	if t.fill(number) {
		t.unique++
		return late
	}
	return doubled
}

// fill takes number out of what is missing, from the newest.
func (t *tally) fill(number uint32) bool {
	for i := len(t.missing) - 1; i >= 0; i-- {
		s := t.missing[i]
		if number >= s.end {
			return false
		}
		if number < s.first {
			continue
		}
		switch rest := t.missing[i+1:]; {
		case s.first+1 == s.end:
			t.missing = append(t.missing[:i], rest...)
		case number == s.first:
			t.missing[i].first++
		case number+1 == s.end:
			t.missing[i].end--
		case len(t.missing) == maxSpans: // the part before is given up
			t.missing[i].first = number + 1
		default:
			t.missing = append(t.missing[:i+1], append([]span{{number + 1, s.end}}, rest...)...)
			t.missing[i].end = number
		}
		return true
	}
	return false
}
