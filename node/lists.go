package node

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
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
	Sockets int      // members on all nodes that answered
	Nodes   []string // names of those with members, sorted
}

// SocketInfo is one session.
type SocketInfo struct {
	ID        string
	Node      string
	Namespace string
	Rooms     []string
	Transport string // polling, websocket
	Protocol  string // socket.io, websocket
	Since     time.Time
}

// Missing is a node whose entries a list lacks.
type Missing struct {
	Node   string
	Reason string
}

// Rooms lists the rooms with members, by name. A node that does not answer is
// in missing, never an error; the page is what the others know. next is After
// of the next page, "" when there is none.
func (n *Node) Rooms(ctx context.Context, q Query) (rooms []RoomInfo, next string, missing []Missing) {
	q = q.normal()
	merged := map[string]*RoomInfo{}
	missing = scatter(ctx, n, "rooms", q, n.localRooms(q), func(node string, page []roomCount) {
		for _, r := range page {
			m := merged[r.Room]
			if m == nil {
				m = &RoomInfo{Room: r.Room}
				merged[r.Room] = m
			}
			m.Sockets += r.Sockets
			m.Nodes = append(m.Nodes, node)
		}
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

// Sockets lists sessions by id, as Rooms lists rooms.
func (n *Node) Sockets(ctx context.Context, q Query) (sockets []SocketInfo, next string, missing []Missing) {
	q = q.normal()
	missing = scatter(ctx, n, "sockets", q, n.localSockets(q), func(node string, page []socketEntry) {
		for _, e := range page {
			sockets = append(sockets, SocketInfo{ID: e.ID, Node: node, Namespace: q.Namespace, Rooms: e.Rooms,
				Transport: e.Transport, Protocol: e.Protocol, Since: time.UnixMilli(e.Since)})
		}
	})
	slices.SortFunc(sockets, func(a, b SocketInfo) int { return strings.Compare(a.ID, b.ID) })
	if len(sockets) > q.Limit {
		sockets = sockets[:q.Limit]
		next = sockets[q.Limit-1].ID
	}
	return sockets, next, missing
}

// SocketCounts tells how many sessions each node has, by its id.
func (n *Node) SocketCounts(ctx context.Context) (counts map[wire.NodeID]int, missing []Missing) {
	counts = map[wire.NodeID]int{n.ID(): n.Stats().Sessions}
	var mu sync.Mutex
	missing = n.askAll(ctx, "count", nil, func(from cluster.NodeInfo, body []byte) error {
		var c nodeCount
		if err := wire.Unmarshal(body, &c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		counts[from.ID] = c.Sockets
		return nil
	})
	return counts, missing
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

// localRooms is this node's first rooms after q.After, one more than the page
// so that it is known whether another follows.
func (n *Node) localRooms(q Query) []roomCount {
	var page []roomCount
	n.mu.Lock()
	for t, r := range n.rooms {
		if t.Namespace == q.Namespace && t.Room > q.After { // the namespace itself is the room ""
			page = append(page, roomCount{t.Room, r.members})
		}
	}
	n.mu.Unlock()
	slices.SortFunc(page, func(a, b roomCount) int { return cmp.Compare(a.Room, b.Room) })
	return page[:min(len(page), q.Limit+1)]
}

func (n *Node) localSockets(q Query) []socketEntry {
	var found []*Session
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if _, in := s.rooms[q.Room]; s.state == sessionOpen && s.ns.name == q.Namespace && string(s.id) > q.After && (q.Room == "" || in) {
			found = append(found, s)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].id < found[j].id })
	page := make([]socketEntry, 0, min(len(found), q.Limit+1))
	for _, s := range found[:cap(page)] {
		page = append(page, socketEntry{ID: string(s.id), Rooms: slices.Sorted(maps.Keys(s.rooms)),
			Transport: s.Transport(), Protocol: s.handshake.Protocol, Since: s.since.UnixMilli()})
	}
	return page
}

// Transport is how the client is connected now: "websocket", "polling".
func (s *Session) Transport() string {
	if t, ok := s.sink.(interface{ Transport() string }); ok {
		return t.Transport()
	}
	return s.handshake.Protocol
}
