package recovery

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// pairs is a map as an array of keys and values in turn, sorted by key. It is never nil when it is read.
func pairs[K cmp.Ordered, V any](c *coder, v *map[K]V, key func(*coder, *K), value func(*coder, *V)) {
	if c.writes {
		c.out = wire.AppendArray(c.out, 2*len(*v))
		for _, k := range sorted(*v) {
			x := (*v)[k]
			key(c, &k)
			value(c, &x)
		}
		return
	}
	n := c.in.Array()
	if n%2 != 0 {
		c.in.Fail()
	}
	*v = make(map[K]V, min(n/2, few))
	for at := new(struct {
		key   K
		value V
	}); n > 0 && !c.in.Failed(); n -= 2 {
		at.value = *new(V)
		key(c, &at.key)
		value(c, &at.value)
		(*v)[at.key] = at.value
	}
}

func (c *coder) frontiers(v *wire.Frontiers) {
	for k := range v {
		c.uint(&v[k])
	}
}

// vector is nil, or an array of origins, each followed by its three numbers.
func (c *coder) vector(v *Vector) {
	if c.isNil(*v == nil) {
		return
	}
	c.places((*map[wire.NodeID]wire.Frontiers)(v))
}

func (c *coder) places(v *map[wire.NodeID]wire.Frontiers) {
	const each = 1 + wire.Streams
	if c.writes {
		c.out = wire.AppendArray(c.out, each*len(*v))
		for _, id := range sorted(*v) {
			at := (*v)[id]
			c.node(&id)
			c.frontiers(&at)
		}
		return
	}
	n := c.in.Array()
	if n%each != 0 {
		c.in.Fail()
	}
	*v = make(map[wire.NodeID]wire.Frontiers, min(n/each, few))
	for ; n > 0 && !c.in.Failed(); n -= each {
		var id wire.NodeID
		var at wire.Frontiers
		c.node(&id)
		c.frontiers(&at)
		(*v)[id] = at
	}
}

// messages are a list, each a byte string of its DATA frame with its origin. Those that are read share what
// they can, as those of a link do.
func (c *coder) messages(n int, at func(i int) *wire.Message, read func([]*wire.Message)) {
	if c.writes {
		c.out = wire.AppendArray(c.out, n)
		for i := range n {
			c.out = wire.AppendInBin(c.out, at(i))
		}
		return
	}
	n = c.in.Array()
	frames := make([]wire.Frame, 0, min(n, few))
	for ; n > 0 && !c.in.Failed(); n-- {
		frames = append(frames, c.in.Bin())
	}
	if c.in.Failed() || len(frames) == 0 {
		return
	}
	ms, err := wire.AppendMessages(make([]*wire.Message, 0, len(frames)), frames, 0)
	if err != nil || slices.ContainsFunc(ms, func(m *wire.Message) bool { return m.Origin == 0 }) {
		c.in.Fail()
		return
	}
	read(ms)
}

func (c *coder) messageList(v *[]*wire.Message) {
	c.messages(len(*v), func(i int) *wire.Message { return (*v)[i] }, func(ms []*wire.Message) { *v = ms })
}

// entries are the messages, and then as many ages.
func (c *coder) entries(v *[]Entry) {
	c.messages(len(*v), func(i int) *wire.Message { return (*v)[i].Message }, func(ms []*wire.Message) {
		*v = make([]Entry, len(ms))
		for i, m := range ms {
			(*v)[i].Message = m
		}
	})
	if c.writes {
		c.out = wire.AppendArray(c.out, len(*v))
	} else if c.in.Array() != len(*v) {
		c.in.Fail()
	}
	for i := range *v {
		c.span(&(*v)[i].Age)
	}
}

func (c *coder) state(v *State) {
	more := c.fields(2 + wire.Streams)
	c.frontiers(&v.Log)
	c.uint(&v.D)
	c.uint(&v.Version)
	c.skip(more)
}

func (c *coder) dropped(v *Dropped) {
	more := c.fields(2)
	c.uint(&v.Seq)
	c.span(&v.Age)
	c.skip(more)
}

func (c *coder) droppedOf(v *[wire.Streams]Dropped) {
	more := c.fields(len(v))
	for k := range v {
		c.dropped(&v[k])
	}
	c.skip(more)
}

func (c *coder) ref(v *Ref) {
	c.node(&v.Origin)
	c.stream(&v.Stream)
	c.uint(&v.Seq)
}

// refs are runs of one origin and stream: each number is said as what it is more than the one before.
func (c *coder) refs(v *[]Ref) {
	runs := runsOf(*v)
	list(c, &runs, (*coder).run)
	if c.writes {
		return
	}
	for _, r := range runs {
		at := Ref{r.origin, r.stream, 0}
		for _, more := range r.more {
			at.Seq += more
			*v = append(*v, at)
		}
	}
}

type run struct {
	origin wire.NodeID
	stream wire.Stream
	more   []uint64
}

func runsOf(refs []Ref) (runs []run) {
	var last Ref
	for i, r := range refs {
		if i == 0 || r.Origin != last.Origin || r.Stream != last.Stream {
			runs = append(runs, run{origin: r.Origin, stream: r.Stream})
			last.Seq = 0
		}
		of := &runs[len(runs)-1]
		of.more = append(of.more, r.Seq-last.Seq)
		last = r
	}
	return runs
}

func (c *coder) run(v *run) {
	more := c.fields(3)
	c.node(&v.origin)
	c.stream(&v.stream)
	list(c, &v.more, (*coder).uint)
	c.skip(more)
}

func (c *coder) placed(v *Placed) {
	more := c.fields(4)
	c.ref(&v.Ref)
	c.span(&v.Age)
	c.skip(more)
}

func (c *coder) cursor(v *Cursor) {
	more := c.fields(2 + len(v.Lag))
	c.node(&v.Node)
	c.uint(&v.D)
	for k := range v.Lag {
		c.uint(&v.Lag[k])
	}
	c.skip(more)
}

func (c *coder) claim(v *Claim) {
	more := c.fields(2)
	c.uint(&v.N)
	c.node(&v.Node)
	c.skip(more)
}

func (c *coder) want(v *Want) {
	more := c.fields(7)
	c.node(&v.Owner)
	text(c, &v.Namespace)
	text(c, &v.SID)
	c.vector(&v.Base)
	pairs(c, &v.Rooms, text[string], (*coder).vector)
	list(c, &v.In, text[string])
	c.refs(&v.Got)
	c.skip(more)
}

func (c *coder) replay(v *Replay) {
	more := c.fields(5)
	c.cursor(&v.Old)
	c.want(&v.Want)
	c.uint(&v.D)
	c.uint(&v.First)
	c.refs(&v.Refs)
	c.skip(more)
}

func (c *coder) record(v *Record) {
	more := c.fields(12)
	text(c, &v.PID)
	text(c, &v.SID)
	text(c, &v.Namespace)
	text(c, &v.User)
	c.bin(&v.Data)
	pairs(c, &v.Rooms, text[string], (*coder).uint)
	c.claim(&v.Claim)
	c.bool(&v.Contested)
	c.replay(&v.Replay)
	c.uint(&v.Quiet.Last)
	c.uint(&v.Quiet.Upto)
	c.bool(&v.Begun)
	c.skip(more)
}

// saved is read from a copy of its own: it outlives all that came with it.
func (c *coder) saved(v *Saved) {
	if !c.writes {
		from := c.in.Rest()
		c.in.Skip(1)
		own := coder{in: wire.ReadValues(bytes.Clone(from[:len(from)-len(c.in.Rest())]))}
		own.savedFields(v)
		if own.in.Failed() {
			c.in.Fail()
		}
		return
	}
	c.savedFields(v)
}

func (c *coder) savedFields(v *Saved) {
	more := c.fields(2)
	c.record(&v.Record)
	c.bool(&v.Ended)
	c.skip(more)
}

func (c *coder) section(v *Section) {
	more := c.fields(5 + 3*wire.Streams)
	c.node(&v.Origin)
	list(c, &v.Starts, (*coder).place)
	c.uint(&v.Gen)
	c.frontiers(&v.From)
	c.frontiers(&v.To)
	c.frontiers(&v.Heads)
	c.droppedOf(&v.Dropped)
	c.entries(&v.Entries)
	c.skip(more)
}

func (c *coder) place(v *Place) {
	more := c.fields(1 + wire.Streams)
	c.node(&v.Owner)
	c.frontiers(&v.At)
	c.skip(more)
}

func (c *coder) rooms(v *Rooms) {
	more := c.fields(2)
	text(c, &v.Namespace)
	list(c, &v.Names, text[string])
	c.skip(more)
}

func (c *coder) member(v *Member) {
	more := c.fields(5 + wire.Streams)
	c.bool(&v.Down)
	c.bool(&v.Unable)
	c.uint(&v.Gen)
	c.uint(&v.Mirrors)
	c.frontiers(&v.Heads)
	c.span(&v.Dead)
	c.skip(more)
}
