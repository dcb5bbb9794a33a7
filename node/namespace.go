package node

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// Namespace is a separate set of sessions and rooms, with handlers of its own.
// The methods that register handlers are for the time before clients connect;
// all may be called from anywhere.
type Namespace struct {
	node *Node
	name string

	mu           sync.RWMutex
	onConnect    []func(*Session) error
	leaving      []func(*Session, string) // OnDisconnecting
	onDisconnect []func(*Session, string)
	use          []func(*Event) error
	on           map[string]handler
	onAny        []func(*Event) bool
	onServer     map[string]func(*ServerEvent)

	// guarded by Node.mu
	dynamic  bool // goes with its last session
	servers  bool // other nodes' server events are wanted
	sessions int
}

// handler is one of an event.
type handler struct {
	run    func(*Event)
	inline bool // see OnInline
}

// dynamic is a rule for namespaces that are made when a client asks for them.
type dynamic struct {
	match func(name string) bool
	setup func(*Namespace)
}

// ValidNamespace tells whether name can be one: "/" or "/...", valid UTF-8 of
// at most MaxNamespace bytes, without a comma or a question mark, which end
// the name in a Socket.IO packet.
func ValidNamespace(name string) bool {
	return strings.HasPrefix(name, "/") && len(name) <= MaxNamespace && utf8.ValidString(name) && !strings.ContainsAny(name, ",?")
}

// Namespace is the namespace of that name, made if need be; clients may
// connect to it from then on. An invalid name is a programmer's error and panics.
func (n *Node) Namespace(name string) *Namespace {
	if !ValidNamespace(name) {
		panic("node: invalid namespace " + name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ns := n.namespaceLocked(name)
	ns.dynamic = false // from now on it stays
	return ns
}

func (n *Node) namespaceLocked(name string) *Namespace {
	ns := n.namespaces[name]
	if ns == nil {
		ns = &Namespace{node: n, name: name, on: map[string]handler{}}
		n.namespaces[name] = ns
	}
	return ns
}

// NamespaceFunc lets clients connect to every namespace that match allows. One
// is made, and given to setup for its handlers, when its first client comes
// and goes with its last, so that names made up by clients cost nothing.
func (n *Node) NamespaceFunc(match func(name string) bool, setup func(*Namespace)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dynamic = append(n.dynamic, dynamic{match, setup})
}

// enter counts a session into its namespace. The rules of NamespaceFunc run
// without the lock; of two clients that make a namespace at once one wins.
func (n *Node) enter(name string) (*Namespace, error) {
	ns, rules := n.enterIf(name, nil)
	if ns == nil {
		if made := n.makeDynamic(name, rules); made != nil {
			ns, _ = n.enterIf(name, made)
		}
	}
	if ns == nil {
		return nil, Errorf(CodeInvalid, "Invalid namespace") // the official server's words
	}
	return ns, nil
}

// enterIf counts a session into the namespace of that name, or into made if
// there is none.
func (n *Node) enterIf(name string, made *Namespace) (*Namespace, []dynamic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ns := n.namespaces[name]
	if ns == nil && made != nil {
		ns = made
		n.namespaces[name] = ns
		if ns.servers {
			ns.wantServersLocked()
		}
	}
	if ns != nil {
		ns.sessions++
	}
	return ns, slices.Clone(n.dynamic)
}

// makeDynamic applies the rules, which are the application's: a panic of one
// is as good as its no.
func (n *Node) makeDynamic(name string, rules []dynamic) (made *Namespace) {
	if !ValidNamespace(name) {
		return nil
	}
	var err error
	defer func() {
		if err != nil {
			made = nil
		}
	}()
	defer n.recoverHandler("", "namespace "+name, &err)
	for _, r := range rules {
		if r.match(name) {
			ns := &Namespace{node: n, name: name, on: map[string]handler{}, dynamic: true}
			r.setup(ns)
			return ns
		}
	}
	return nil
}

func (n *Node) exitLocked(ns *Namespace) {
	if ns.sessions--; ns.sessions == 0 && ns.dynamic {
		delete(n.namespaces, ns.name)
		if ns.servers {
			n.cluster.SetInterest(wire.Topic{Namespace: serverPrefix + ns.name}, false)
		}
	}
}

// Name is the name, "/" for the main namespace.
func (ns *Namespace) Name() string { return ns.name }

// OnConnect adds a handler of new sessions. Handlers run in order before the
// client is told that it is connected; what they emit follows that news. The
// first error refuses the client: it gets the message, and the Data of an *Error.
func (ns *Namespace) OnConnect(h func(s *Session) error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onConnect = append(ns.onConnect, h)
}

// OnDisconnecting adds a handler of sessions that end, with the reason in the
// words of the official server. The session is still a member of its rooms: lists
// of rooms count it, though nothing reaches its client any more.
func (ns *Namespace) OnDisconnecting(h func(s *Session, reason string)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.leaving = append(ns.leaving, h)
}

// OnDisconnect adds a handler of ended sessions, as OnDisconnecting. It runs
// when all of those have, and the session has left its rooms; Rooms are those
// that it left.
func (ns *Namespace) OnDisconnect(h func(s *Session, reason string)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onDisconnect = append(ns.onDisconnect, h)
}

// Use adds a check of all events of clients, run in order before any handler.
// The first error refuses the event: it is its ack, see ResultOf.
func (ns *Namespace) Use(check func(e *Event) error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.use = append(ns.use, check)
}

// On sets the handler of an event. A second one for the same event replaces it.
func (ns *Namespace) On(event string, h func(e *Event)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.on[event] = handler{run: h}
}

// OnInline is On for a handler that waits for nobody: not for an answer of its client,
// nor for other nodes. When no other event of the client waits it runs on the client's
// reader, without a goroutine of its own; a check of Use may wait, so with one it does not.
func (ns *Namespace) OnInline(event string, h func(e *Event)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.on[event] = handler{h, true}
}

// runsInline tells whether events of that name are handled by the client's reader.
func (ns *Namespace) runsInline(event string) bool {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.on[event].inline && len(ns.use) == 0
}

// OnAny adds a handler of events that have none of their own. They run in
// order until one says that it has handled the event.
func (ns *Namespace) OnAny(h func(e *Event) (handled bool)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onAny = append(ns.onAny, h)
}

func (ns *Namespace) handlers(event string) (use []func(*Event) error, on func(*Event), any []func(*Event) bool) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.use, ns.on[event].run, ns.onAny
}

func (ns *Namespace) connectHandlers() []func(*Session) error {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.onConnect
}

func (ns *Namespace) disconnectHandlers() (leaving, left []func(*Session, string)) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.leaving, ns.onDisconnect
}
