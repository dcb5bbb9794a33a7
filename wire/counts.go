package wire

// Counts tells how many members the sender has in some topics: those that have
// changed, or a part of all.
type Counts struct {
	Part   CountsPart
	Counts []Count
}

// Count is the members of one topic; 0 when the last has left.
type Count struct {
	Topic   Topic
	Members uint64
}

// CountsPart says what a COUNTS frame is part of.
type CountsPart uint64

const (
	CountsWhole CountsPart = 1 << iota // of all counts, not of what has changed
	CountsFirst                        // the first part: what was told before counts no more behind the last
	CountsLast                         // the last part
)

// AppendCounts appends a COUNTS frame. Counts of one namespace should be adjacent: they
// share its name.
func AppendCounts(dst []byte, c Counts) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendArray(dst, 3), uint64(KindCounts)), uint64(c.Part))
	groups := 0
	countRuns(c.Counts, func(string, []Count) { groups++ })
	dst = appendArray(dst, groups)
	countRuns(c.Counts, func(ns string, run []Count) {
		dst = appendString(appendArray(dst, 2), ns)
		dst = appendArray(dst, 2*len(run))
		for _, x := range run {
			dst = appendUint(appendString(dst, x.Topic.Room), x.Members)
		}
	})
	return endFrame(dst, start)
}

// countRuns calls yield for each longest run of counts in one namespace.
func countRuns(list []Count, yield func(ns string, run []Count)) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Topic.Namespace == list[0].Topic.Namespace {
			n++
		}
		yield(list[0].Topic.Namespace, list[:n])
		list = list[n:]
	}
}

// DecodeCounts reads a COUNTS frame.
func DecodeCounts(f Frame) (Counts, error) {
	p := parser{b: f}
	p.begin(KindCounts, 2)
	c := Counts{Part: CountsPart(p.uint())}
	for groups := p.array(); groups > 0 && !p.bad; groups-- {
		if p.array() != 2 {
			p.fail()
		}
		ns := p.string()
		elements := p.array()
		if elements%2 != 0 {
			p.fail()
		}
		for ; elements > 0 && !p.bad; elements -= 2 {
			c.Counts = append(c.Counts, Count{Topic{ns, p.string()}, p.uint()})
		}
	}
	return c, p.err(KindCounts)
}
