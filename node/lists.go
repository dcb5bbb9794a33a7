package node

import (
	"container/heap"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster"
)

// A Query asks for a part of a list over the whole cluster.
type Query struct {
	Namespace string // "" is "/"
	Room      string // of Sockets: only its members; "" is all
	After     string // the name or id that the last page ended with; "" from the start
	Limit     int    // entries of a page; 0 is 100, at most MaxPage
}

// MaxPage is the most entries of one page.
const MaxPage = 1000

// RoomInfo is one room of the cluster.
type RoomInfo struct {
	Room    string
	Sockets int      // members on all nodes
	Nodes   []string // names of those with members, sorted
}

// SocketInfo is one session.
type SocketInfo struct {
	ID        string
	Node      string
	Namespace string
	Rooms     []string
	Transport string // polling, websocket
	Protocol  string // socket.io, websocket, sse
	Remote    string // address of the peer of its connection
	Since     time.Time
	Data      json.RawMessage // of Session.SetData, nil if none
	User      string          // of Session.SetUser, "" if none
	Info      json.RawMessage // ... nil if none
}

// Missing is a node whose entries a list lacks.
type Missing struct {
	Node   string
	Reason string
}

// Rooms lists the rooms with members, by name, without asking anybody: changes on other
// nodes are known within a second. A node without a link is in missing, with its
// rooms as it told them last, and one that has not told all yet. next is After of the next
// page, "" when there is none.
func (n *Node) Rooms(q Query) (rooms []RoomInfo, next string, missing []Missing) {
	q = q.normal()
	merged := map[string]*RoomInfo{}
	missing = n.eachNode(func(i cluster.NodeInfo) error {
		page, err := n.cluster.RoomCounts(i.ID, q.Namespace, q.After, q.Limit+1)
		for _, r := range page {
			m := merged[r.Room]
			if m == nil {
				m = &RoomInfo{Room: r.Room}
				merged[r.Room] = m
			}
			m.Sockets += int(r.Members)
			m.Nodes = append(m.Nodes, i.Name)
		}
		return err
	})
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		slices.Sort(merged[name].Nodes)
		rooms = append(rooms, *merged[name])
	}
	// Every node gave its first rooms, so the first ones of all are complete.
	if len(rooms) > q.Limit {
		rooms = rooms[:q.Limit]
		next = rooms[q.Limit-1].Room
	}
	return rooms, next, missing
}

// Sockets lists sessions by id. A node that does not answer is in missing, never an
// error; the page is what the others know. A page has at most Limit sessions, and
// fewer when they are in very many rooms; next is as for Rooms.
func (n *Node) Sockets(ctx context.Context, q Query) (sockets []SocketInfo, next string, missing []Missing) {
	q = q.normal()
	t := target{Namespace: q.Namespace}
	if q.Room != "" {
		t.Rooms = []string{q.Room}
	}
	return n.sockets(ctx, socketQuery{t, q.After, q.Limit}, n.others())
}

func (n *Node) sockets(ctx context.Context, q socketQuery, others []cluster.NodeInfo) (sockets []SocketInfo, next string, missing []Missing) {
	end := "" // what is known to be complete, when a node had more than it gave
	missing = scatter(ctx, n, others, "sockets", q, n.localSockets(q), func(node string, page socketPage) {
		for _, e := range page.Sockets {
			sockets = append(sockets, e.info(node, q.Target.Namespace))
		}
		if last := len(page.Sockets) - 1; page.More && (end == "" || page.Sockets[last].ID < end) {
			end = page.Sockets[last].ID
		}
	})
	slices.SortFunc(sockets, func(a, b SocketInfo) int { return strings.Compare(a.ID, b.ID) })
	if end != "" {
		i, _ := slices.BinarySearchFunc(sockets, end, func(s SocketInfo, id string) int { return strings.Compare(s.ID, id) })
		sockets, next = sockets[:i+1], end
	}
	if len(sockets) > q.Limit {
		sockets, next = sockets[:q.Limit], sockets[q.Limit-1].ID
	}
	return sockets, next, missing
}

// What nodes answer; arrays on the wire, so fields are only appended.
type (
	roomCount struct {
		Room    string
		Sockets int
	}
	socketEntry struct {
		ID        string
		Rooms     []string
		Transport string
		Protocol  string
		Since     int64 // Unix milliseconds of the node's clock
		Remote    string
		Data      []byte
		User      string
		Info      []byte
	}
	socketQuery struct {
		Target target
		After  string
		Limit  int
	}
	socketPage struct {
		Sockets []socketEntry
		More    bool // the node has further ones behind the last
	}
	nodeCount struct{ Sockets int }
)

// normal is q with its defaults and limits.
func (q Query) normal() Query {
	if q.Namespace == "" {
		q.Namespace = "/"
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, MaxPage)
	return q
}

// localRooms answers nodes of versions that ask for rooms: those after q.After, one
// more than the page so that it is known whether another follows.
func (n *Node) localRooms(q Query) (page []roomCount) {
	n.tellCounts()
	rooms, _ := n.cluster.RoomCounts(n.ID(), q.Namespace, q.After, q.Limit+1)
	for _, r := range rooms {
		page = append(page, roomCount{r.Room, int(r.Members)})
	}
	return page
}

// maxPageBytes ends a page of sessions that are in very many rooms, well below
// what a node may answer (wire.MaxBody).
const maxPageBytes = 1 << 20

// localSockets is this node's first open sessions of the target after q.After.
// Of many, only as many are put in order as the page has.
func (n *Node) localSockets(q socketQuery) (page socketPage) {
	found := byID(n.match(q.Target, q.After))
	heap.Init(&found)
	limit, size := min(max(q.Limit, 1), MaxPage), 0
	for len(found) > 0 {
		chunk := make([]*Session, 0, matchChunk/5)
		for len(found) > 0 && len(chunk) < cap(chunk) {
			chunk = append(chunk, heap.Pop(&found).(*Session))
		}
		for _, e := range n.entries(chunk) {
			if size += e.size(); len(page.Sockets) > 0 && (len(page.Sockets) >= limit || size > maxPageBytes) {
				page.More = true
				return page
			}
			page.Sockets = append(page.Sockets, e)
		}
	}
	return page
}

// byID is a heap of sessions, the lowest id on top.
type byID []*Session

func (h byID) Len() int           { return len(h) }
func (h byID) Less(i, j int) bool { return h[i].id < h[j].id }
func (h byID) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byID) Push(x any)        { *h = append(*h, x.(*Session)) }
func (h *byID) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	*h = (*h)[:last]
	return s
}

// entries are those of the sessions that are open.
func (n *Node) entries(sessions []*Session) []socketEntry {
	entries := make([]socketEntry, 0, len(sessions))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range sessions {
		if s.state == sessionOpen {
			entries = append(entries, s.entryLocked())
		}
	}
	return entries
}

func (s *Session) entryLocked() socketEntry {
	user, info := s.userLocked()
	return socketEntry{User: user, Info: info, ID: string(s.id), Rooms: slices.Sorted(maps.Keys(s.rooms)), Transport: s.Transport(),
		Protocol: s.handshake.Protocol, Since: s.since.UnixMilli(), Remote: s.handshake.Remote, Data: s.Data()}
}

func (e socketEntry) size() int {
	n := 128 + len(e.Data) + len(e.User) + len(e.Info)
	for _, r := range e.Rooms {
		n += len(r) + 5
	}
	return n
}

func (e socketEntry) info(node, namespace string) SocketInfo {
	return SocketInfo{ID: e.ID, Node: node, Namespace: namespace, Rooms: e.Rooms, Transport: e.Transport,
		Protocol: e.Protocol, Since: time.UnixMilli(e.Since), Remote: e.Remote, Data: e.Data, User: e.User, Info: e.Info}
}

// Transport is how the client is connected now: "websocket", "polling".
func (s *Session) Transport() string {
	if t, ok := s.sink.(interface{ Transport() string }); ok {
		return t.Transport()
	}
	return s.handshake.Protocol
}
