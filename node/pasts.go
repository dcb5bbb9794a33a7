package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// pasts are the answers of nodes about the past of a room. Two of them may have the same message of a dead one.
type pasts struct {
	rows    map[streamOf][]historyEntry
	origins map[wire.NodeID]bool // dead nodes that are in them whole
	more    bool
}

// streamOf is one stream of one publisher: what has an order.
type streamOf struct {
	origin wire.NodeID
	stream wire.Stream
}

func (p *pasts) add(page historyPage) {
	if p.rows == nil {
		p.rows, p.origins = map[streamOf][]historyEntry{}, map[wire.NodeID]bool{}
	}
	for _, e := range page.Entries {
		k := streamOf{e.Origin, e.Flags.Stream()}
		p.rows[k] = append(p.rows[k], e)
	}
	for _, id := range page.Origins {
		p.origins[id] = true
	}
	p.more = p.more || page.More
}

// merge is all of them once, the oldest first, each publisher's in its order. Ages of a mirror are
// as exact as its link was fast: where they contradict the order, a message is as old as the next one.
func (p *pasts) merge() (list []historyEntry) {
	for _, row := range p.rows {
		slices.SortFunc(row, func(a, b historyEntry) int { return cmp.Compare(a.Seq, b.Seq) })
		row = slices.CompactFunc(row, func(a, b historyEntry) bool { return a.Seq == b.Seq })
		for i := len(row) - 2; i >= 0; i-- {
			row[i].Age = max(row[i].Age, row[i+1].Age)
		}
		list = append(list, row...)
	}
	slices.SortFunc(list, func(a, b historyEntry) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Flags.Stream(), b.Flags.Stream()),
			cmp.Compare(a.Seq, b.Seq))
	})
	return list
}

// newest are the last of list within limit and MaxHistoryBytes, and whether there are others. As every node gave its
// newest within the same limits, no other message is between them.
func newest(list []historyEntry, limit int) (of []historyEntry, more bool) {
	bytes, i := 0, len(list)
	for ; i > 0 && len(list)-i < limit; i-- {
		size := list[i-1].size()
		if bytes > 0 && bytes+size > MaxHistoryBytes {
			break
		}
		bytes += size
	}
	return list[i:], i > 0
}

// after are those of list behind the message of that id: of its own stream exactly; of others what is
// not older than it by more than historySlack, as nothing orders them. more tells whether older ones than list exist, then and now.
func after(list []historyEntry, id string, more bool) ([]historyEntry, bool) {
	r, _ := parseHistoryID(id)
	at := slices.IndexFunc(list, func(e historyEntry) bool { return e.ref() == r })
	if at < 0 { // older than all of these, or gone
		return slices.DeleteFunc(list, func(e historyEntry) bool { return before(e, r) }), true
	}
	oldest := list[at].Age + int64(historySlack/time.Microsecond)
	more = more && list[0].Age <= oldest
	return slices.DeleteFunc(list, func(e historyEntry) bool { return before(e, r) || e.Age > oldest }), more
}

// before tells whether e is of the stream of r, and was published before it.
func before(e historyEntry, r recovery.Ref) bool {
	return e.Origin == r.Origin && e.Flags.Stream() == r.Stream && e.Seq <= r.Seq
}
