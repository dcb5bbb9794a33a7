package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// serverPrefix makes the topic of a namespace's server events, which no client
// can be a member of: namespaces start with a slash.
const serverPrefix = "server:"

// Limits of server events. Beyond them events of other nodes are dropped and
// counted, and those that want an answer are told that the node is busy.
const (
	maxServerEvents     = 1024     // that wait for their handlers, or for the answer of one
	maxServerEventBytes = 64 << 20 // that wait for their handlers
)

// ServerEvent is what a handler of another node, or other code there, emitted
// to the servers.
type ServerEvent struct {
	Node string // name of the other node
	Name string
	// Args are the JSON texts of the arguments, with placeholders for the Attachments.
	Args        wire.Args
	Attachments [][]byte

	namespace string
	size      int64
	reply     chan serverReply // capacity one; nil when no answer is wanted
	acked     atomic.Bool
}

// Arg decodes argument i into v, as Event.Arg does.
func (e *ServerEvent) Arg(i int, v any) error {
	return decodeArg("server event", e.Args, e.Attachments, i, v)
}

// Ack answers the event if the other node asked for that. Only the first answer
// counts; it may be given later and from anywhere.
func (e *ServerEvent) Ack(args ...any) error {
	if e.reply == nil {
		return nil
	}
	list, attachments, err := encodeArgs(args)
	if err == nil && !e.acked.Swap(true) {
		e.reply <- serverReply{Handled: true, Args: list.Join(), Attachments: attachments}
	}
	return err
}

// OnServer sets the handler of an event that other nodes emit to the servers of
// this namespace. These handlers run one after the other, in the order of each
// sender: what takes long belongs on a goroutine, which may Ack later.
func (ns *Namespace) OnServer(event string, h func(e *ServerEvent)) {
	ns.mu.Lock()
	first := ns.onServer == nil
	if first {
		ns.onServer = map[string]func(*ServerEvent){}
	}
	ns.onServer[event] = h
	ns.mu.Unlock()
	if first {
		ns.node.mu.Lock()
		defer ns.node.mu.Unlock()
		ns.servers = true
		if ns.node.namespaces[ns.name] == ns {
			ns.wantServersLocked()
		} // else it is being made, and may never be
	}
}

func (ns *Namespace) wantServersLocked() {
	ns.node.cluster.SetInterest(wire.Topic{Namespace: serverPrefix + ns.name}, true)
}

func (ns *Namespace) serverHandler(event string) func(*ServerEvent) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.onServer[event]
}

// ServerSideEmit sends event(args...) to the OnServer handlers of all other
// nodes, in order. It does not wait for them.
func (ns *Namespace) ServerSideEmit(event string, args ...any) error {
	m, err := ns.serverMessage(event, args)
	if err != nil {
		return err
	}
	return ns.node.publish(m, false)
}

func (ns *Namespace) serverMessage(event string, args []any) (*wire.Message, error) {
	payload, attachments, err := encodeEvent(event, args)
	if err != nil {
		return nil, err
	}
	m := wire.NewMessage(wire.Envelope{Namespace: serverPrefix + ns.name, Attachments: attachments}, payload)
	return m, checkSize(m.Size())
}

// ServerAcks is what came of a ServerSideEmitWithAck.
type ServerAcks struct {
	Answers []ServerAnswer // in no order
	Missing []Missing      // nodes that did not answer
}

// ServerAnswer is what another node's handler answered.
type ServerAnswer struct {
	Node        string
	Args        wire.Args
	Attachments [][]byte
}

// Arg decodes argument i into v, as Event.Arg does.
func (a ServerAnswer) Arg(i int, v any) error {
	return decodeArg("answer", a.Args, a.Attachments, i, v)
}

// ServerSideEmitWithAck sends event(args...) to the OnServer handlers of all
// other nodes and waits for their answers, until ctx ends, or DefaultTimeout if
// it has no deadline. Nodes without a handler for the event are not waited for,
// and those that go meanwhile delay nobody. An error says that nothing was sent.
func (ns *Namespace) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) (ServerAcks, error) {
	m, err := ns.serverMessage(event, args)
	if err != nil {
		return ServerAcks{}, err
	}
	ctx, cancel := within(ctx, 0)
	defer cancel()
	end, _ := ctx.Deadline()
	body, err := wire.Marshal(serverRequest{ns.name, m.Payload, m.Attachments, time.Until(end).Milliseconds()})
	if err != nil {
		return ServerAcks{}, err
	}
	var acks ServerAcks
	var mu sync.Mutex
	acks.Missing = ns.node.askNodes(ctx, ns.node.others(), "server", body, func(from cluster.NodeInfo, body []byte) error {
		var r serverReply
		if err := wire.Unmarshal(body, &r); err != nil || !r.Handled {
			return err
		}
		list, err := wire.SplitArgs(r.Args)
		mu.Lock()
		defer mu.Unlock()
		acks.Answers = append(acks.Answers, ServerAnswer{from.Name, list, r.Attachments})
		return err
	})
	return acks, nil
}

// What nodes ask and answer; arrays on the wire, so fields are only appended.
type (
	serverRequest struct {
		Namespace   string
		Payload     []byte // JSON text of ["event", args...]
		Attachments [][]byte
		Timeout     int64 // milliseconds
	}
	serverReply struct {
		Handled     bool
		Args        []byte // JSON text of the list
		Attachments [][]byte
	}
)

// servers are the events of other nodes that wait for their handlers.
type servers struct {
	queue   chan *ServerEvent // capacity maxServerEvents
	bytes   atomic.Int64      // in queue
	waiting atomic.Int64      // answers
}

// push gives up what the handlers are too slow for.
func (n *Node) pushServerEvent(e *ServerEvent) bool {
	if n.servers.bytes.Add(e.size) <= maxServerEventBytes {
		select {
		case n.servers.queue <- e:
			return true
		default:
		}
	}
	n.servers.bytes.Add(-e.size)
	n.stats.serverDropped.Add(1)
	return false
}

// runServerEvents is the one goroutine of all OnServer handlers.
func (n *Node) runServerEvents(ctx context.Context) {
	for {
		select {
		case e := <-n.servers.queue:
			n.servers.bytes.Add(-e.size)
			n.handleServerEvent(e)
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) handleServerEvent(e *ServerEvent) {
	var err error // reported by recoverHandler
	defer n.recoverHandler("", "server event "+e.Name, &err)
	if h := n.serverHandler(e.namespace, e.Name); h != nil {
		h(e)
	}
}

// serverHandler is nil where there is none.
func (n *Node) serverHandler(namespace, event string) func(*ServerEvent) {
	n.mu.Lock()
	ns := n.namespaces[namespace]
	n.mu.Unlock()
	if ns == nil {
		return nil
	}
	return ns.serverHandler(event)
}

// serverMessage takes a ServerSideEmit of another node.
func (n *Node) serverMessage(m *wire.Message, namespace string) {
	if namespace == onceServer {
		n.heardNotice(m)
		return
	}
	e, err := n.serverEvent(m.Origin, namespace, m.Payload, m.Attachments)
	if err != nil {
		n.log.Warn("server event of another node makes no sense", "peer", m.Origin, "err", err)
		return
	}
	if n.serverHandler(namespace, e.Name) != nil {
		n.pushServerEvent(e)
	}
}

func (n *Node) serverEvent(from wire.NodeID, namespace string, payload []byte, attachments [][]byte) (*ServerEvent, error) {
	list, err := wire.SplitArgs(payload)
	if err != nil {
		return nil, err
	}
	name, ok := list.String(0)
	if !ok {
		return nil, errors.New("no name")
	}
	m := wire.NewMessage(wire.Envelope{Attachments: attachments}, payload)
	sender := from.String()
	nodes := n.cluster.Nodes()
	if i := slices.IndexFunc(nodes, func(i cluster.NodeInfo) bool { return i.ID == from }); i >= 0 {
		sender = nodes[i].Name
	}
	return &ServerEvent{Node: sender, Name: name, Args: list[1:], Attachments: attachments, namespace: namespace, size: int64(m.Size())}, nil
}

// answerServer lets a handler answer another node.
func (n *Node) answerServer(from wire.NodeID, q serverRequest) (any, error) {
	e, err := n.serverEvent(from, q.Namespace, q.Payload, q.Attachments)
	if err != nil {
		return nil, err
	}
	if n.serverHandler(q.Namespace, e.Name) == nil {
		return serverReply{}, nil
	}
	e.reply = make(chan serverReply, 1)
	if n.servers.waiting.Add(1) > maxServerEvents || !n.pushServerEvent(e) { // requests come together
		n.servers.waiting.Add(-1)
		return nil, cluster.ErrBusy
	}
	return nil, cluster.Later(func(ctx context.Context) ([]byte, error) {
		defer n.servers.waiting.Add(-1)
		ctx, cancel := context.WithTimeout(ctx, time.Duration(q.Timeout)*time.Millisecond)
		defer cancel()
		select {
		case r := <-e.reply:
			return wire.Marshal(r)
		case <-ctx.Done():
			return nil, errors.New("timeout")
		}
	})
}

// serverNamespace is the namespace whose servers m is for, if it is for any.
func serverNamespace(m *wire.Message) (string, bool) {
	return strings.CutPrefix(m.Namespace, serverPrefix)
}
