package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire/plain"
)

type historyJSON struct {
	Messages []json.RawMessage `json:"messages"`
	More     bool              `json:"more,omitempty"`
	Missing  []missingJSON     `json:"missing"`
}

func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	q, opt, err := historyQuery(r.URL)
	if err != nil {
		fail(w, err)
		return
	}
	past, err := h.node.History(r.Context(), q.Namespace, q.Room, opt)
	if err != nil {
		fail(w, err)
		return
	}
	body := historyJSON{Messages: []json.RawMessage{}, More: past.More, Missing: missingOf(past.Missing)}
	for _, m := range past.Messages {
		if text, err := plain.AppendPast(nil, m.Message, m.ID, m.Age); err == nil { // else its publisher's mistake
			body.Messages = append(body.Messages, text)
		}
	}
	writeJSON(w, http.StatusOK, body)
}

// maxSince is 100 days in milliseconds: nothing is kept for so long.
const maxSince = 100 * 24 * 3600 * 1000

// historyQuery reads what query does, and since: milliseconds ago, or the id of a message.
func historyQuery(u *url.URL) (q node.Query, opt node.HistoryOptions, err error) {
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return q, opt, node.Errorf(node.CodeInvalid, "query: %v", err)
	}
	if since := params["since"]; len(since) == 1 {
		if ms, err := strconv.ParseInt(since[0], 10, 64); err != nil {
			opt.After = since[0]
		} else if opt.Within = time.Duration(ms) * time.Millisecond; ms < 1 || ms > maxSince {
			return q, opt, node.Errorf(node.CodeInvalid, "query: since is a number of milliseconds ago, or the id of a message, not %.60q", since[0])
		}
		params.Del("since")
	}
	q, err = query(&url.URL{RawQuery: params.Encode()}, node.MaxHistory, "namespace", "room", "limit", "since")
	if q.Namespace == "" {
		q.Namespace = "/"
	}
	opt.Limit = q.Limit
	return q, opt, err
}
