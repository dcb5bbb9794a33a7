package ws

import "sync"

// shared is a message that ends with what many clients get, each behind a head of its own.
type shared struct {
	op         Opcode
	head, tail []byte
	once       sync.Once // frames are made for who wants them in one piece
}

// NewAnswer is NewGroup for one message, which is head and tail: tail is kept as it is, and may be
// a part of many messages. However large it is, the group does not count against
// Outbox.MaxBytes: it is what the client has asked for, and who makes it waits for the one before
// (Outbox.Answered).
func NewAnswer(op Opcode, head, tail []byte) *Group {
	size := len(head) + len(tail)
	front := append(appendHead(make([]byte, 0, maxHead+len(head)), finBit|byte(op), size), head...)
	return &Group{
		shared: &shared{op: op, head: head, tail: tail}, messages: 1, size: size,
		encoded: []encoded{{front, tail}}, framed: true,
	}
}

// whole makes the one frame.
func (g *Group) whole() []Frame {
	s := g.shared
	s.once.Do(func() { g.frames = []Frame{{s.op, append(append(make([]byte, 0, g.size), s.head...), s.tail...)}} })
	return g.frames
}

// counts is what the group takes of Outbox.MaxBytes.
func (g *Group) counts() int {
	if g.shared != nil {
		return 0
	}
	return g.size
}

// answers are the groups of NewAnswer in an Outbox.
type answers struct {
	waiting, taken int // of the first
	out            chan struct{}
}

// Answered is closed when no group of NewAnswer waits any more, nor is being written; nil: none does now.
func (o *Outbox) Answered() <-chan struct{} {
	if o.answers == nil {
		return nil
	}
	return o.answers.out
}

func (o *Outbox) addAnswer() {
	if o.answers == nil {
		o.answers = &answers{out: make(chan struct{})}
	}
	o.answers.waiting++
}

// takeAnswers notes those of a batch.
func (o *Outbox) takeAnswers(batch []*Group) {
	if o.answers == nil {
		return
	}
	for _, g := range batch {
		if g.shared != nil {
			o.answers.taken++
		}
	}
}

// answersWritten lets go of those that were taken.
func (o *Outbox) answersWritten() {
	a := o.answers
	if a == nil {
		return
	}
	a.waiting, a.taken = a.waiting-a.taken, 0
	if a.waiting == 0 {
		o.dropAnswers()
	}
}

func (o *Outbox) dropAnswers() {
	if o.answers != nil {
		close(o.answers.out)
		o.answers = nil
	}
}
