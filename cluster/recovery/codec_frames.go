package recovery

import "github.com/meshrt/meshrt/wire"

// begin opens a frame of so many fields behind its kind; see fields.
func (c *coder) begin(k kind, fields int) (more int) {
	if c.writes {
		more = c.fields(1 + fields)
		number(c, 0, &k)
		return more
	}
	if more = c.left - fields; more < 0 {
		c.in.Fail()
	}
	return more
}

func (c *coder) write(f Frame) {
	switch f := f.(type) {
	case Mirror:
		f.code(c)
	case Mirrored:
		f.code(c)
	case Reopened:
		f.code(c)
	case Buddies:
		f.code(c)
	case BuddiesKnown:
		f.code(c)
	case Drop:
		f.code(c)
	case Draining:
		f.code(c)
	case AskTail:
		f.code(c)
	case Tail:
		f.code(c)
	case FetchTail:
		f.code(c)
	case TailEntries:
		f.code(c)
	case AskBarrier:
		f.code(c)
	default:
		c.writeSession(f)
	}
}

func (c *coder) writeSession(f Frame) {
	switch f := f.(type) {
	case Lookup:
		f.code(c)
	case Found:
		f.code(c)
	case Take:
		f.code(c)
	case Granted:
		f.code(c)
	case Denied:
		f.code(c)
	case Fetch:
		f.code(c)
	case Fetched:
		f.code(c)
	case Done:
		f.code(c)
	case Release:
		f.code(c)
	case Claims:
		f.code(c)
	case HandOn:
		f.code(c)
	case HandedOn:
		f.code(c)
	}
}

// readers are by kind. Kinds without one are of newer versions.
var readers = [...]func(*coder) Frame{
	kindMirror: read[Mirror], kindMirrored: read[Mirrored], kindReopened: read[Reopened], kindBuddies: read[Buddies], kindBuddiesKnown: read[BuddiesKnown],
	kindDrop: read[Drop], kindDraining: read[Draining], kindAskTail: read[AskTail], kindTail: read[Tail], kindFetchTail: read[FetchTail],
	kindTailEntries: read[TailEntries], kindAskBarrier: read[AskBarrier], kindLookup: read[Lookup], kindFound: read[Found], kindTake: read[Take],
	kindGranted: read[Granted], kindDenied: read[Denied], kindFetch: read[Fetch], kindFetched: read[Fetched], kindDone: read[Done],
	kindRelease: read[Release], kindClaims: read[Claims], kindHandOn: read[HandOn], kindHandedOn: read[HandedOn],
}

// read reads a frame of one type.
func read[T Frame, P interface {
	*T
	code(*coder)
}](c *coder) Frame {
	var f T
	P(&f).code(c)
	return f
}

func (c *coder) read() Frame {
	n := c.in.Array()
	if n == 0 {
		c.in.Fail()
	}
	k := c.in.Uint()
	if c.in.Failed() || k >= uint64(len(readers)) || readers[k] == nil {
		return nil
	}
	c.left = n - 1
	return readers[k](c)
}

func (f *Mirror) code(c *coder) {
	more := c.begin(kindMirror, mirrorFields)
	f.content(c)
	c.skip(more)
}

// mirrorFields are those of a Mirror: a frame, or a part of one.
const mirrorFields = 11

func (f *Mirror) content(c *coder) {
	c.uint(&f.Epoch)
	c.bool(&f.Reset)
	c.droppedOf(&f.Dropped)
	if !c.isNil(f.Met == nil) {
		c.places(&f.Met)
	}
	c.vector(&f.Base)
	c.span(&f.BaseAge)
	c.state(&f.From)
	c.state(&f.To)
	c.entries(&f.Entries)
	list(c, &f.Order, (*coder).placed)
	list(c, &f.Sessions, (*coder).saved)
}

func (f *Mirrored) code(c *coder) {
	more := c.begin(kindMirrored, 4)
	c.uint(&f.Epoch)
	c.state(&f.State)
	c.bool(&f.Lost)
	c.bool(&f.Full)
	c.skip(more)
}

func (f *Reopened) code(c *coder) {
	more := c.begin(kindReopened, 3)
	c.frontiers(&f.Heads)
	c.skip(more)
}

func (f *Buddies) code(c *coder) {
	more := c.begin(kindBuddies, 2)
	c.uint(&f.Gen)
	list(c, &f.Set, (*coder).node)
	c.skip(more)
}

func (f *BuddiesKnown) code(c *coder) {
	more := c.begin(kindBuddiesKnown, 1)
	c.uint(&f.Gen)
	c.skip(more)
}

func (f *Drop) code(c *coder)     { c.skip(c.begin(kindDrop, 0)) }
func (f *Draining) code(c *coder) { c.skip(c.begin(kindDraining, 0)) }

func (f *AskTail) code(c *coder) {
	more := c.begin(kindAskTail, 2)
	c.node(&f.Origin)
	c.uint(&f.Nonce)
	c.skip(more)
}

func (f *Tail) code(c *coder) {
	more := c.begin(kindTail, 4)
	c.node(&f.Origin)
	c.uint(&f.Nonce)
	c.uint(&f.Gen)
	c.bool(&f.Speaks)
	c.skip(more)
}

func (f *FetchTail) code(c *coder) {
	more := c.begin(kindFetchTail, 5)
	c.node(&f.Origin)
	c.uint(&f.Nonce)
	c.frontiers(&f.From)
	c.skip(more)
}

func (f *TailEntries) code(c *coder) {
	more := c.begin(kindTailEntries, 3+3*wire.Streams)
	c.node(&f.Origin)
	c.uint(&f.Nonce)
	c.frontiers(&f.From)
	c.frontiers(&f.To)
	c.frontiers(&f.Heads)
	c.messageList(&f.Entries)
	c.skip(more)
}

func (f *AskBarrier) code(c *coder) {
	more := c.begin(kindAskBarrier, 1)
	c.uint(&f.Round)
	c.skip(more)
}

func (f *Lookup) code(c *coder) {
	more := c.begin(kindLookup, 2)
	c.uint(&f.ID)
	text(c, &f.PID)
	c.skip(more)
}

func (f *Found) code(c *coder) {
	more := c.begin(kindFound, 5)
	c.uint(&f.ID)
	number(c, uint64(FoundAlive), &f.Kind)
	c.claim(&f.Claim)
	c.node(&f.Owner)
	c.uint(&f.Gen)
	c.skip(more)
}

func (f *Take) code(c *coder) {
	more := c.begin(kindTake, 4)
	c.uint(&f.ID)
	text(c, &f.PID)
	c.cursor(&f.Cursor)
	c.span(&f.Age)
	c.skip(more)
}

func (f *Granted) code(c *coder) {
	more := c.begin(kindGranted, 4)
	c.uint(&f.ID)
	c.record(&f.Record)
	c.want(&f.Want)
	c.span(&f.Since)
	c.skip(more)
}

func (f *Denied) code(c *coder) {
	more := c.begin(kindDenied, 2)
	c.uint(&f.ID)
	c.bool(&f.Final)
	c.skip(more)
}

func (f *Fetch) code(c *coder) {
	more := c.begin(kindFetch, 5+2*wire.Streams)
	c.uint(&f.ID)
	c.uint(&f.Round)
	c.node(&f.Origin)
	list(c, &f.Places, (*coder).place)
	list(c, &f.Rooms, (*coder).rooms)
	c.frontiers(&f.From)
	c.frontiers(&f.Heads)
	c.skip(more)
}

func (f *Fetched) code(c *coder) {
	more := c.begin(kindFetched, 3)
	c.uint(&f.ID)
	list(c, &f.Sections, (*coder).section)
	if !c.isNil(f.Members == nil) {
		pairs(c, &f.Members, (*coder).node, (*coder).member)
	}
	c.skip(more)
}

func (f *Done) code(c *coder) {
	more := c.begin(kindDone, 2)
	text(c, &f.PID)
	c.claim(&f.Claim)
	c.skip(more)
}

func (f *Release) code(c *coder) {
	more := c.begin(kindRelease, 1)
	text(c, &f.PID)
	c.skip(more)
}

func (f *Claims) code(c *coder) {
	more := c.begin(kindClaims, 1)
	pairs(c, &f.Of, text[PID], (*coder).claim)
	c.skip(more)
}

func (f *HandOn) code(c *coder) {
	more := c.begin(kindHandOn, 5)
	c.node(&f.Origin)
	c.uint(&f.Gen)
	c.span(&f.Dead)
	c.state(&f.Whole)
	part := c.fields(mirrorFields)
	f.Part.content(c)
	c.skip(part)
	c.skip(more)
}

func (f *HandedOn) code(c *coder) {
	more := c.begin(kindHandedOn, 5)
	c.node(&f.Origin)
	c.uint(&f.Epoch)
	c.bool(&f.Speaks)
	c.bool(&f.Lost)
	c.bool(&f.Full)
	c.skip(more)
}
