package node

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// Operator says who gets a message. It is a value: every method returns a
// changed copy, and one may be kept and used again.
type Operator struct {
	node      *Node
	namespace string
	rooms     []string
	except    []string
	flags     wire.Flags
	from      wire.SessionID
	local     bool
	key       string        // see IdempotencyKey
	timeout   time.Duration // 0 is DefaultTimeout
}

// DefaultTimeout is what a call that asks other nodes or clients may take when
// neither its Operator nor its context says otherwise. A node that dies is not
// waited for so long.
const DefaultTimeout = 5 * time.Second

// In is an operator for everyone in a namespace, which needs no sessions here.
func (n *Node) In(namespace string) Operator { return Operator{node: n, namespace: namespace} }

// To is an operator for the members of rooms, or sessions by their ids. No
// rooms: everyone.
func (ns *Namespace) To(rooms ...string) Operator { return ns.node.In(ns.name).To(rooms...) }

// In is To, under the official server's other name for it.
func (ns *Namespace) In(rooms ...string) Operator { return ns.To(rooms...) }

// Except is an operator for everyone but the members of rooms.
func (ns *Namespace) Except(rooms ...string) Operator { return ns.To().Except(rooms...) }

// Emit sends an event to everyone in the namespace, in the whole cluster.
func (ns *Namespace) Emit(event string, args ...any) error { return ns.To().Emit(event, args...) }

// To is an operator for the members of rooms other than this session.
func (s *Session) To(rooms ...string) Operator {
	o := s.ns.To(rooms...).Except(string(s.id))
	return o.From(s)
}

// Broadcast is an operator for everyone in the namespace but this session.
func (s *Session) Broadcast() Operator { return s.To() }

// To adds rooms: their members, each once, get the message.
func (o Operator) To(rooms ...string) Operator {
	o.rooms = append(slices.Clip(o.rooms), rooms...)
	return o
}

// In is To, under the official server's other name for it.
func (o Operator) In(rooms ...string) Operator { return o.To(rooms...) }

// Except adds rooms, or ids of sessions, whose members do not get the message.
func (o Operator) Except(rooms ...string) Operator {
	o.except = append(slices.Clip(o.except), rooms...)
	return o
}

// Volatile lets the message be dropped where queues fill up.
func (o Operator) Volatile() Operator {
	o.flags |= wire.Volatile
	return o
}

// Priority lets the message go before those of a lower one, where messages wait: see
// Priority. Normal is the default.
func (o Operator) Priority(p Priority) Operator {
	o.flags = o.flags&^(wire.High|wire.Low) | p.flags()
	return o
}

// Local keeps to the sessions of this node.
func (o Operator) Local() Operator {
	o.local = true
	return o
}

// Compress(false) says that the message is not worth compressing, where
// connections compress at all.
func (o Operator) Compress(worth bool) Operator {
	o.flags |= wire.Uncompressed
	if worth {
		o.flags &^= wire.Uncompressed
	}
	return o
}

// Timeout limits the calls that wait for clients or other nodes. A context that
// ends earlier ends them earlier. Zero or less is DefaultTimeout.
func (o Operator) Timeout(d time.Duration) Operator {
	o.timeout = max(d, 0)
	return o
}

// within is ctx with an end: after timeout, or its own, or after DefaultTimeout.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ends := ctx.Deadline(); ends && timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, cmp.Or(timeout, DefaultTimeout))
}

// From names the session that sends, which is not excepted by that; nil is none.
func (o Operator) From(s *Session) Operator {
	o.from = ""
	if s != nil {
		o.from = s.id
		s.spoke.Store(true)
	}
	return o
}

// WithSender puts the id of the sending session in front of the arguments for
// clients of protocols that do not tell it otherwise.
func (o Operator) WithSender() Operator {
	o.flags |= wire.WithSender
	return o
}

// Emit sends event(args...). Arguments are JSON values; a []byte goes as a
// binary attachment, copied, a json.RawMessage as it is. (A []byte within a
// struct or map is text in base64, as encoding/json has it.) It returns when the
// message has its number and is queued for every node that wants it, and may
// block for a moment when queues are long.
//
// What clients could not read is refused with an error and sent to nobody:
// reserved names, more than wire.MaxArgs arguments with the name or
// wire.MaxAttachments attachments, JSON nested deeper than wire.MaxDepth, and
// placeholders that do not fit the attachments.
func (o Operator) Emit(event string, args ...any) error {
	m, err := o.event(event, args)
	if err != nil {
		return err
	}
	return o.send(m, nil)
}

// EmitArgs is Emit for arguments that are JSON texts already and go on byte
// for byte. Placeholders in them stand for the attachments, which must not
// change any more; the same is refused as by Emit.
func (o Operator) EmitArgs(event string, args wire.Args, attachments [][]byte) error {
	payload, err := joinEvent(event, args, attachments)
	if err != nil {
		return err
	}
	m, err := o.message(payload, attachments)
	if err != nil {
		return err
	}
	return o.send(m, nil)
}

// CheckEvent says what is wrong with the name of an event, if anything is.
func CheckEvent(event string) error {
	switch {
	case event == "":
		return Errorf(CodeInvalid, "event name is empty")
	case !utf8.ValidString(event):
		return Errorf(CodeInvalid, "event name is not valid UTF-8")
	case wire.ReservedEvent(event):
		return Errorf(CodeInvalid, "event name %q is reserved", event)
	}
	return nil
}

// check says what is wrong with whom the operator is for.
func (o Operator) check() error {
	for _, r := range o.rooms {
		if err := CheckRoom(r); err != nil {
			return err
		}
	}
	if !ValidNamespace(o.namespace) {
		return Errorf(CodeInvalid, "%.40q is no namespace", o.namespace)
	}
	return nil
}

// event is event(args...) to those whom the operator means.
func (o Operator) event(event string, args []any) (*wire.Message, error) {
	payload, attachments, err := encodeEvent(event, args)
	if err != nil {
		return nil, err
	}
	return o.message(payload, attachments)
}

func (o Operator) message(payload []byte, attachments [][]byte) (*wire.Message, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m := wire.NewMessage(wire.Envelope{Namespace: o.namespace, Rooms: o.rooms, Except: o.except, Flags: o.flags, From: o.from,
		Attachments: attachments}, payload)
	return m, checkSize(m.Size())
}

// publish numbers m, queues it for other nodes and puts it on the inbox of
// every shard that may have members, all under one hold of the lock: each
// member sees the messages of a node in one order.
func (n *Node) publish(m *wire.Message, local bool) error {
	return n.publishSafely(m, local, nil)
}

// publishSafely is publish that calls done, if it is there and there is no error, when the message has
// its copies: see EmitSafe. What is behind it is for other nodes, and written with it.
func (n *Node) publishSafely(m *wire.Message, local bool, done func(error), behind ...*wire.Message) error {
	n.slowDown()
	n.stats.published.Add(1)
	var t turns
	var calls []func()
	defer func() { // after the lock is free, and behind Flush
		n.sweep(t)
		run(calls)
	}()
	defer n.cluster.Flush()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if !local {
		n.cluster.Publish(m)
	}
	for _, b := range behind {
		n.cluster.Publish(b)
	}
	var d *Delivery
	to, members := n.shardsLocked(m)
	if len(to) > 0 {
		d = &Delivery{Message: m}
	}
	if n.recovery != nil && !local {
		n.recovery.publishLocked(m, d, done)
	} else if done != nil {
		calls = append(calls, func() { done(nil) })
	}
	if d != nil {
		t.pushAll(to, members, d)
	}
	if n.recovery != nil { // behind the message: a session that is admitted now has it already
		calls = append(calls, n.recovery.applyLocked()...)
	}
	return nil
}

// pushAll puts a message on the inboxes of shards. Node.mu is held.
func (t *turns) pushAll(to []*shard, members int, d *Delivery) {
	for _, s := range to {
		t.push(s, item{op: opMessage, d: d, members: int32(min(members, math.MaxInt32))})
	}
}

// pause is what a publisher waits at a time while a peer's link is congested,
// and pauses is how often, so that a slow node slows the others down before
// anything is dropped for it, and never stops them (MESH §6).
const (
	pause  = 2 * time.Millisecond
	pauses = 5
)

func (n *Node) slowDown() {
	for _, s := range n.shards {
		s.waitSpace()
	}
	for i := 0; i < pauses && n.cluster.Congested(); i++ {
		time.Sleep(pause)
	}
}

// shardsLocked are those that a message is for: none, one or all. Most rooms have few
// members, and to wake a shard that has none of them costs as much as a delivery. A shard
// gets the same messages in the same order whether others do or not. It has so many
// members in all of them, or fewer.
func (n *Node) shardsLocked(m *wire.Message) (to []*shard, members int) {
	if len(m.Rooms) == 0 {
		return n.rooms[wire.Topic{Namespace: m.Namespace}].shards(n)
	}
	for _, r := range m.Rooms {
		some, more := n.rooms[wire.Topic{Namespace: m.Namespace, Room: r}].shards(n)
		to, members = n.both(to, some), members+more
		if s := n.sessions[wire.SessionID(r)]; s != nil {
			to, members = n.both(to, n.only(s.shard)), members+1
		}
	}
	return to, members
}

// both are the shards of two parts of those that a message is for.
func (n *Node) both(a, b []*shard) []*shard {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0 || len(a) == len(b) && a[0] == b[0]:
		return a
	}
	return n.shards
}

// only is one shard.
func (n *Node) only(s *shard) []*shard { return n.shards[s.number : s.number+1] }

// Direct sends an event to one session, wherever it is. It is unavailable when
// the session's node is not linked, or this node, which would have it, has not.
func (o Operator) Direct(id string, event string, args wire.Args, attachments [][]byte) error {
	owner := wire.SessionID(id).Node()
	if owner == 0 {
		return Errorf(CodeInvalid, "%.40q is no socket id", id)
	}
	if o.key != "" {
		return o.directOnce(id, owner, event, args, attachments)
	}
	if !o.node.reachable(wire.SessionID(id), owner, o.namespace) {
		return noSocket(id)
	}
	o.rooms = []string{id}
	return o.EmitArgs(event, args, attachments)
}

func noSocket(id string) error {
	return &Error{Code: CodeUnavailable, Message: "no socket " + id, Err: ErrNoSocket}
}

// Direct is Operator.Direct with this session as the sender, of which clients
// of all protocols are told.
func (s *Session) Direct(id string, event string, args wire.Args, attachments [][]byte) error {
	return s.ns.To().From(s).WithSender().Direct(id, event, args, attachments)
}

func (n *Node) reachable(id wire.SessionID, owner wire.NodeID, namespace string) bool {
	n.mu.Lock()
	s := n.sessions[id]
	n.mu.Unlock()
	switch {
	case s != nil:
		return s.ns.name == namespace
	case n.cluster.Announced(wire.Topic{Namespace: namespace, Room: string(id)}): // has moved
		return true
	}
	return owner != n.ID() && n.cluster.Reachable(owner)
}
