package node

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

const (
	// MaxHistory is the most messages of one History.
	MaxHistory = 1000
	// MaxHistoryBytes is the most that they have in all, by wire.Message.Size, but for the first, which may be larger
	// alone. It is half of what may wait for a client by default.
	MaxHistoryBytes = 512 << 10

	defaultHistory = 50
	// historyPatience is how long a node without a link is waited for.
	historyPatience = 2 * time.Second
	// historySlack is how far messages of other publishers may be from one of After and still count as behind it: they have
	// no common order, and their ages are as exact as the links are fast.
	historySlack = time.Second
)

// HistoryOptions say how much of the past is asked for.
type HistoryOptions struct {
	Limit  int           // messages, the newest; 0 is 50, at most MaxHistory
	Within time.Duration // only those published since; 0: all that is kept, which is Config.Recovery and a little
	// After is the ID of a message of an earlier History: only those behind it. Of its publisher these are exactly those; of
	// others those of the second before may come again.
	After string
	// Unseen leaves out what the session has got itself since it joined the room, and what it gets later: who asks when it has joined misses nothing and
	// has nothing twice. Of a session that was recovered it is what was published before it came to its node. For Session.History only.
	Unseen bool
}

// History is the recent past of a room.
type History struct {
	Messages []HistoryMessage // the oldest first, each publishing node's in its order
	More     bool             // there are older ones within what was asked for, or may be
	// Missing are nodes that did not answer, and by their boot id those that have died and whose messages no other node has: what they
	// have published is not in Messages, or not all of it.
	Missing []Missing
}

// HistoryMessage is one message of the past.
type HistoryMessage struct {
	ID      string        // for HistoryOptions.After, and to know it again in another History
	Age     time.Duration // since it was published
	Message *wire.Message // Rooms is the one that was asked for
}

// History is what was published lately to a room, on all nodes, those that have died included: for who
// comes late. It is there with Config.Recovery only, for that time: CodeUnavailable else. Volatile messages and those with EmitWithAck are
// never in it, nor those to the whole namespace or to one session. It waits for other nodes, 2 s at most. CodeInvalid: the room or the options are.
// CodeUnavailable: also when so many have asked that this one has had no turn.
func (ns *Namespace) History(ctx context.Context, room string, opt HistoryOptions) (History, error) {
	return ns.node.History(ctx, ns.name, room, opt)
}

// History is Namespace.History for a namespace that need have no sessions here.
func (n *Node) History(ctx context.Context, namespace, room string, opt HistoryOptions) (History, error) {
	if err := n.In(namespace).To(room).check(); err != nil {
		return History{}, err
	}
	if opt.Unseen {
		return History{}, Errorf(CodeInvalid, "what is unseen is known of a session only: ask by Session.History")
	}
	return n.history(ctx, historyQuery{Namespace: namespace, Room: room}, opt)
}

// History is Namespace.History for a member of the room, CodeForbidden for others, and without
// what was not for this session: its own publishes, and what excepts it or one of its rooms. What has been delivered to it has
// the same Delivery.ID. More than 20 a second, or 100 at once, wait.
func (s *Session) History(ctx context.Context, room string, opt HistoryOptions) (h History, err error) {
	if err := s.checkRoom(room); err != nil {
		return History{}, err
	}
	if err := s.paceHistory(ctx); err != nil {
		return History{}, err
	}
	rooms := s.Rooms()
	if !slices.Contains(rooms, room) {
		return History{}, Errorf(CodeForbidden, "only members of a room are told its history: join it first")
	}
	q := historyQuery{Namespace: s.ns.name, Room: room, Except: append(rooms, string(s.id))}
	if opt.Unseen {
		if q.Until, q.got, err = s.unseen(room); err != nil {
			return History{}, err
		}
	}
	return s.node.history(ctx, q, opt)
}

// unseen is what does not come to the session live, see recovery.Machine.Unseen.
func (s *Session) unseen(room string) (until recovery.Vector, got map[recovery.Ref]bool, err error) {
	n := s.node
	if err := n.checkHistory(); err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.kept != nil {
		if until, got, ok := n.recovery.atLocked().Unseen(s.kept.pid, room, s.rooms[room]); ok {
			return until, got, nil
		}
	}
	return nil, nil, Errorf(CodeInvalid, "what is unseen is known when the join of the room is acknowledged, of sessions that can be recovered")
}

// checkHistory says that recovery is off, if it is: without it nothing is kept.
func (n *Node) checkHistory() error {
	if n.recovery == nil {
		return Errorf(CodeUnavailable, "there is no history: the server was started without -recovery")
	}
	return nil
}

// What nodes are asked and answer; arrays on the wire, so fields are only appended.
type (
	historyQuery struct {
		Namespace, Room string
		Limit           int
		Within          int64 // microseconds; 0 is no bound
		Except          []string
		Until           recovery.Vector // nothing behind it, in streams that it has
		got             map[recovery.Ref]bool
	}
	historyPage struct {
		Entries []historyEntry // newest first
		More    bool
		Origins []wire.NodeID // dead nodes whose messages are here, too
	}
	historyEntry struct {
		Origin      wire.NodeID
		Flags       wire.Flags
		Seq         uint64
		Age         int64 // microseconds
		From        string
		Payload     []byte
		Attachments [][]byte
	}
)

// normal is the query with the options, checked.
func (q historyQuery) normal(opt HistoryOptions) (historyQuery, error) {
	switch {
	case opt.Limit < 0 || opt.Limit > MaxHistory:
		return q, Errorf(CodeInvalid, "limit is 1 to %d, not %d", MaxHistory, opt.Limit)
	case opt.Within < 0:
		return q, Errorf(CodeInvalid, "since is a number of milliseconds ago, not %v", opt.Within)
	case opt.After != "":
		if _, ok := parseHistoryID(opt.After); !ok {
			return q, Errorf(CodeInvalid, "since is a number of milliseconds ago, or the id of a message, not %.60q", opt.After)
		}
	}
	q.Within = opt.Within.Microseconds()
	if q.Limit = opt.Limit; q.Limit == 0 {
		q.Limit = defaultHistory
	}
	return q, nil
}

func (n *Node) history(ctx context.Context, q historyQuery, opt HistoryOptions) (h History, err error) {
	if err = n.checkHistory(); err != nil {
		return h, err
	}
	if q, err = q.normal(opt); err != nil {
		return h, err
	}
	start := time.Now()
	if err := n.histories.enter(ctx); err != nil {
		return h, err
	}
	defer n.histories.leave()
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	defer func() { n.histories.note(h, time.Since(start)) }()
	var past pasts
	own := n.localHistory(q)
	h.Missing = scatter(ctx, n, n.others(), "history", q, own, func(_ string, page historyPage) { past.add(page) })
	h.Missing = sortMissing(append(h.Missing, n.lost(past.origins)...))
	list := slices.DeleteFunc(past.merge(), func(e historyEntry) bool { return q.got[e.ref()] })
	if list, h.More = newest(list, q.Limit); past.more {
		h.More = true
	}
	if opt.After != "" {
		list, h.More = after(list, opt.After, h.More)
	}
	for _, e := range list {
		h.Messages = append(h.Messages, e.message(q))
	}
	return h, nil
}

// lost are the nodes that have died and whose messages nobody has, but for origins.
func (n *Node) lost(origins map[wire.NodeID]bool) (missing []Missing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range n.recovery.x.Dead() {
		if !origins[id] {
			missing = append(missing, Missing{id.String(), "it has died, and no node that answered has its messages"})
		}
	}
	return missing
}

// answerHistory answers another node.
func (n *Node) answerHistory(q historyQuery) (any, error) {
	if err := n.checkHistory(); err != nil {
		return nil, err
	}
	return n.localHistory(q), nil
}

// localHistory is the part of this node: what it has published, and what it keeps of nodes that cannot
// answer. Each hold of the lock is short: see recovery.Machine.Walk.
func (n *Node) localHistory(q historyQuery) (page historyPage) {
	var p *recovery.Past
	ask := recovery.PastQuery{Topic: wire.Topic{Namespace: q.Namespace, Room: q.Room}, Within: time.Duration(q.Within) * time.Microsecond,
		Limit: min(max(q.Limit, 1), MaxHistory), Bytes: MaxHistoryBytes, Skip: q.skips()}
	var found []recovery.Entry
	for over := false; !over; {
		n.mu.Lock()
		x := n.recovery.atLocked()
		if p == nil {
			p = x.Past(ask)
		}
		if over = x.Walk(p); over {
			found = x.Found(p)
		}
		n.mu.Unlock()
	}
	page = historyPage{More: p.More, Origins: p.Origins}
	for _, e := range found {
		m := e.Message
		page.Entries = append(page.Entries, historyEntry{m.Origin, m.Flags, m.Seq, e.Age.Microseconds(), string(m.From), m.Payload, m.Attachments})
	}
	return page
}

// skips tells which messages are not for who asks.
func (q historyQuery) skips() func(*wire.Message) bool {
	if len(q.Except)+len(q.Until) == 0 {
		return nil
	}
	of := make(map[string]bool, len(q.Except))
	for _, r := range q.Except {
		of[r] = true
	}
	return func(m *wire.Message) bool {
		if at, has := q.Until[m.Origin]; has && m.Seq > at[m.Flags.Stream()] {
			return true
		}
		return slices.ContainsFunc(m.Except, func(r string) bool { return of[r] })
	}
}

func (e historyEntry) ref() recovery.Ref {
	return recovery.Ref{Origin: e.Origin, Stream: e.Flags.Stream(), Seq: e.Seq}
}

func (e historyEntry) size() int { return e.message(historyQuery{}).Message.Size() }

func (e historyEntry) message(q historyQuery) HistoryMessage {
	m := wire.NewMessage(wire.Envelope{Origin: e.Origin, Namespace: q.Namespace, Rooms: []string{q.Room}, Flags: e.Flags, From: wire.SessionID(e.From),
		Attachments: e.Attachments}, e.Payload)
	m.Seq = e.Seq
	return HistoryMessage{historyID(e.ref()), time.Duration(e.Age) * time.Microsecond, m}
}

// maxHistoryID is the most bytes of an ID.
const maxHistoryID = 32

// historyID is how clients see a Ref.
func historyID(r recovery.Ref) string {
	id := append(r.Origin.Append(make([]byte, 0, maxHistoryID)), '-', '0'+byte(r.Stream), '-')
	return string(strconv.AppendUint(id, r.Seq, 36))
}

// parseHistoryID reads what historyID made. Clients can make up any id: it chooses among what they may see.
func parseHistoryID(id string) (r recovery.Ref, ok bool) {
	parts := strings.Split(id, "-")
	if len(parts) < 3 || len(id) > maxHistoryID {
		return r, false
	}
	last := len(parts) - 1 // the node's may have dashes
	origin, err1 := wire.ParseNodeID(strings.Join(parts[:last-1], "-"))
	stream, err2 := strconv.ParseUint(parts[last-1], 10, 8)
	seq, err3 := strconv.ParseUint(parts[last], 36, 64)
	r = recovery.Ref{Origin: origin, Stream: wire.Stream(stream), Seq: seq}
	return r, err1 == nil && err2 == nil && err3 == nil && stream < wire.Streams
}
