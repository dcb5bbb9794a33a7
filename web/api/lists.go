package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/meshrt/meshrt/node"
)

type missingJSON struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

func missingOf(list []node.Missing) []missingJSON {
	out := make([]missingJSON, len(list))
	for i, m := range list {
		out[i] = missingJSON(m)
	}
	return out
}

type nodeJSON struct {
	Name    string  `json:"name"`
	Boot    string  `json:"boot"` // changes with every start
	State   string  `json:"state"`
	Addr    string  `json:"addr,omitempty"`
	Region  string  `json:"region,omitempty"`
	RTT     float64 `json:"rtt_ms,omitempty"`
	Since   string  `json:"since,omitempty"`
	Sockets *int    `json:"sockets,omitempty"` // unknown of a node that has not told yet
}

func (h *handler) nodes(w http.ResponseWriter, r *http.Request) {
	counts, missing := h.node.SocketCounts()
	list := []nodeJSON{}
	for _, n := range h.node.Cluster().Nodes() {
		j := nodeJSON{Name: n.Name, Boot: n.ID.String(), State: n.State, Addr: n.Addr, Region: n.Region,
			RTT: float64(n.RTT.Microseconds()) / 1000}
		if !n.Since.IsZero() {
			j.Since = n.Since.UTC().Format(time.RFC3339)
		}
		if count, known := counts[n.ID]; known {
			j.Sockets = &count
		}
		list = append(list, j)
	}
	writeJSON(w, http.StatusOK, map[string]any{"nodes": list, "missing": missingOf(missing)})
}

type roomJSON struct {
	Room    string   `json:"room"`
	Sockets int      `json:"sockets"`
	Nodes   []string `json:"nodes"`
}

// page is the body of a list; next is the after of the next page.
type page struct {
	Rooms   *[]roomJSON   `json:"rooms,omitempty"`
	Sockets *[]socketJSON `json:"sockets,omitempty"`
	Missing []missingJSON `json:"missing"`
	Next    string        `json:"next,omitempty"`
}

func (h *handler) rooms(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL, node.MaxPage, "namespace", "after", "limit")
	if err != nil {
		fail(w, err)
		return
	}
	rooms, next, missing := h.node.Rooms(q)
	list := []roomJSON{}
	for _, x := range rooms {
		list = append(list, roomJSON(x))
	}
	writeJSON(w, http.StatusOK, page{Rooms: &list, Missing: missingOf(missing), Next: next})
}

type socketJSON struct {
	ID        string   `json:"id"`
	Node      string   `json:"node"`
	User      string   `json:"user"` // "" for nobody in particular
	Rooms     []string `json:"rooms"`
	Protocol  string   `json:"protocol"`
	Transport string   `json:"transport"`
	Since     string   `json:"since"`
}

func (h *handler) sockets(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL, node.MaxPage, "namespace", "room", "after", "limit")
	if err != nil {
		fail(w, err)
		return
	}
	sockets, next, missing := h.node.Sockets(r.Context(), q)
	list := []socketJSON{}
	for _, s := range sockets {
		if s.Rooms == nil {
			s.Rooms = []string{}
		}
		list = append(list, socketJSON{s.ID, s.Node, s.User, s.Rooms, s.Protocol, s.Transport, s.Since.UTC().Format(time.RFC3339)})
	}
	writeJSON(w, http.StatusOK, page{Sockets: &list, Missing: missingOf(missing), Next: next})
}

func (h *handler) presence(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL, node.MaxMembers, "namespace", "room", "after", "limit")
	if err != nil {
		fail(w, err)
		return
	}
	list, next, err := h.node.ListPresence(r.Context(), q)
	if err != nil {
		fail(w, err)
		return
	}
	writePresence(w, list, next)
}

// writePresence writes a page of members, which are JSON already for all who ask.
func writePresence(w http.ResponseWriter, list node.PresenceList, next string) {
	rest, _ := json.Marshal(page{Missing: missingOf(list.Missing), Next: next}) // strings always encode
	rest[0] = ','
	header(w, http.StatusOK)
	io.WriteString(w, `{"members":`) // a client that is gone needs no answer
	w.Write(list.MembersJSON())
	w.Write(append(rest, '\n'))
}

// query reads the parameters of a list and refuses those it does not know.
func query(u *url.URL, most int, names ...string) (q node.Query, err error) {
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return q, node.Errorf(node.CodeInvalid, "query: %v", err)
	}
	fields := map[string]*string{"namespace": &q.Namespace, "room": &q.Room, "after": &q.After}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	for name, values := range params {
		switch {
		case !known[name] || len(values) != 1:
			return q, node.Errorf(node.CodeInvalid, "query: parameters are %v, each once; not %q", names, name)
		case name == "limit":
			if q.Limit, err = strconv.Atoi(values[0]); err != nil || q.Limit < 1 || q.Limit > most {
				return q, node.Errorf(node.CodeInvalid, "query: limit is 1 to %d, not %q", most, values[0])
			}
		default:
			*fields[name] = values[0]
		}
	}
	return q, nil
}
