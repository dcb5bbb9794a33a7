// Package history checks what the members of rooms got against what they were
// promised (MESH §6, G1 to G5). It knows neither nodes nor clients: the simulator
// of the mesh and the tests with real programs say what happened, and judge what is
// still open at the end. For tests only; not safe for concurrent use.
package history

import "iter"

// Message is one message of a publisher, which numbers its own from 1 on, those of
// each priority, or all of them. Only within a priority is there an order.
type Message[O comparable] struct {
	Origin   O
	Seq      uint64
	Priority uint8
}

// stream is what has an order.
type stream[O comparable] struct {
	origin   O
	priority uint8
}

func (m Message[O]) stream() stream[O] { return stream[O]{m.Origin, m.Priority} }

// Verdict is what Order says of a message that came.
type Verdict uint8

const (
	InOrder Verdict = iota
	Duplicate
	Reordered // a later one of the same origin and priority was there before
)

// Order watches what comes to receivers: each message once (G3), those of one
// origin and priority as they were numbered (G1). The zero value is ready.
type Order[R, O comparable] struct {
	at map[R]map[stream[O]]*arrived
}

type arrived struct {
	last uint64
	seen map[uint64]struct{}
}

// Deliver tells of a message that came to a receiver.
func (o *Order[R, O]) Deliver(at R, m Message[O]) Verdict {
	if o.at == nil {
		o.at = map[R]map[stream[O]]*arrived{}
	}
	if o.at[at] == nil {
		o.at[at] = map[stream[O]]*arrived{}
	}
	a := o.at[at][m.stream()]
	if a == nil {
		a = &arrived{seen: map[uint64]struct{}{}}
		o.at[at][m.stream()] = a
	}
	if _, ok := a.seen[m.Seq]; ok {
		return Duplicate
	}
	a.seen[m.Seq] = struct{}{}
	if m.Seq < a.last {
		return Reordered
	}
	a.last = m.Seq
	return InOrder
}

// Overtaken tells whether a later message of the same origin and priority has come: then m,
// if it has not, is late for ever.
func (o *Order[R, O]) Overtaken(at R, m Message[O]) bool {
	a := o.at[at][m.stream()]
	return a != nil && m.Seq < a.last
}

// Forget lets go of a receiver that is no more.
func (o *Order[R, O]) Forget(at R) { delete(o.at, at) }

// Promises are the messages that members must get (G2). The zero value is ready.
type Promises[M, O comparable] struct {
	open map[Message[O]]map[M]struct{}
	of   map[M]map[Message[O]]struct{}
	Kept int
}

// Add promises a message to a member.
func (p *Promises[M, O]) Add(m Message[O], to M) {
	if p.open == nil {
		p.open, p.of = map[Message[O]]map[M]struct{}{}, map[M]map[Message[O]]struct{}{}
	}
	if p.open[m] == nil {
		p.open[m] = map[M]struct{}{}
	}
	if p.of[to] == nil {
		p.of[to] = map[Message[O]]struct{}{}
	}
	p.open[m][to], p.of[to][m] = struct{}{}, struct{}{}
}

// Keep says that a message has come to a member, promised or not.
func (p *Promises[M, O]) Keep(m Message[O], to M) {
	if _, ok := p.open[m][to]; ok {
		p.Kept++
		p.drop(m, to)
	}
}

// Forget gives up what is open of a member that leaves or is no more: it may
// get it or not.
func (p *Promises[M, O]) Forget(to M) {
	for m := range p.of[to] {
		p.drop(m, to)
	}
}

// Leave is Forget but for the messages that should have come by now.
func (p *Promises[M, O]) Leave(to M, due func(Message[O]) bool) {
	for m := range p.of[to] {
		if !due(m) {
			p.drop(m, to)
		}
	}
}

func (p *Promises[M, O]) drop(m Message[O], to M) {
	if delete(p.open[m], to); len(p.open[m]) == 0 {
		delete(p.open, m)
	}
	if delete(p.of[to], m); len(p.of[to]) == 0 {
		delete(p.of, to)
	}
}

// Open are the promises not kept so far, in no order. They may be forgotten
// meanwhile.
func (p *Promises[M, O]) Open() iter.Seq2[M, Message[O]] {
	return func(yield func(M, Message[O]) bool) {
		for to, messages := range p.of {
			for m := range messages {
				if !yield(to, m) {
					return
				}
			}
		}
	}
}
